"""Several nodes and a registry, each in a network namespace of its own. Real parts only; see netns.py for the links."""
import atexit
import concurrent.futures
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "mounted"))
import node as node_module  # noqa: E402
from netns import Network, inside, ip, within  # noqa: E402
from node import BUILD, Node, Registry, images, need_fuse, skip, wait_for  # noqa: E402
from trees import content_hash, walk  # noqa: E402

PORT = 7946
BULK_PORT = 7950
REGISTRY = "10.77.0.1"
BLOCK = 16384


def need_bed():
    """Ends the test with 77 where there is no /dev/fuse, or where namespaces and TAP devices cannot be made."""
    need_fuse()
    name = f"swbed-probe-{os.getpid():x}"
    if not os.path.exists("/dev/net/tun") or subprocess.run(["ip", "netns", "add", name],
                                                            stderr=subprocess.DEVNULL).returncode:
        skip("needs network namespaces and /dev/net/tun")
    ip("netns", "del", name)


def drop_caches():
    os.sync()
    with open("/proc/sys/vm/drop_caches", "w") as f:
        f.write("3")


def together(call, items):
    """The results of call(item), all at once; the first exception is raised when all have ended."""
    items = list(items)
    barrier = threading.Barrier(len(items))

    def run(item):
        barrier.wait()
        return call(item)

    with concurrent.futures.ThreadPoolExecutor(len(items)) as pool:
        return list(pool.map(run, items))


class BedRegistry(Registry):
    """`name`: of its namespace in the network."""

    def __init__(self, network, name, address, folder, work, **sections):
        self.space = network.space(name)
        super().__init__(folder, work, port=5000, address=address, **sections)

    def command(self):
        return [*inside(self.space), *super().command()]

    def answers(self):
        return answers(self.space, self.address, self.port)


def answers(space, address, port):
    """Whether somebody listens there, seen from a namespace."""

    def connect():
        with socket.socket() as s:
            s.settimeout(2)
            return s.connect_ex((address, port)) == 0

    return within(space, connect)


class BedNode(Node):
    """Node number i (from 1) is "n<i>" at 10.77.0.<10+i>. Before start(): `peers` (addresses), `quota` and `extra` (TOML)
    may be changed; configure() is done by start()."""

    def __init__(self, bed, number, zone=""):
        self.bed, self.number, self.name, self.zone = bed, number, f"n{number}", zone
        self.address, self.peers, self.quota, self.extra = f"10.77.0.{10 + number}", [], "20GB", ""
        self.prefix = bed.network.space(self.name) + "-"
        super().__init__()

    @property
    def space(self):
        return self.bed.network.space(self.name)

    def command(self):
        return [*inside(self.space), *super().command()]

    def configure(self, quota=None, config=""):
        super().configure(quota or self.quota, "\n".join([config, self.extra, self.bed.config, self.cluster_section()]))

    def cluster_section(self):
        if not self.bed.peers:
            return ""
        peers = ", ".join(f'"{peer}:{PORT}"' for peer in self.peers)
        return (f'[cluster]\ntoken_file = "{self.bed.token_file}"\nlisten = ["{self.address}:{PORT}"]\n'
                f'peers = [{peers}]\ndht = {"true" if self.bed.dht else "false"}\nzone = "{self.zone}"\n'
                + (f"bulk_port = {BULK_PORT}\n" if self.bed.bulk else ""))

    def start(self):
        self.configure()
        super().start()

    restart = start  # after kill() or terminate()

    def mount(self, reference, name=None, *options):
        return super().mount(self.bed.reference(reference), name, *options)

    def pull(self, reference):
        return self.run("pull", self.bed.reference(reference), timeout=600)

    def layers(self, reference):
        """Reports of the image's layers, lowest first."""
        return self.json("explain", self.bed.reference(reference))["layers"]

    def complete(self, reference):
        return all(layer["bytes_present"] == layer["size"] for layer in self.layers(reference))

    def wait_complete(self, reference, seconds=120):
        wait_for(f"{self.name}: all of {reference} is here", lambda: self.complete(reference), seconds)

    def blob(self, hex_digest):
        """The layer's bytes as the mount point shows them."""
        return os.path.join(self.tree, "blobs/sha256", hex_digest)

    def counted(self, name, **labels):
        """The sum of a metric over all label sets that agree with `labels`."""
        wanted = [f'{key}="{value}"' for key, value in labels.items()]
        return sum(value for text, value in self.metrics().items()
                   if text.split("{")[0] == name and all(label in text for label in wanted))

    def bytes_from(self, source, **labels):
        return self.counted("swarmfs_bytes_total", source=source, **labels)

    def log_text(self):
        return open(self.log, errors="replace").read()


class Bed:
    """N nodes that are not started yet, and a registry that runs, over the images `image_names` of tests/images/build.
    `config`: TOML for every node. Rates in Mbit/s, 0 is no limit. A delay counts once in each direction, on each node's
    link and on the registry's: delay_ms = 1 and registry_delay_ms = 4 make a round trip of 4 ms between nodes and of 10 ms
    to the registry. `jitter_ms`: so much may each node's link take longer, now and then.
    Without `peers` nodes know of no cluster; with `bulk` they use BitTorrent, too. bed[1] is node n1. Everything ends at exit, also after an exception or SIGTERM."""

    def __init__(self, nodes, image_names=("small",), down_mbit=0, up_mbit=0, registry_mbit=0, delay_ms=0, jitter_ms=0,
                 registry_delay_ms=0, peers=True, dht=False, zones=(), config="", registry_sections=None, burst_kb=256,
                 bulk=False):
        self.folder = images(*image_names)
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
        self.network = Network(os.path.join(BUILD, "tests/bed/delay_link"))
        self.link = {"down_mbit": down_mbit, "up_mbit": up_mbit, "delay_ms": delay_ms, "jitter_ms": jitter_ms,
                     "burst_kb": burst_kb}
        self.peers, self.dht, self.bulk = peers, dht, bulk
        self.work = tempfile.mkdtemp(prefix=self.network.tag + "-")
        self.token_file = os.path.join(self.work, "cluster.token")
        subprocess.run([node_module.SWARMFS, "cluster", "init", "--output", self.token_file], check=True,
                       stdout=subprocess.DEVNULL)
        self.config = f'{config}\n[[registry]]\nhost = "{REGISTRY}:5000"\nplain_http = true\n'
        self.network.add("registry", REGISTRY, up_mbit=registry_mbit, delay_ms=registry_delay_ms)
        self.registry = BedRegistry(self.network, "registry", REGISTRY, self.folder, self.work,
                                    **(registry_sections or {}))
        self.nodes = []
        for number in range(1, nodes + 1):
            self.nodes.append(BedNode(self, number, zones[number - 1] if zones else ""))
            self.network.add(f"n{number}", self.nodes[-1].address, **self.link)
        for node in self.nodes:
            node.peers = [other.address for other in self.nodes if other is not node]
        atexit.register(self.close)

    def __getitem__(self, number):
        return self.nodes[number - 1]

    def add_stranger(self, name, address):
        """A place on the network for something that is no node of ours: the name of its namespace."""
        self.network.add(name, address, **self.link)
        return self.network.space(name)

    def start(self, nodes=None):
        """These nodes (default: all), and waits until they have met."""
        started = self.nodes if nodes is None else list(nodes)
        for node in started:
            node.start()
        if self.peers:
            for node in started:
                wait_for(f"{node.name} listens", lambda node=node: answers(node.space, node.address, PORT))
            time.sleep(1.5)  # who asked before the other listened is silent for a second

    def reference(self, image):
        return f"{REGISTRY}:5000/{image}"

    def image_bytes(self, image):
        """The size of the image's layers, which somebody must have resolved."""
        for node in self.nodes:
            if node.process and node.process.poll() is None:
                return sum(layer["size"] for layer in node.layers(image))
        raise AssertionError("no node runs")

    def cut(self, node):
        self.network.cut(node.name)

    def heal(self, node):
        self.network.heal(node.name)

    def registry_down(self, silently=False):
        """Connections to it are refused; `silently`: they time out."""
        if silently:
            self.network.cut("registry")
        else:
            self.registry.stop()

    def registry_up(self):
        self.network.heal("registry")
        if not self.registry.process:
            self.registry.start()

    def registry_egress(self):
        """Bytes that left the registry's interface, headers and all."""
        return self.network.sent("registry")

    def corrupt(self, node, hex_digest, offset, count=1):
        """Flips a bit in each of `count` bytes of a layer in the node's cache, behind the daemon's back."""
        with open(os.path.join(node.work, "cache/layers", hex_digest + ".bytes"), "r+b") as f:
            f.seek(offset)
            data = f.read(count)
            assert len(data) == count, (hex_digest, offset)
            f.seek(offset)
            f.write(bytes(byte ^ 1 for byte in data))
            f.flush()
            os.fsync(f.fileno())
            os.posix_fadvise(f.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)

    def check_blobs(self, node, image):
        """Reads every layer through the node's mount point: its SHA-256 is its name."""
        for layer in node.layers(image):
            hex_digest = layer["digest"].split(":")[1]
            assert content_hash(node.blob(hex_digest)) == hex_digest, f"{node.name}: layer {hex_digest} is wrong"

    def trees(self, directories):
        """What the directories hold, all read at once."""
        return together(walk, directories)

    def close(self):
        for node in self.nodes:
            if node.process and node.process.poll() is None:
                node.process.terminate()
        for node in self.nodes:
            node.close()
        self.registry.stop()
        self.network.close()
