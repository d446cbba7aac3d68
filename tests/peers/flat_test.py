#!/usr/bin/env python3
"""Many ranges from one node to another, and to a member that connects anew now and then: every byte right, and neither
node's memory nor its descriptors grow with their number.
    flat_test.py BUILD [RANGES]     (in the suite few; the issue's figure is 100000)"""
import http.client
import os
import random
import sys
import urllib.parse

from bed import PORT, REGISTRY, Bed, need_bed, together
from cache_files import blob_path
from forger import Forger
from netns import within

IMAGE = "medium:v1"
THREADS = 4
LENGTH = 64 << 10
PER_CONNECTION = 500
MEMORY_SLACK, DESCRIPTOR_SLACK = 24 << 20, 24


def footprint(node):
    """(bytes of anonymous memory, descriptors) of its daemon."""
    pid = node.process.pid
    with open(f"/proc/{pid}/status") as f:
        memory = next(int(line.split()[1]) * 1024 for line in f if line.startswith("RssAnon:"))
    return memory, len(os.listdir(f"/proc/{pid}/fd"))


class Member:
    """Asks n1 over the demand lane, as a member of the cluster does."""

    def __init__(self, bed, space, forger, hex_digest):
        self.node, self.space, self.context = bed[1], space, forger.context(server=False)
        query = {"repository": f"{REGISTRY}:5000/medium", "class": "fault", "fetch": "0"}
        self.path = f"/v1/layers/{hex_digest}/bytes?" + urllib.parse.urlencode(query)
        self.connection, self.asked = None, 0

    def read(self, offset, length):
        if self.asked % PER_CONNECTION == 0:
            if self.connection:
                self.connection.close()
            self.connection = http.client.HTTPSConnection(self.node.address, PORT, timeout=30, context=self.context)
            within(self.space, self.connection.connect)
        self.asked += 1
        self.connection.request("GET", self.path, headers={"Range": f"bytes={offset}-{offset + length - 1}"})
        answer = self.connection.getresponse()
        body = answer.read()
        assert answer.status == 206, (answer.status, body[:200])
        return body


class Mounted:
    """Reads the layer as n2's mount shows it; its quota keeps most of it away."""

    def __init__(self, path):
        self.handle = os.open(path, os.O_RDONLY)
        os.posix_fadvise(self.handle, 0, 0, os.POSIX_FADV_RANDOM)

    def read(self, offset, length):
        os.posix_fadvise(self.handle, offset, length, os.POSIX_FADV_DONTNEED)
        return os.pread(self.handle, length, offset)


def work(readers, truth, size, count, seed):
    """`count` ranges, dealt to the readers, each by a thread of its own."""

    def run(number):
        picks = random.Random(seed * 100 + number)
        for _ in range(count // len(readers)):
            offset = picks.randrange(0, size - LENGTH)
            got = readers[number].read(offset, LENGTH)
            assert got == os.pread(truth, LENGTH, offset), f"wrong bytes at {offset}"

    together(run, range(len(readers)))


def main():
    need_bed()
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 4000
    bed = Bed(2, ["medium"], config="[fetch]\nbackfill = false\n")
    bed[2].quota = "64MiB"
    space = bed.add_stranger("member", "10.77.0.100")
    bed.start()
    bed[1].pull(IMAGE)
    layer = max(bed[1].layers(IMAGE), key=lambda one: one["size"])
    hex_digest = layer["digest"].split(":")[1]
    truth = os.open(blob_path(bed.folder, hex_digest), os.O_RDONLY)
    bed[2].mount(IMAGE)
    forger = Forger(os.path.join(bed.work, "forger"), bed.token_file)
    members = [Member(bed, space, forger, hex_digest) for _ in range(THREADS)]
    mounted = [Mounted(bed[2].blob(hex_digest)) for _ in range(THREADS)]

    for what, readers, given in (("mount of n2", mounted, bed[2]), ("member", members, None)):
        work(readers, truth, layer["size"], max(1000, count // 10), 1)  # buffers and connections that stay
        before = [footprint(node) for node in bed.nodes]
        from_peer = bed[2].bytes_from("peer")
        work(readers, truth, layer["size"], count, 2)
        after = [footprint(node) for node in bed.nodes]
        if given:
            from_peer = bed[2].bytes_from("peer") - from_peer
            assert from_peer > count * LENGTH / 4, f"only {from_peer} bytes came from the peer: the test did not test"
        for node, (memory, handles), (memory_then, handles_then) in zip(bed.nodes, before, after):
            print(f"{count} ranges, {what}: {node.name} {memory / 1e6:.1f} → {memory_then / 1e6:.1f} MB, "
                  f"{handles} → {handles_then} descriptors", flush=True)
            assert memory_then < memory + MEMORY_SLACK, node.name
            assert handles_then < handles + DESCRIPTOR_SLACK, node.name


if __name__ == "__main__":
    sys.exit(main())
