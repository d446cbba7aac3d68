#!/usr/bin/env python3
"""Nodes that serve each other, each way against a baseline in the same run and on the same links.
    bench/peers.py BUILD [second] [herd] [shared] [fault] [small] [medium] [--nodes 2,4,8] [--image medium] [--down MBIT]
        [--up MBIT] [--registry MBIT] [--delay MS]          (default: all; --help)
second: a node mounts and runs what another has, or has run as well; against ctr pull + ctr run.
herd: cold nodes pull an image at once, the registry's link is wide; against one `ctr images pull` alone (which unpacks, too),
one curl of all layers alone, and as many curls at once.
shared: the same where all nodes share one link to the registry that is no wider than theirs.
fault: absent ranges read through the mount, from a peer; against curl ranges from nginx over TLS."""
import argparse
import json
import os
import random
import subprocess
import sys
import time

SOURCE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path[:0] = [os.path.join(SOURCE, folder) for folder in ("tests/bed", "tests/mounted", "tests/peers")]
sys.argv[1] = os.path.abspath(sys.argv[1])
from bed import PORT, REGISTRY, Bed, drop_caches, together, wait_for  # noqa: E402
from cache_files import blob_path  # noqa: E402
from containerd import Containerd  # noqa: E402
from forger import Forger  # noqa: E402
from netns import inside  # noqa: E402
from startup import WORK, run_ours, run_plain  # noqa: E402

SECOND = {"down_mbit": 100, "up_mbit": 100, "registry_mbit": 1000, "registry_delay_ms": 5}
SECOND_BARS = {"small": "first 0.30", "medium": "done 0.15"}
HERD = {"down_mbit": 50, "up_mbit": 50, "registry_mbit": 500, "registry_delay_ms": 5}
SHARED = {"down_mbit": 100, "up_mbit": 100, "registry_mbit": 100, "registry_delay_ms": 5}
FAULT_LINKS = ({"down_mbit": 1000, "up_mbit": 1000}, {"down_mbit": 1000, "up_mbit": 1000, "delay_ms": 1})
FAULT_LENGTHS = (64 << 10, 256 << 10)
SAMPLES = 150


def table(title, head, rows):
    print(f"\n{title}")
    widths = [max(len(str(row[i])) for row in [head, *rows]) for i in range(len(head))]
    for row in [head, *rows]:
        print("  ".join(str(cell).ljust(width) for cell, width in zip(row, widths)).rstrip(), flush=True)


def second(names):
    rows = []
    for image in names:
        bed = Bed(3, [image], **SECOND)
        drop_caches()
        plain = run_plain(bed.work, bed.reference(f"{image}:v1"), WORK[image], bed[2].space)
        rows.append((image, "ctr pull + ctr run", f"{plain[0]:.2f}", f"{plain[1]:.2f}", "1.00", "1.00", ""))
        bed.start(bed.nodes[:2])
        bed[1].pull(f"{image}:v1")
        containerd = Containerd(bed.work)

        def run(node, way):
            drop_caches()
            first, done, _, waited = run_ours(node, containerd, f"{image}:v1", WORK[image], node.name)
            given = node.bytes_from("peer"), node.bytes_from("registry")
            rows.append((image, way, f"{first:.2f}", f"{done:.2f}", f"{first / plain[0]:.2f}", f"{done / plain[1]:.2f}",
                         f"bar {SECOND_BARS[image]}; {given[0] / 1e6:.0f} MB from peers, {given[1] / 1e6:.1f} MB from the "
                         f"registry by then, faults waited {waited:.1f} s"))

        run(bed[2], "another node has it")
        bed[2].terminate()
        bed.start([bed[3]])
        run_ours(bed[1], containerd, f"{image}:v1", WORK[image], "once")
        run(bed[3], "another node ran it")
        containerd.stop()
        bed.close()
    table("Second node, index known to the first: 100 Mbit/s, 10 ms RTT to the registry, none between nodes",
          ("image", "way", "first s", "done s", "first x", "done x", ""), rows)


def curl_image(space, urls):
    """Seconds until all layers are there, asked for at once."""
    begun = time.time()
    words = [word for url in urls for word in (url, "-o", "/dev/null")]
    subprocess.run([*inside(space), "curl", "-sf", "--no-progress-meter", "-Z", "--parallel-immediate", *words], check=True)
    return time.time() - begun


def ctr_pull(bed, node, reference):
    """Seconds of `ctr images pull` with a containerd of its own, which unpacks as well."""
    home = os.path.join(bed.work, f"plain-{node.name}")
    os.makedirs(home)
    containerd = Containerd(home)
    try:
        begun = time.time()
        subprocess.run([*inside(node.space), "ctr", "-a", containerd.socket, "images", "pull", "--plain-http", reference],
                       check=True, stdout=subprocess.DEVNULL)
        return time.time() - begun
    finally:
        containerd.stop()
        subprocess.run(["rm", "-rf", home])


def herd(settings, links):
    """Each number of nodes: one plain pull alone, all plain pulls at once, all of ours at once."""
    rows = []
    reference = f"{settings.image}:v1"
    for count in settings.nodes:
        bed = Bed(count, [settings.image], **links)
        bed.start()
        # Known by curl, or a node would be told that is not cold any more.
        urls, total = layer_urls(bed, settings.image)
        drop_caches()
        by_ctr = ctr_pull(bed, bed[1], bed.reference(reference))
        drop_caches()
        alone = curl_image(bed[1].space, urls)
        before = bed.registry_egress()
        plain = together(lambda node: curl_image(node.space, urls), bed.nodes)
        plain_egress = (bed.registry_egress() - before) / total
        drop_caches()
        before, cpu = bed.registry_egress(), sum(cpu_seconds(node) for node in bed.nodes)

        def pull(node):
            begun = time.time()
            node.pull(reference)
            return time.time() - begun

        ours = together(pull, bed.nodes)
        egress = (bed.registry_egress() - before) / total
        cpu = sum(cpu_seconds(node) for node in bed.nodes) - cpu
        print(f"{count} nodes: {' '.join(f'{seconds:.1f}' for seconds in ours)} s", flush=True)
        bed.close()
        slowest, ideal = max(ours), total * 8e-6 * max(1 / links["down_mbit"], 1 / links["registry_mbit"])
        rows.append((count, f"{egress:.2f}", f"{plain_egress:.2f}", f"{min(ours):.1f}–{slowest:.1f}",
                     f"{min(plain):.1f}–{max(plain):.1f}", f"{alone:.1f}", f"{by_ctr:.1f}", f"{slowest / max(plain):.2f}",
                     f"{slowest / alone:.2f}", f"{slowest / by_ctr:.2f}", f"{slowest / ideal:.2f}", f"{cpu:.0f}"))
    table(f"Cold herd, {settings.image} image, index nowhere: {links['down_mbit']} Mbit/s per node, {links['registry_mbit']} "
          f"Mbit/s at the registry, {2 * links['registry_delay_ms']} ms RTT to it (bars: egress 1.05, of ideal 1.30)",
          ("nodes", "egress x", "plain x", "pull s", "curl herd s", "curl alone s", "ctr alone s", "of curl herd x",
           "of curl alone x", "of ctr alone x", "of ideal x", "cpu s"), rows)


def cpu_seconds(node):
    """User and system time of its daemon so far."""
    with open(f"/proc/{node.process.pid}/stat") as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def layer_urls(bed, image):
    """Where curl finds the layers of the image, and their size; no node of the bed hears of it."""
    base = f"http://{REGISTRY}:5000/v2/{image}"
    accept = ("application/vnd.oci.image.manifest.v1+json", "application/vnd.docker.distribution.manifest.v2+json")
    words = [word for kind in accept for word in ("-H", f"Accept: {kind}")]
    text = subprocess.run([*inside(bed[1].space), "curl", "-sf", *words, f"{base}/manifests/v1"], check=True,
                          stdout=subprocess.PIPE).stdout
    layers = json.loads(text)["layers"]
    return [f"{base}/blobs/{layer['digest']}" for layer in layers], sum(layer["size"] for layer in layers)


def percentiles(seconds):
    ordered = sorted(seconds)
    return [1000 * ordered[int(len(ordered) * part)] for part in (0.5, 0.9, 0.99)]


class Nginx:
    """Serves one file over TLS in a namespace."""

    def __init__(self, bed, node, forger, path):
        self.url = f"https://{node.address}:8443/layer"
        home = os.path.join(bed.work, "nginx")
        os.makedirs(home)
        os.chmod(bed.work, 0o755)
        with open(os.path.join(home, "nginx.conf"), "w") as f:
            f.write(f'''user root; daemon off; pid {home}/pid; error_log {home}/log;
events {{}}
http {{ access_log off; keepalive_requests 100000; tcp_nodelay on;
server {{ listen {node.address}:8443 ssl; ssl_certificate {forger.certificate}; ssl_certificate_key {forger.key};
ssl_protocols TLSv1.3; location = /layer {{ alias {path}; }} }} }}
''')
        self.process = subprocess.Popen([*inside(node.space), "nginx", "-p", home, "-c", f"{home}/nginx.conf"],
                                        stderr=subprocess.DEVNULL)
        wait_for("nginx", lambda: subprocess.run([*inside(node.space), "curl", "-skI", self.url],
                                                 stdout=subprocess.DEVNULL).returncode == 0)

    def stop(self):
        self.process.terminate()
        self.process.wait(10)


def curl_ranges(bed, node, url, ranges, extra=""):
    """Seconds of each range, over one connection that is there already."""
    path = os.path.join(bed.work, "curl.conf")
    with open(path, "w") as f:
        f.write("next\n".join(f'url = "{url}"\nrange = "{offset}-{offset + length - 1}"\noutput = "/dev/null"\ninsecure\n'
                              f'silent\nfail\n{extra}write-out = "%{{time_total}}\\n"\n'
                              for offset, length in [ranges[0], *ranges]))
    out = subprocess.run([*inside(node.space), "curl", "-K", path], check=True, stdout=subprocess.PIPE, text=True).stdout
    return [float(line) for line in out.split()][1:]


def mount_ranges(node, path, ranges, pause=0):
    """Seconds of each range but the first, read through the mount, absent before; over a connection that is there already, as
    curl's. `pause`: seconds before each."""
    made = []
    handle = os.open(path, os.O_RDONLY)
    os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_RANDOM)
    for offset, length in ranges:
        time.sleep(pause)
        begun = time.time()
        assert len(os.pread(handle, length, offset)) == length
        made.append(time.time() - begun)
    os.close(handle)
    return made[1:]


def fault():
    rows = []
    for link in FAULT_LINKS:
        bed = Bed(2, ["medium"], config="[fetch]\nbackfill = false\n", **link)
        # Nodes share no disk: here what the reader writes and syncs would stop the giver's reads.
        disk_of_its_own = os.path.join(bed[2].work, "cache")
        os.makedirs(disk_of_its_own)
        subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=0700", "tmpfs", disk_of_its_own], check=True)
        bed.start()
        bed[1].pull("medium:v1")
        layer = max(bed[1].layers("medium:v1"), key=lambda one: one["size"])
        hex_digest = layer["digest"].split(":")[1]
        forger = Forger(os.path.join(bed.work, "forger"), bed.token_file)
        nginx = Nginx(bed, bed[1], forger, blob_path(bed.folder, hex_digest))
        lane = (f"https://{bed[1].address}:{PORT}/v1/layers/{hex_digest}/bytes"
                f"?repository={REGISTRY}:5000/medium&class=fault&fetch=0")
        bed[2].mount("medium:v1")
        starts = [at for at in range(0, layer["size"] - (1 << 20), 512 << 10)]
        random.Random(7).shuffle(starts)
        rtt = f"{4 * link.get('delay_ms', 0)} ms"
        for number, length in enumerate(FAULT_LENGTHS):
            ranges = [(at, length) for at in starts[number * SAMPLES:(number + 1) * SAMPLES]]
            baseline = percentiles(curl_ranges(bed, bed[2], nginx.url, ranges))
            by_curl = percentiles(curl_ranges(bed, bed[2], lane, ranges,
                                              f'cert = "{forger.certificate}"\nkey = "{forger.key}"\n'))
            before = bed[2].bytes_from("peer")
            ours = percentiles(mount_ranges(bed[2], bed[2].blob(hex_digest), ranges))
            given = bed[2].bytes_from("peer") - before
            for way, found in (("nginx + curl", baseline), ("demand lane + curl", by_curl), ("fault through the mount", ours)):
                note = f"bar 1.30; {given / (length * len(ranges)):.2f} of the bytes from the peer" if found is ours else ""
                rows.append((rtt, f"{length >> 10} KiB", way, len(ranges), *(f"{ms:.2f}" for ms in found),
                             f"{found[0] / baseline[0]:.2f}", f"{found[2] / baseline[2]:.2f}", note))
        nginx.stop()
        bed.close()
    table("Fault latency from a peer", ("RTT", "length", "way", "n", "p50 ms", "p90 ms", "p99 ms", "p50 x", "p99 x", ""),
          rows)


def settings_of(words):
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("parts", nargs="*")
    parser.add_argument("--nodes", type=lambda text: [int(word) for word in text.split(",")], default=[2, 4, 8])
    parser.add_argument("--image", default="medium", choices=list(WORK))
    for name, key in (("down", "down_mbit"), ("up", "up_mbit"), ("registry", "registry_mbit"), ("delay", "registry_delay_ms")):
        parser.add_argument(f"--{name}", dest=key, type=int)
    return parser.parse_args(words)


def main():
    settings = settings_of(sys.argv[2:])
    parts = {"second", "herd", "shared", "fault"}
    names = [word for word in settings.parts if word in WORK] or list(WORK)

    def links(usual):
        return {key: usual[key] if getattr(settings, key) is None else getattr(settings, key) for key in usual}

    for part in [word for word in settings.parts if word in parts] or ["second", "herd", "shared", "fault"]:
        {"second": lambda: second(names), "herd": lambda: herd(settings, links(HERD)),
         "shared": lambda: herd(settings, links(SHARED)), "fault": fault}[part]()


if __name__ == "__main__":
    main()
