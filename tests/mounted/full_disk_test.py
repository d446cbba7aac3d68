#!/usr/bin/env python3
"""The cache's disk is smaller than the image, or full: every file of a mount is right all the same, umount and restart
work, the log says it once, status says it, and when there is room again the cache keeps bytes again."""
import os
import subprocess
import sys
import time

from node import Node, Registry, images, need_fuse, skip, wait_for
from trees import walk

DISK = 12 << 20


def drop_page_cache():
    open("/proc/sys/vm/drop_caches", "w").write("3")


def warnings(node):
    return [line for line in open(node.log, errors="replace") if " warning " in line or " error " in line]


def fill(folder):
    """Somebody else takes what is left."""
    with open(os.path.join(folder, "filler"), "ab", buffering=0) as f:
        try:
            while True:
                f.write(b"x" * 65536)
        except OSError:
            pass
        try:
            while True:
                f.write(b"x")
        except OSError:
            pass


def main():
    need_fuse()
    folder = images("small")
    # What the files are, from a node with a disk as it should be.
    plenty = Node()
    registry = Registry(folder, plenty.work)
    small = f"{registry.host}/small:v1"
    plenty.start()
    right = walk(plenty.mount(small))
    plenty.close()

    node = Node()
    cache = os.path.join(node.work, "cache")
    os.makedirs(cache)
    if subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK}", "none", cache]).returncode:
        skip("may not mount a tmpfs")
    size = sum(os.path.getsize(os.path.join(path, name)) for path, _, names in os.walk(folder) for name in names)
    assert size > 2 * DISK, f"the image has {size} bytes: no test of a small disk"
    node.start()

    # A disk that is smaller than the quota and than the image.
    directory = node.mount(small)
    for _ in range(2):
        assert walk(directory) == right, "on a small disk"
        drop_page_cache()
    status = node.json("status")["cache"]
    print("small disk:", status, flush=True)
    assert "is full" in status["trouble"] and cache in status["trouble"], status
    assert 0 < status["bytes"] <= DISK and status["evicted"] > 0, status
    assert "warning: the disk of the cache" in node.run("status").stdout
    failed = node.run("pull", small, check=False)
    assert failed.returncode == 1 and "disk" in failed.stderr, failed

    # The same after a restart, which finds it mounted.
    assert node.terminate() == 0
    assert os.path.exists(os.path.join(cache, "clean")), "a stop on a full disk is a clean one"
    node.start()
    assert walk(directory) == right, "after a restart"

    # Others take the rest: a mount, its reads, an umount and a stop go on as before.
    node.run("evict")
    fill(cache)
    other = node.mount(small, "other")
    drop_page_cache()
    assert walk(other) == right, "on a full disk"
    assert walk(directory) == right
    node.umount(other)
    assert len(node.json("ls")["mounts"]) == 1
    assert node.terminate() == 0
    node.start()
    assert walk(directory) == right, "after a restart on a full disk"

    # It is told, not shouted: once per daemon and kind of trouble, with what follows from it.
    told = warnings(node)
    print("".join(told), flush=True)
    assert 3 <= sum("the disk of the cache" in line for line in told) <= 6, told
    assert len(told) < 30, told

    # And there is room again.
    os.unlink(os.path.join(cache, "filler"))
    drop_page_cache()
    assert walk(directory) == right

    def keeps():
        drop_page_cache()
        walk(directory)
        return node.json("status")["cache"]["bytes"] > DISK // 4
    wait_for("bytes are kept again", keeps, 30)
    node.umount(directory)
    assert node.terminate() == 0
    registry.stop()


if __name__ == "__main__":
    begun = time.time()
    code = main()
    print(f"{time.time() - begun:.1f} s")
    sys.exit(code)
