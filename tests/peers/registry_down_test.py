#!/usr/bin/env python3
"""The registry is gone. A node that never spoke to it mounts by digest, and by a tag that a member resolved; every byte
is right. What no member knows is refused in time."""
import os
import sys
import time

from bed import Bed, need_bed
from trees import differences, walk

IMAGE = "small:v1"


def mounted_without_registry(node, reference, expected):
    begun = time.time()
    directory = node.mount(reference)
    print(f"{node.name}: {reference} in {time.time() - begun:.2f} s", flush=True)
    found = differences(walk(directory), expected)
    assert not found, "\n".join(found[:20])
    node.wait_complete(reference)
    node.bed.check_blobs(node, reference)
    assert node.bytes_from("registry") == 0 and node.bytes_from("peer") > 0
    return directory


def main():
    need_bed()
    bed = Bed(4)
    bed.start([bed[1]])
    bed[1].pull(IMAGE)
    expected = walk(bed[1].mount(IMAGE))
    digest = "small@" + bed[1].json("explain", bed.reference(IMAGE))["manifest"]

    bed.registry_down()
    bed.start([bed[2], bed[3]])
    by_tag = mounted_without_registry(bed[2], IMAGE, expected)
    mounted_without_registry(bed[3], digest, expected)

    # The member that knew it all leaves; what it gave to others lives on, also over a restart.
    bed[1].kill()
    bed[2].terminate()
    bed[2].restart()
    assert not differences(walk(by_tag), expected)

    # A registry that is silent instead of dead.
    bed.registry_up()
    bed[1].restart()
    bed.registry_down(silently=True)
    bed.start([bed[4]])
    mounted_without_registry(bed[4], IMAGE, expected)

    directory = os.path.join(bed[4].work, "unknown")
    os.makedirs(directory)
    begun = time.time()
    failed = bed[4].run("mount", bed.reference("medium:v1"), directory, check=False)
    print(f"refused after {time.time() - begun:.1f} s: {failed.stderr.strip()}")
    assert failed.returncode == 1 and "10.77.0.1:5000" in failed.stderr, failed
    assert time.time() - begun < 70 and not os.path.ismount(directory)


if __name__ == "__main__":
    sys.exit(main())
