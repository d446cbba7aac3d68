#!/usr/bin/env python3
"""Nodes are killed and cut off and the registry comes and goes, while readers on all other nodes check what they read.
A holder lives always, so no reader may see an error; a killed node's own readers rest until it is back, since a mount
dies with its daemon.
    chaos_test.py BUILD [SECONDS [SEED]]"""
import os
import random
import sys
import threading
import time

from bed import Bed, drop_caches, need_bed, wait_for
from trees import content_hash

IMAGE = "medium:v1"
NODES = 4


def files_of(root):
    """Relative path → SHA-256 of its content."""
    made = {}
    for folder, _, names in os.walk(root):
        for name in names:
            path = os.path.join(folder, name)
            if not os.path.islink(path) and os.path.isfile(path):
                made[os.path.relpath(path, root)] = content_hash(path)
    return made


class Reader(threading.Thread):
    """Reads files of one node's mount at random; whoever else has its `lock` keeps it from reading."""

    def __init__(self, node, directory, expected, seed):
        super().__init__(daemon=True)
        self.node, self.directory, self.expected = node, directory, expected
        self.random, self.lock, self.stopping = random.Random(seed), threading.Lock(), threading.Event()
        self.reads, self.slowest, self.wrong = 0, 0.0, []

    def run(self):
        names = sorted(self.expected)
        while not self.stopping.is_set():
            with self.lock:
                self.read(self.random.choice(names))
            time.sleep(0.001)  # or nobody else gets the lock

    def read(self, name):
        begun = time.time()
        path = os.path.join(self.directory, name)
        try:
            with open(path, "rb") as f:
                os.posix_fadvise(f.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            got = content_hash(path)
            if got != self.expected[name]:
                self.wrong.append(f"{name}: {got} at {time.time():.1f}")
        except OSError as error:
            self.wrong.append(f"{name}: {error} after {time.time() - begun:.1f} s at {time.time():.1f}")
        self.reads += 1
        self.slowest = max(self.slowest, time.time() - begun)


class Chaos:
    """`readers`: of every node; the first node is never touched, and has the whole image."""

    def __init__(self, bed, readers, seed):
        self.bed, self.readers, self.random, self.done = bed, readers, random.Random(seed), {}

    def step(self):
        action = self.random.choice([self.kill, self.kill, self.cut, self.cut, self.registry])
        self.done[action.__name__] = self.done.get(action.__name__, 0) + 1
        action()

    def victims(self):
        return self.random.sample(self.readers[1:], self.random.choice([1, 1, 2]))

    def rest(self, longest):
        time.sleep(self.random.uniform(0.1, longest))

    def kill(self):
        victims = self.victims()
        for victim in victims:
            victim.lock.acquire()
            victim.node.kill()
        self.rest(2)
        for victim in victims:
            victim.node.restart()
            there = os.path.join(victim.directory, "usr/bin")
            wait_for(f"{victim.node.name} shows its mount again", lambda there=there: os.path.isdir(there))
            victim.lock.release()
        self.rest(1)

    def cut(self):
        victims = self.victims()
        for victim in victims:
            victim.lock.acquire()
            self.bed.cut(victim.node)
        self.rest(4)
        for victim in victims:
            self.bed.heal(victim.node)
            victim.lock.release()
        self.rest(1)

    def registry(self):
        self.bed.registry_down(silently=self.random.random() < 0.5)
        self.rest(3)
        self.bed.registry_up()


def main():
    seconds = float(sys.argv[2]) if len(sys.argv) > 2 else 30
    seed = int(sys.argv[3]) if len(sys.argv) > 3 else int(time.time())
    print(f"seed {seed}", flush=True)
    need_bed()
    bed = Bed(NODES, ["medium"])
    for node in bed.nodes[1:]:
        node.quota = "64MiB"  # a quarter of the image: there is always something to fetch
    bed.start()
    bed[1].pull(IMAGE)
    directories = [node.mount(IMAGE) for node in bed.nodes]
    expected = files_of(directories[0])
    readers = [Reader(node, directory, expected, seed + number)
               for number, (node, directory) in enumerate(zip(bed.nodes, directories))]
    chaos, egress = Chaos(bed, readers, seed), bed.registry_egress()
    for reader in readers:
        reader.start()
    end = time.time() + seconds
    while time.time() < end and not any(reader.wrong for reader in readers):
        drop_caches()
        chaos.step()
    for reader in readers:
        reader.stopping.set()
    for reader in readers:
        reader.join(60)
        assert not reader.is_alive(), f"{reader.node.name}: a reader hangs\n{reader.node.tail()}"
    egress = bed.registry_egress() - egress
    print(f"{chaos.done}; " + "; ".join(f"{r.node.name}: {r.reads} reads, slowest {r.slowest:.2f} s, "
          f"{r.node.bytes_from('peer') / 1e6:.0f} MB from peers since its start" for r in readers)
          + f"; {egress / 1e6:.0f} MB from the registry", flush=True)
    for reader in readers:
        assert not reader.wrong, f"{reader.node.name}: {reader.wrong[:10]}\n{reader.node.tail()}"
        assert reader.reads > seconds, (reader.node.name, reader.reads)
    assert sum(r.node.bytes_from("peer") for r in readers) > 0, "nothing came from peers: the test did not test"


if __name__ == "__main__":
    sys.exit(main())
