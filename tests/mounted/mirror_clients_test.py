#!/usr/bin/env python3
"""Clients of the mirror that are private, slow or lazy, and a registry that is a black hole. Real clients; what they get is
compared by digest, or byte by byte."""
import base64
import gzip
import io
import json
import os
import random
import socket
import subprocess
import sys
import tarfile
import threading
import time
import urllib.request
from functools import partial

from mirrored import Mirrored, WritableRegistry, digest, get, push_image
from node import Node, Registry, images, need_fuse, wait_for
from proxy import Proxy
from storage_client import PullFailed, storage_client
from token_server import TokenServer

ALICE = "alice:s3cret"


def image_of(registry, tag, headers=None):
    """All digests, the manifest's first, and the sizes of the blobs."""
    document = get(registry.port, f"/v2/small/manifests/{tag}", headers)[2]
    manifest = json.loads(document)
    blobs = {blob["digest"]: blob["size"] for blob in [manifest["config"], *manifest["layers"]]}
    return [digest(document), *blobs], blobs


def has_all(mirrored, image):
    assert mirrored.contents() == set(image), mirrored.contents() ^ set(image)
    for name in image:
        assert digest(mirrored.stored(name)) == name, name


def in_parallel(calls, threads=8):
    failed, left = [], list(calls)

    def work():
        while left and not failed:
            try:
                left.pop()()
            except IndexError:
                return
            except Exception as error:
                failed.append(error)

    running = [threading.Thread(target=work) for _ in range(threads)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    assert not failed, failed


# Private registries

def basic(name):
    return {"Authorization": "Basic " + base64.b64encode(name.encode()).decode()}


def by_agent(proxy, agent):
    return [(method, path, headers.get("Authorization", ""), status) for method, path, headers, status in proxy.seen
            if headers.get("User-Agent", "").startswith(agent)]


def is_relayed(proxy, tokens):
    """The registry was asked in the client's own words: with the token that containerd had, or alice's password."""
    said = {auth for method, path, auth, status in by_agent(proxy, "swarmfs/") if "/manifests/" in path and status == 200}
    if tokens:
        return any(tokens.given.get(auth[7:], (None, ""))[1].startswith("containerd") for auth in said)
    return basic(ALICE)["Authorization"] in said


def strangers_get_nothing(mirrored, registry, proxy, tokens, image):
    """Neither with containerd, which has no more than the manifest's name, nor digest by digest."""
    assert mirrored.fetch(f"{proxy.host}/small:v1").returncode != 0
    assert mirrored.contents() == set()
    guess = basic("alice:guess")
    if tokens:
        answer = urllib.request.urlopen(f"{tokens.url}?service=reg&scope=repository:small:pull").read()
        guess = {"Authorization": "Bearer " + json.loads(answer)["token"]}
    ns = f"?ns={proxy.host}"
    challenge = get(registry.port, "/v2/small/manifests/v1")[1]["Www-Authenticate"]
    for path in ["manifests/v1", f"manifests/{image[0]}", *(f"blobs/{name}" for name in image[1:])]:
        for who in ({}, guess):
            for part in ({}, {"Range": "bytes=0-9"}):
                status, headers, body = get(mirrored.port, f"/v2/small/{path}{ns}", {**who, **part})
                assert status == 401 and b"errors" in body, (path, who, status)
                assert headers["WWW-Authenticate"].startswith(challenge), (headers, challenge)


KNOWS = 'username = "alice"\npassword_file = "{work}/password"\n'
# What the node's configuration says in the registry's section, and in the mirror's.
NODES = {"has a credential": (KNOWS, ""), "borrows": ("", ""), "may not borrow": ("", "borrow_credentials = false\n")}


def private(folder, image, work, tokens, kind):
    """A node that has no credential of its own fetches with that of its client, or, where it may not, nothing: the client goes
    to the registry."""
    own, mirror = NODES[kind]
    knows, fetches = bool(own), not mirror
    auth = tokens.section(work) if tokens else f"auth: {{htpasswd: {{realm: r, path: {work}/htpasswd}}}}\n"
    registry = Registry(folder, work, auth=auth)
    proxy = Proxy(registry.host)
    mirrored = Mirrored(proxy, f'{mirror}[[registry]]\nhost = "{proxy.host}"\n' + own.format(work=work))
    try:
        for turn in range(2):
            done = mirrored.fetch(f"{proxy.host}/small:v1", "--user", ALICE)
            assert done.returncode == 0, done.stderr
            has_all(mirrored, image)
            mirrored.forget()
            brought = mirrored.registry_bytes()
            assert (brought > 40_000_000) == fetches, brought
            if turn == 0:
                first = brought
                assert is_relayed(proxy, tokens), by_agent(proxy, "swarmfs/")
        assert brought == first, "the second pull costs the registry nothing"
        direct = {path.split("/")[-1] for _, path, _, status in by_agent(proxy, "containerd") if "/blobs/" in path and status == 200}
        assert direct == (set() if fetches else set(image[1:])), direct
        strangers_get_nothing(mirrored, registry, proxy, tokens, image)
        if not knows:
            used = {auth for *_, auth, status in by_agent(proxy, "swarmfs/") if status == 200}
            assert all(auth for auth in used), "the node as itself was given something"
        log = open(mirrored.node.log, errors="replace").read()
        assert "s3cret" not in log and "Bearer ey" not in log
    finally:
        mirrored.close()
        proxy.stop()
        registry.stop()


def by_podman(folder, image, work):
    """It asks a mirror whether it needs a password before it says what it wants, and has none for the manifest then: it goes to
    the registry itself. So does who has nobody else to ask, skopeo, end there."""
    registry = Registry(folder, work, auth=f"auth: {{htpasswd: {{realm: r, path: {work}/htpasswd}}}}\n")
    proxy = Proxy(registry.host, address="127.0.0.7", port=80)
    mirrored = Mirrored(proxy, f'[[registry]]\nhost = "127.0.0.7"\nusername = "alice"\npassword_file = "{work}/password"\n')
    place = f"{mirrored.node.work}/podman"
    os.makedirs(place)
    mirror = f"127.0.0.1:{mirrored.port}"
    login = base64.b64encode(ALICE.encode()).decode()
    for name, hosts in (("alice", (mirror, registry.host)), ("nobody", ())):
        with open(f"{place}/{name}.json", "w") as f:
            json.dump({"auths": {host: {"auth": login} for host in hosts}}, f)
    config = {"name": "127.0.0.7/small", "direct": f"{registry.host}/small", "mirror": f"{mirror}/127.0.0.7/small",
              "auth": f"{place}/alice.json"}
    try:
        storage_client("podman", place, config, image)
        try:
            storage_client("podman", place, {**config, "auth": f"{place}/nobody.json"}, image, again=True)
            raise AssertionError("a stranger was given the image")
        except PullFailed:
            pass
    finally:
        mirrored.close()
        proxy.stop()
        registry.stop()


def tokens_run_out(folder, image, work, tokens):
    """Each token serves for three of the node's requests for a blob, whose layers take more; the client, who has another one
    whenever it is asked for it, gets all of the image."""
    registry = Registry(folder, work, auth=tokens.section(work))
    used = {}

    def rule(method, path, headers):
        token = headers.get("Authorization", "")
        if "/blobs/" in path and method == "GET" and headers.get("User-Agent", "").startswith("swarmfs/"):
            used[token] = used.get(token, 0) + 1
        if not token or used.get(token, 0) <= 3:
            return {}
        challenge = f'Bearer realm="{tokens.url}",service="reg",scope="repository:small:pull",error="invalid_token"'
        return {"status": 401, "headers": {"WWW-Authenticate": challenge}}

    proxy = Proxy(registry.host, rule)
    mirrored = Mirrored(proxy, f'[[registry]]\nhost = "{proxy.host}"\n')
    try:
        done = mirrored.fetch(f"{proxy.host}/small:v1", "--user", ALICE)
        assert done.returncode == 0, done.stderr
        has_all(mirrored, image)
        refused = sum(status == 401 for _, path, auth, status in by_agent(proxy, "swarmfs/") if "/blobs/" in path and auth)
        direct = sum(status == 200 for _, path, _, status in by_agent(proxy, "containerd") if "/blobs/" in path)
        print(f"tokens that run out: {len(used)} were used, {refused} times too late; {mirrored.registry_bytes() / 1e6:.0f} MB came "
              f"through the mirror, {direct} blobs past it", flush=True)
        assert refused > 0
    finally:
        mirrored.close()
        proxy.stop()
        registry.stop()


def tokens_and_passwords(folder):
    work = Node().work
    subprocess.run(f"htpasswd -Bbn alice s3cret > {work}/htpasswd", shell=True, check=True)
    with open(f"{work}/password", "w") as f:
        f.write("s3cret\n")
    free = Registry(folder, work)
    image, _ = image_of(free, "v1")
    free.stop()
    tokens = TokenServer(work)
    for kind in (tokens, None):
        for node in NODES:
            private(folder, image, work, kind, node)
            print(f"{'bearer' if kind else 'basic'}, the node {node}: ok", flush=True)
    tokens_run_out(folder, image, work, tokens)
    by_podman(folder, image, work)
    print("podman: ok", flush=True)


# Black holes

class Hole:
    """In place of a registry: `deaf` takes connections and answers nothing; else they are not even taken, as where a firewall
    drops what comes (the kernel drops the SYNs to a full queue)."""

    def __init__(self, host, deaf):
        address, port = host.split(":")
        self.line = socket.socket()
        self.line.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.line.bind((address, int(port)))
        self.line.listen(128 if deaf else 0)
        self.queue = []
        while not deaf:
            one = socket.socket()
            one.settimeout(0.5)
            self.queue.append(one)
            if one.connect_ex((address, int(port))):
                break

    def close(self):
        for one in [self.line, *self.queue]:
            one.close()


def within(seconds, what, call):
    began = time.time()
    made = call()
    took = time.time() - began
    assert took <= seconds, (what, took)
    print(f"  {what}: {took:.1f} s", flush=True)
    return made


MANIFEST = 6  # seconds; the mirror's patience is 2, twice at most
BLOB = 25     # until the first byte


def still_served(mirrored, registry, cached, sizes, by):
    """What is cached: by tag and by digest, to containerd too."""
    ns = f"?ns={registry.host}"
    for reference in ("v1", cached[0]):
        status, _, body = within(MANIFEST, f"manifest {reference[:12]}",
                                 lambda: get(mirrored.port, f"/v2/small/manifests/{reference}{ns}"))
        assert status == 200 and digest(body) == cached[0], (reference, status)
    for name in sizes:
        status, _, body = within(MANIFEST, "blob", lambda: get(mirrored.port, f"/v2/small/blobs/{name}{ns}"))
        assert status == 200 and digest(body) == name, (name, status)
    done = within(20, f"containerd {by[:12]}", lambda: mirrored.fetch(f"{registry.host}/small{by}"))
    assert done.returncode == 0, done.stderr
    has_all(mirrored, cached)
    mirrored.forget()


def is_refused(mirrored, registry, path, bound):
    """With an answer that sends the client to the registry."""
    status, _, body = within(bound, path[:30], lambda: get(mirrored.port, f"/v2/{path}?ns={registry.host}"))
    assert status in (404, 503) and b"errors" in body, (path, status, body)


def as_direct(mirrored, registry, tag):
    """containerd ends with the mirror as it does without: its own 30 s for a connection."""
    took = {}

    def pull(name, *options):
        began = time.time()
        done = mirrored.containerd.ctr("content", "fetch", *options, f"{registry.host}/small:{tag}", check=False, timeout=120)
        assert done.returncode != 0, name
        took[name] = time.time() - began

    in_parallel([partial(pull, "direct", "--plain-http"), partial(pull, "through", "--hosts-dir", mirrored.hosts)])
    print(f"  containerd gives up: {took}", flush=True)
    assert took["through"] < took["direct"] + 2 * MANIFEST, took


def black_hole(folder):
    registry = Registry(folder, Node().work)
    mirrored = Mirrored(registry)
    cached, sizes = image_of(registry, "v1")
    other, _ = image_of(registry, "v1-zstd")
    nowhere = "sha256:" + "0" * 64
    # The last is a blob that a manifest named, and may come from somewhere until the time for that is over.
    rest = {"small/manifests/none": MANIFEST, f"small/manifests/{nowhere}": MANIFEST, "none/manifests/v1": MANIFEST,
            f"small/blobs/{nowhere}": MANIFEST, "small/tags/list": MANIFEST, f"small/blobs/{other[-1]}": BLOB}
    assert get(mirrored.port, f"/v2/small/manifests/v1-zstd?ns={registry.host}")[0] == 200
    assert mirrored.fetch(f"{registry.host}/small:v1").returncode == 0
    mirrored.forget()
    registry.stop()
    try:
        for deaf, by in ((False, ":v1"), (True, f"@{cached[0]}")):
            hole = Hole(registry.host, deaf)
            print("deaf:" if deaf else "dropped:", flush=True)
            still_served(mirrored, registry, cached, sizes, by)
            jobs = [partial(is_refused, mirrored, registry, path, bound) for path, bound in rest.items()]
            if not deaf:  # for an answer containerd would wait for ever
                jobs.append(partial(as_direct, mirrored, registry, "v1-docker"))
            in_parallel(jobs)
            hole.close()
            mirrored.node.terminate()
            mirrored.node.start()  # it knows nothing of the registry's state
        registry.start()
        assert mirrored.fetch(f"{registry.host}/small:v1-zstd").returncode == 0
        has_all(mirrored, other)
    finally:
        mirrored.close()
        registry.stop()


# Slow readers

SLOW, RATE, TICK = 64, 16_384, 0.25


class SlowReaders:
    """Many connections that take a blob at RATE bytes per second each, until hurry()."""

    def __init__(self, port, path, count):
        self.lines, self.hurried, self.bodies = [], threading.Event(), [bytearray() for _ in range(count)]
        for _ in range(count):
            line = socket.socket()
            line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
            line.settimeout(60)
            line.connect(("127.0.0.1", port))
            line.sendall(f"GET {path} HTTP/1.1\r\nHost: m\r\nConnection: close\r\n\r\n".encode())
            self.lines.append(line)
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        while not self.hurried.is_set():
            began = time.time()
            for line, body in zip(self.lines, self.bodies):
                try:
                    body += line.recv(int(RATE * TICK), socket.MSG_DONTWAIT)
                except BlockingIOError:
                    pass
            self.hurried.wait(max(0, TICK - (time.time() - began)))
        rest = [threading.Thread(target=self.read_rest, args=pair) for pair in zip(self.lines, self.bodies)]
        for one in rest:
            one.start()
        for one in rest:
            one.join()

    @staticmethod
    def read_rest(line, body):
        with line:
            while block := line.recv(1 << 18):
                body += block

    def slowest(self):
        return min(len(body) for body in self.bodies)

    def hurry(self):
        """What each has got."""
        self.hurried.set()
        self.thread.join()
        return [bytes(body[body.index(b"\r\n\r\n") + 4:]) for body in self.bodies]


def memory(node, key):
    """In bytes."""
    for line in open(f"/proc/{node.process.pid}/status"):
        if line.startswith(key + ":"):
            return int(line.split()[1]) * 1000
    raise AssertionError(key)


def slow_readers(folder):
    """Of a blob that has to be fetched first, beside containerd."""
    work = Node().work
    registry, pushed = Registry(folder, work), WritableRegistry(work)
    mirrored = Mirrored(registry)
    try:
        image, _ = image_of(registry, "v1")
        began = time.time()
        mirrored.pull(f"{registry.host}/small:v1")
        alone = time.time() - began
        mirrored.forget()
        mirrored.node.run("evict")
        layer = random.Random(11).randbytes(8_000_000)
        name = push_image(pushed.host, "slow", [layer])[2]
        ns = f"?ns={pushed.host}"
        assert get(mirrored.port, f"/v2/slow/manifests/v1{ns}")[0] == 200
        before = memory(mirrored.node, "VmRSS")
        readers = SlowReaders(mirrored.port, f"/v2/slow/blobs/{name}{ns}", SLOW)
        wait_for("all are under way", lambda: readers.slowest() > 4 * RATE)
        taken = memory(mirrored.node, "VmRSS") - before
        began = time.time()
        mirrored.pull(f"{registry.host}/small:v1")
        beside = time.time() - began
        has_all(mirrored, image)
        status, _, body = within(alone + 5, "the same blob", lambda: get(mirrored.port, f"/v2/slow/blobs/{name}{ns}"))
        assert status == 200 and body == layer
        wait_for("they go on", lambda: readers.slowest() > 10 * RATE, 30)
        assert mirrored.node.metrics()["swarmfs_mirror_streams"] >= SLOW, "they were let go"
        bodies = readers.hurry()
        assert all(body == layer for body in bodies), [len(body) for body in bodies]
        print(f"a pull alone {alone:.1f} s, beside {SLOW} slow readers {beside:.1f} s; for these {taken / 1e6:.0f} MB, "
              f"peak {memory(mirrored.node, 'VmHWM') / 1e6:.0f} MB", flush=True)
        assert beside < 2 * alone + 5, (alone, beside)
        # Half as much again as was seen: threads, two pieces each, and what the allocator keeps.
        assert taken < 300_000_000, taken
        assert memory(mirrored.node, "VmHWM") < 750_000_000, memory(mirrored.node, "VmHWM")
    finally:
        mirrored.close()
        pushed.stop()
        registry.stop()


# Lazy readers

FOOTER = 51


def tar_of(seed, files):
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for number, size in enumerate(files):
            info = tarfile.TarInfo(f"file{number}")
            info.size = size
            tar.addfile(info, io.BytesIO(random.Random(f"{seed}{number}").randbytes(size)))
    return made.getvalue()


class LazyReader:
    """Reads an eStargz layer as stargz-snapshotter does: a probe, the footer, the table of contents, then chunks."""

    def __init__(self, port, path, by_suffix):
        self.port, self.path, self.asked = port, path, 0
        status, headers, body = get(port, path, {"Range": "bytes=0-1"})
        assert (status, len(body)) == (206, 2), status
        self.size = int(headers["Content-Range"].split("/")[1])
        footer = self.range(self.size - FOOTER, self.size, f"bytes=-{FOOTER}" if by_suffix else None)
        assert footer[16:38].endswith(b"STARGZ"), footer
        self.toc_at = int(footer[16:32], 16)
        packed = self.range(self.toc_at, self.size - FOOTER)
        with tarfile.open(fileobj=io.BytesIO(gzip.decompress(packed))) as tar:
            self.entries = [entry for entry in json.load(tar.extractfile("stargz.index.json"))["entries"]
                            if entry.get("offset") and entry["type"] in ("reg", "chunk")]
        self.ends = dict(zip(sorted(entry["offset"] for entry in self.entries),
                             sorted(entry["offset"] for entry in self.entries)[1:] + [self.toc_at]))

    def range(self, begin, end, header=None):
        status, headers, body = get(self.port, self.path, {"Range": header or f"bytes={begin}-{end - 1}"})
        assert status == 206 and headers["Content-Range"] == f"bytes {begin}-{end - 1}/{self.size}", (status, headers)
        assert len(body) == end - begin, (begin, end, len(body))
        self.asked += -(-end // 16384) * 16384 - begin // 16384 * 16384  # as whole blocks
        return body

    def read(self, entry):
        packed = self.range(entry["offset"], self.ends[entry["offset"]])
        content = gzip.GzipFile(fileobj=io.BytesIO(packed)).read(entry.get("chunkSize") or entry["size"])
        assert digest(content) == entry["chunkDigest"], entry


def lazy_readers():
    work = Node().work
    registry = WritableRegistry(work)
    proxy = Proxy(registry.host)
    mirrored = Mirrored(proxy)
    try:
        remote = ["ctr-remote", "-a", mirrored.containerd.socket, "images"]
        push_image(registry.host, "plain", [tar_of("lazy", [700_000] * 30 + [20_000] * 200)])
        plain, lazy = f"{registry.host}/plain:v1", f"{registry.host}/lazy:v1"
        mirrored.containerd.ctr("images", "pull", "--plain-http", "--snapshotter", "overlayfs", plain)
        subprocess.run([*remote, "optimize", "--no-optimize", "--oci", plain, lazy], check=True, stdout=subprocess.DEVNULL, timeout=120)
        mirrored.containerd.ctr("images", "push", "--plain-http", lazy)
        mirrored.forget()
        ns = f"?ns={proxy.host}"
        manifest = json.loads(get(mirrored.port, f"/v2/lazy/manifests/v1{ns}")[2])
        layer = manifest["layers"][0]
        path = f"/v2/lazy/blobs/{layer['digest']}{ns}"
        for turn in ("cold", "warm"):
            given, began = proxy.given, time.time()
            for by_suffix in (True, False):
                reader = LazyReader(mirrored.port, path, by_suffix)
                chosen = random.Random(5).sample(reader.entries, 24)
                in_parallel([partial(reader.read, entry) for entry in chosen])
            cost = proxy.given - given
            print(f"{turn}: {reader.asked} bytes in blocks asked for of {reader.size}, the registry gave {cost}, "
                  f"{time.time() - began:.1f} s", flush=True)
            assert cost <= (1.1 * reader.asked if turn == "cold" else 0), (turn, cost, reader.asked)
        subprocess.run([*remote, "rpull", "--snapshotter", "overlayfs", "--hosts-dir", mirrored.hosts, f"{proxy.host}/lazy:v1"],
                       check=True, stdout=subprocess.DEVNULL, timeout=120)
        for one in (layer["digest"], manifest["config"]["digest"]):
            assert digest(mirrored.stored(one)) == one, one
    finally:
        mirrored.close()
        proxy.stop()
        registry.stop()


def main():
    """`mirror_clients_test.py BUILD [private] [hole] [slow] [lazy]`; without: all."""
    need_fuse()
    folder = images("small")
    parts = {"private": lambda: tokens_and_passwords(folder), "hole": lambda: black_hole(folder),
             "slow": lambda: slow_readers(folder), "lazy": lazy_readers}
    for word in sys.argv[2:] or parts:
        began = time.time()
        parts[word]()
        print(f"{word}: ok, {time.time() - began:.1f} s", flush=True)


if __name__ == "__main__":
    sys.exit(main())
