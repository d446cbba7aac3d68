#!/usr/bin/env python3
"""A crowd behind a registry far narrower than itself: its first requests end together, after most of a minute, and nobody
loses patience and asks for what another is bringing. Who brings it and is cut off meanwhile is found out, and others do."""
import sys
import threading
import time

from bed import Bed, need_bed, together

IMAGE = "base:bookworm"
NODES = 12  # more than 8 others, who would pass on a chunk as it comes
REGISTRY = 4  # Mbit/s
BAR = 1.25
CUT_AFTER, LONGEST = 10, 180  # seconds; optimum 60


def crowd(cut):
    bed = Bed(NODES, registry_mbit=REGISTRY)
    bed.start()
    lost = bed.nodes[-1] if cut else None
    staying = [node for node in bed.nodes if node is not lost]
    before, begun = bed.registry_egress(), time.time()
    if cut:
        threading.Thread(target=lost.run, args=["pull", bed.reference(IMAGE)], kwargs={"check": False, "timeout": 600}, daemon=True).start()
        threading.Timer(CUT_AFTER, bed.cut, [lost]).start()
    together(lambda node: node.pull(IMAGE), staying)
    seconds, total = time.time() - begun, bed.image_bytes(IMAGE)
    ratio = (bed.registry_egress() - before) / total
    print(f"{NODES} nodes, {'one is cut off, ' if cut else ''}{total} bytes in {seconds:.1f} s "
          f"(optimum {total * 8 / REGISTRY / 1e6:.1f}): registry egress {ratio:.2f}x", flush=True)
    for node in staying:
        node.mount(IMAGE)
        bed.check_blobs(node, IMAGE)
        assert node.counted("swarmfs_verification_failures_total") == 0, node.name
    bed.close()
    assert seconds > CUT_AFTER, "nobody was cut off"
    assert seconds < LONGEST, "who is cut off is waited for"
    return ratio


def main():
    need_bed()
    ratios = [crowd(cut) for cut in (False, True)]
    assert all(ratio <= BAR for ratio in ratios), ratios


if __name__ == "__main__":
    sys.exit(main())
