#!/usr/bin/env python3
"""Cold nodes start the same image in the same moment: the registry gives about one copy, and every tree is right.
    herd_test.py BUILD [NODES...]"""
import sys
import time

from bed import Bed, need_bed, together
from trees import differences

IMAGE = "small:v1"
BAR = 1.25


def herd(count):
    bed = Bed(count)
    bed.start()
    before, begun = bed.registry_egress(), time.time()
    directories = together(lambda node: node.mount(IMAGE), bed.nodes)
    mounted = time.time() - begun
    trees = bed.trees(directories)
    for node in bed.nodes:
        node.wait_complete(IMAGE)
    total = bed.image_bytes(IMAGE)
    ratio, seconds = (bed.registry_egress() - before) / total, time.time() - begun
    given = [node.bytes_from("peer") / total for node in bed.nodes]
    print(f"{count} nodes: registry egress {ratio:.2f}x, mounted in {mounted:.1f} s, all there in {seconds:.1f} s; "
          f"from peers {' '.join(f'{share:.2f}' for share in given)}", flush=True)
    for tree in trees[1:]:
        found = differences(tree, trees[0])
        assert not found, "\n".join(found[:20])
    for node in bed.nodes:
        bed.check_blobs(node, IMAGE)
        assert node.counted("swarmfs_verification_failures_total") == 0, node.name
    bed.close()
    return ratio


def main():
    need_bed()
    ratios = {count: herd(count) for count in [int(word) for word in sys.argv[2:]] or [2, 4]}
    assert all(ratio <= BAR for ratio in ratios.values()), ratios


if __name__ == "__main__":
    sys.exit(main())
