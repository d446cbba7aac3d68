#!/usr/bin/env python3
"""What an image's first mount read is fetched in that order by the next one, ahead of its reads, and is right."""
import hashlib
import json
import os

from node import Node, Registry, images, need_fuse, wait_for

FILES = ["usr/bin/python3.11", "usr/lib/python3.11/json/decoder.py", "etc/debian_version", "usr/lib/python3.11/ssl.py"]


def hashes(directory):
    return [hashlib.sha256(open(os.path.join(directory, name), "rb").read()).hexdigest() for name in FILES]


def prefetched(node):
    return node.metrics().get('swarmfs_bytes_total{class="prefetch",source="registry"}', 0)


def main():
    need_fuse()
    folder = images("small")
    node = Node()
    registry = Registry(folder, node.work)
    node.start()
    reference = f"{registry.host}/small:v1"
    directory = node.mount(reference)
    expected = hashes(directory)
    node.umount(directory)
    profiles = os.listdir(os.path.join(node.work, "cache/docs/profile"))
    assert len(profiles) == 1, profiles
    path = os.path.join(node.work, "cache/docs/profile", profiles[0])
    wanted = sum(length for _, _, length in json.load(open(path))["entries"])
    assert wanted > 1 << 20, wanted

    node.run("evict")
    before = prefetched(node)
    directory = node.mount(reference)
    wait_for("the profile to be fetched", lambda: prefetched(node) - before >= wanted * 0.5)
    assert hashes(directory) == expected
    node.umount(directory)

    # A damaged profile costs nothing but the order.
    with open(path, "w") as f:
        f.write('{"version":1,"entries":[[99,0,1]]}')
    node.run("evict")
    directory = node.mount(reference)
    assert hashes(directory) == expected
    assert "access profile is unreadable" in node.tail()
    registry.stop()


if __name__ == "__main__":
    main()
