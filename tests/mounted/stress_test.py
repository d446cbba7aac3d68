#!/usr/bin/env python3
"""8 processes read at random and by mmap while backfill runs and the cache evicts under a quota below the image."""
import mmap
import multiprocessing
import os
import random
import sys
import time

from containerd import Containerd
from node import Node, Registry, images, need_fuse

SECONDS = 25


def big_files(root):
    made = []
    for folder, _, files in os.walk(root):
        for name in files:
            path = os.path.join(folder, name)
            if not os.path.islink(path) and os.path.getsize(path) > 4096:
                made.append((os.path.relpath(path, root), os.path.getsize(path)))
    return made


def reader(seed, ours, theirs, files, results):
    random.seed(seed)
    end = time.time() + SECONDS
    reads = wrong = 0
    while time.time() < end:
        name, size = random.choice(files)
        with open(os.path.join(ours, name), "rb") as a, open(os.path.join(theirs, name), "rb") as b:
            os.posix_fadvise(a.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            for _ in range(random.randrange(1, 12)):
                offset = random.randrange(size)
                length = min(random.choice([1, 4096, 65536, 1 << 20]), size - offset)
                if seed % 2:
                    with mmap.mmap(a.fileno(), 0, prot=mmap.PROT_READ) as m:
                        got = m[offset:offset + length]
                else:
                    got = os.pread(a.fileno(), length, offset)
                b.seek(offset)
                reads += 1
                wrong += got != b.read(length)
    results.put((reads, wrong))


def main():
    need_fuse()
    folder = images("medium")
    node = Node(quota="120MB")
    registry = Registry(folder, node.work)
    node.start()
    containerd = Containerd(node.work)
    try:
        reference = f"{registry.host}/medium:v1"
        theirs = containerd.unpack(reference)
        files = big_files(theirs)
        ours = node.mount(reference)
        results = multiprocessing.Queue()
        readers = [multiprocessing.Process(target=reader, args=(i, ours, theirs, files, results)) for i in range(8)]
        for r in readers:
            r.start()
        for r in readers:
            r.join(SECONDS + 120)
        assert not any(r.is_alive() for r in readers), "a reader hangs"
        assert all(r.exitcode == 0 for r in readers), f"a reader failed\n{node.tail()}"
        got = [results.get() for _ in readers]
        cache = node.json("status")["cache"]
        print(f"{sum(r for r, _ in got)} reads, {sum(w for _, w in got)} wrong; cache {cache}")
        assert sum(r for r, _ in got) > 500
        assert sum(w for _, w in got) == 0
        assert cache["evicted"] > 0, "nothing was evicted: the test did not test"
        assert cache["bytes"] <= 120e6 * 1.1, cache
    finally:
        os.system(f"umount -l {node.work}/containerd/view-* 2>/dev/null")
        containerd.stop()
        registry.stop()


if __name__ == "__main__":
    sys.exit(main())
