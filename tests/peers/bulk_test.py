#!/usr/bin/env python3
"""With [cluster] bulk_port nodes exchange most of what they pull by BitTorrent, and the bytes are right; without it nothing
listens there."""
import sys
import time

from bed import BULK_PORT, PORT, Bed, answers, need_bed, together
from node import wait_for

IMAGE = "small:v1"
LINK = 50  # Mbit/s: a pull takes many times as long as nodes need to meet


def by_bulk(node):
    return node.counted("swarmfs_bulk_bytes_total", direction="received")


def main():
    need_bed()
    bed = Bed(3, down_mbit=LINK, up_mbit=LINK)
    bed[1].start()
    assert answers(bed[1].space, bed[1].address, PORT)
    assert not answers(bed[1].space, bed[1].address, BULK_PORT), "without bulk_port nothing listens on it"
    assert not [name for name in bed[1].metrics() if name.startswith("swarmfs_bulk_")]
    bed[1].terminate()

    bed.bulk = True
    bed.start()
    before = bed.registry_egress()
    bed[1].pull(IMAGE)
    wait_for("n1 to vouch for every layer", lambda: all(layer["verified"] for layer in bed[1].layers(IMAGE)), 60)
    begun = time.time()
    together(lambda node: node.pull(IMAGE), bed.nodes[1:])
    seconds, total = time.time() - begun, bed.image_bytes(IMAGE)
    egress = (bed.registry_egress() - before) / total
    for node in bed.nodes[1:]:
        print(f"{node.name}: {by_bulk(node) / total:.2f} by BitTorrent, {node.bytes_from('peer') / total:.2f} from peers in all, "
              f"{node.bytes_from('registry') / total:.2f} from the registry", flush=True)
    print(f"pulled in {seconds:.1f} s; registry egress {egress:.2f}x", flush=True)
    for node in bed.nodes:
        node.mount(IMAGE)
        bed.check_blobs(node, IMAGE)
        assert node.counted("swarmfs_verification_failures_total") == 0, node.name
        assert node.counted("swarmfs_bulk_lies_total") == 0, node.name
    for node in bed.nodes[1:]:
        assert by_bulk(node) > total / 2, (node.name, by_bulk(node), total)
    sent = sum(node.counted("swarmfs_bulk_bytes_total", direction="sent") for node in bed.nodes)
    assert sent >= sum(by_bulk(node) for node in bed.nodes), sent
    assert egress < 1.25, egress


if __name__ == "__main__":
    sys.exit(main())
