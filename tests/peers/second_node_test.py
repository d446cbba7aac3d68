#!/usr/bin/env python3
"""A second node mounts an image whose index the first one knows: at once, from its peer, and it is the same image."""
import subprocess
import sys
import time

from bed import Bed, need_bed
from node import wait_for
from trees import differences

IMAGE = "small:v1"


def main():
    need_bed()
    bed = Bed(2)
    bed.start()
    bed[1].pull(IMAGE)
    first = bed[1].mount(IMAGE)
    total, before = bed.image_bytes(IMAGE), bed.registry_egress()

    begun = time.time()
    second = bed[2].mount(IMAGE)
    seconds, at_mount = time.time() - begun, bed[2].bytes_from("peer") + bed[2].bytes_from("registry")
    print(f"mounted in {seconds:.2f} s with {at_mount / total:.1%} of the layers' bytes here", flush=True)
    assert at_mount < total / 2, "the second node read the layers before it mounted them"
    done = subprocess.run(["chroot", second, "/usr/bin/python3", "/app/app.py"], stdout=subprocess.PIPE, text=True)
    assert done.returncode == 0 and done.stdout.startswith("hello from"), done

    ours, theirs = bed.trees([second, first])
    assert len(ours) > 4000
    found = differences(ours, theirs)
    assert not found, "\n".join(found[:20])
    bed[2].wait_complete(IMAGE)
    bed.check_blobs(bed[2], IMAGE)
    from_peer, from_registry = bed[2].bytes_from("peer"), bed[2].bytes_from("registry")
    egress = bed.registry_egress() - before
    print(f"{from_peer / total:.1%} from the peer, {from_registry / total:.1%} from the registry; egress {egress} bytes")
    # A late answer of the peer is hedged, so the registry may give a little.
    assert from_peer >= 0.97 * total, (from_peer, from_registry, total)
    assert egress < 0.05 * total, egress
    assert bed[1].counted("swarmfs_peer_served_bytes_total") >= 0.97 * total
    assert bed[2].counted("swarmfs_verification_failures_total") == 0
    wait_for("every layer to be checked", lambda: all(layer["verified"] for layer in bed[2].layers(IMAGE)))


if __name__ == "__main__":
    sys.exit(main())
