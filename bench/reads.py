#!/usr/bin/env python3
"""Reads through the mount against the same file on ext4: sequential, random 4 KiB, mmap; page-cache-warm and
chunk-cache-warm but page-cache-cold.
    bench/reads.py BUILD"""
import mmap
import os
import random
import statistics
import sys
import time

SOURCE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(SOURCE, "tests/mounted"))
from node import Node, Registry, images  # noqa: E402

ROUNDS = 5


def drop_caches():
    os.sync()
    open("/proc/sys/vm/drop_caches", "w").write("3")


def sequential(path, direct=False):
    descriptor = os.open(path, os.O_RDONLY | (os.O_DIRECT if direct else 0))
    buffer = mmap.mmap(-1, 1 << 20)
    total = 0
    while got := os.readv(descriptor, [buffer]):
        total += got
    os.close(descriptor)
    return total


def at_random(path):
    size = os.path.getsize(path)
    generator = random.Random(4)
    with open(path, "rb", buffering=0) as f:
        for _ in range(8000):
            os.pread(f.fileno(), 4096, generator.randrange(size // 4096) * 4096)
    return 8000 * 4096


def mapped(path):
    with open(path, "rb") as f, mmap.mmap(f.fileno(), 0, prot=mmap.PROT_READ) as m:
        total = 0
        for at in range(0, len(m), 4096):
            total += m[at]
    return os.path.getsize(path)


def rate(work, path, before):
    before()
    begun = time.time()
    return work(path) / 1e6 / (time.time() - begun)


def cpu_seconds(pid):
    fields = open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main():
    folder = images("medium")
    node = Node()
    registry = Registry(folder, node.work)
    node.start()
    reference = f"{registry.host}/medium:v1"
    directory = node.mount(reference)
    node.run("pull", reference)
    layers = node.json("explain", directory)["layers"]
    big = max(layers, key=lambda layer: layer["size"])["digest"].split(":")[1]
    blob = os.path.join(node.tree, "blobs/sha256", big)
    on_disk = "/var/tmp/swarmfs-bench.blob"
    with open(blob, "rb") as source, open(on_disk, "wb") as target:
        while block := source.read(1 << 20):
            target.write(block)
    requests = lambda: node.metrics()["swarmfs_fuse_requests_total"]
    rows = []

    def compare(name, work, before, bar, theirs=None):
        """Rounds alternate, so that noise of the machine hits both."""
        pairs = [(rate(work, blob, before), rate(theirs or work, on_disk, before)) for _ in range(ROUNDS)]
        ours, other = statistics.median(p[0] for p in pairs), statistics.median(p[1] for p in pairs)
        rows.append((name, ours, other, ours / other, bar))

    nothing = lambda: None
    for path in (blob, on_disk):
        sequential(path)
    asked = requests()
    compare("page-cache-warm, sequential", sequential, nothing, "0.75")
    compare("page-cache-warm, random 4 KiB", at_random, nothing, "0.75")
    compare("page-cache-warm, mmap", mapped, nothing, "0.75")
    asked = requests() - asked
    used = cpu_seconds(node.process.pid)
    compare("chunk-cache-warm, sequential (ext4: O_DIRECT)", sequential, drop_caches, "0.85",
            lambda path: sequential(path, True))
    used = (cpu_seconds(node.process.pid) - used) / (ROUNDS * os.path.getsize(blob) / (1 << 30))
    compare("chunk-cache-warm, sequential (both buffered)", sequential, drop_caches, "")
    compare("chunk-cache-warm, random 4 KiB", at_random, drop_caches, "")
    compare("chunk-cache-warm, mmap", mapped, drop_caches, "")
    print(f"layer of {os.path.getsize(blob) / 1e6:.0f} MB, medians of {ROUNDS} alternating rounds\n"
          f"{'reads':48} {'swarmfs':>9} {'ext4':>9} {'ratio':>6}  bar")
    for name, ours, other, ratio, bar in rows:
        print(f"{name:48} {ours:7.0f}MB {other:7.0f}MB {ratio:6.2f}  {bar}")
    print(f"daemon CPU while chunk-cache-warm: {used:.2f} s/GiB (bar 0.40); "
          f"requests to the daemon while page-cache-warm: {asked:.0f} (opens and attributes)")
    os.unlink(on_disk)
    registry.stop()


if __name__ == "__main__":
    main()
