#!/usr/bin/env python3
"""Containers run from overlayfs over the mount: python3 by runc and by ctr, nginx and postgres of the medium image.
mount(8) mounts by type."""
import json
import os
import subprocess
import sys

import node as node_module
from containerd import Containerd
from node import Node, Registry, images, need_fuse


def overlay(node, lower, name):
    """An overlayfs with a writable upper over a mount of ours."""
    base = os.path.join(node.work, name)
    for part in ("upper", "work", "rootfs"):
        os.makedirs(os.path.join(base, part))
    subprocess.run(["mount", "-t", "overlay", "overlay", "-o",
                    f"lowerdir={lower},upperdir={base}/upper,workdir={base}/work", f"{base}/rootfs"], check=True)
    return base


def runc(base, words, name):
    subprocess.run(["runc", "spec"], cwd=base, check=True)
    path = os.path.join(base, "config.json")
    spec = json.load(open(path))
    spec["process"]["args"] = words
    spec["process"]["terminal"] = False
    spec["root"]["readonly"] = False
    json.dump(spec, open(path, "w"))
    return subprocess.run(["runc", "run", "-b", base, name], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          timeout=120)


def mount_by_type(node, reference):
    helper = "/sbin/mount.swarmfs"
    ours = not os.path.lexists(helper)
    if ours:
        os.symlink(node_module.SWARMFS, helper)
    target = os.path.join(node.work, "typed")
    os.makedirs(target)
    try:
        subprocess.run(["mount", "-t", "swarmfs", reference, target, "-o", f"ro,socket={node.socket}"], check=True)
        assert os.path.exists(os.path.join(target, "usr/bin/python3"))
        refused = subprocess.run(["mount", "-t", "swarmfs", reference, target, "-o", "colour=red"],
                                 stderr=subprocess.PIPE, text=True)
        assert refused.returncode and "colour=red" in refused.stderr, refused
        node.run("umount", target)
        assert not os.path.ismount(target)
    finally:
        if ours:
            os.unlink(helper)


def main():
    need_fuse()
    folder = images("small", "medium")
    node = Node()
    registry = Registry(folder, node.work)
    node.start()
    mount_by_type(node, f"{registry.host}/small:v1")
    small = overlay(node, node.mount(f"{registry.host}/small:v1"), "small")
    done = runc(small, ["/usr/bin/python3", "/app/app.py"], "swarmfs-test-small")
    assert done.returncode == 0 and "hello from" in done.stdout, done
    containerd = Containerd(node.work)
    try:
        done = containerd.ctr("run", "--rm", "--rootfs", f"{small}/rootfs", "one", "/usr/bin/python3", "-c",
                              "open('/tmp/x', 'w').write('y'); print(6 * 7)")
        assert done.stdout.strip() == "42", done
        assert open(f"{small}/upper/tmp/x").read() == "y"
        medium = overlay(node, node.mount(f"{registry.host}/medium:v1"), "medium")
        done = containerd.ctr("run", "--rm", "--rootfs", f"{medium}/rootfs", "two", "/usr/local/bin/start.sh")
        print(done.stdout)
        assert "READY" in done.stdout and 'answer = "42"' in done.stdout, done
    finally:
        containerd.stop()
        for base in ("small", "medium"):
            os.system(f"umount -l {node.work}/{base}/rootfs 2>/dev/null")
        registry.stop()


if __name__ == "__main__":
    sys.exit(main())
