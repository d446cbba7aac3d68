#!/usr/bin/env python3
"""mount(8), fstab and mount options: said twice they mount once; what narrows a mount is kept over a restart; a tag that
moves changes no mount that is there; the daemon opens as many files as it may."""
import hashlib
import io
import json
import os
import resource
import subprocess
import sys
import tarfile

import node as node_module
from node import Node, Registry, need_fuse

HELPER = "/sbin/mount.swarmfs"
SCRIPT = b"#!/bin/sh\necho it runs\n"


def flags_of(directory):
    """The options of the mount itself, as the kernel has them."""
    for line in open("/proc/self/mountinfo"):
        fields = line.split()
        if fields[4] == directory:
            return set(fields[5].split(","))
    return set()


def runs(directory):
    try:
        return subprocess.run([os.path.join(directory, "run")], stdout=subprocess.PIPE).stdout == b"it runs\n"
    except PermissionError:
        return False


def mount_all(table):
    return subprocess.run(["mount", "-a", "-T", table], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def fstab(node, image, other):
    targets = [os.path.join(node.work, name) for name in ("one", "two")]
    for target in targets:
        os.makedirs(target)
    table = os.path.join(node.work, "fstab")

    def write(first):
        with open(table, "w") as f:
            f.write(f"{first} {targets[0]} swarmfs ro,nosuid,nodev,noexec,noatime,_netdev,nofail,socket={node.socket} 0 0\n"
                    f"{image} {targets[1]} swarmfs defaults,user,suid,x-systemd.requires=swarmfs.service,"
                    f"socket={node.socket} 0 0\n")
    write(image)
    for _ in range(2):
        done = mount_all(table)
        assert done.returncode == 0, done.stdout
        assert sum(line.split()[4] in targets for line in open("/proc/self/mountinfo")) == 2, "mounted twice"
    wanted = [{"ro", "nosuid", "nodev", "noexec", "noatime"}, {"ro", "nodev", "noexec"}]
    check = lambda: [flags_of(target) & {"ro", "nosuid", "nodev", "noexec", "noatime"} for target in targets] == wanted
    assert check(), [flags_of(target) for target in targets]
    shown = {mount["directory"]: mount["options"] for mount in node.json("status")["mounts"]}
    assert shown == {targets[0]: "nosuid,nodev,noexec,noatime", targets[1]: "nodev,noexec"}, shown
    assert "nosuid,nodev,noexec,noatime" in node.run("ls").stdout
    assert not runs(targets[0]), "noexec runs programs"

    # The daemon mounts them again with the same options.
    node.terminate()
    subprocess.run(["umount", *targets], check=True)
    node.start()
    assert check(), [flags_of(target) for target in targets]
    done = mount_all(table)
    assert done.returncode == 0, done.stdout

    # Something else there is an error with a name: another image, other options, what is not ours.
    write(other)
    done = mount_all(table)
    assert done.returncode != 0 and "something else is mounted" in done.stdout and targets[0] in done.stdout, done.stdout
    done = node.run("mount", image, targets[0], check=False)
    assert done.returncode == 1 and "other options" in done.stderr, done
    again = node.run("mount", "-o", "noatime,nosuid,noexec,nodev", image, targets[0], check=False)
    assert again.returncode == 0, again
    done = node.run("mount", image, "/proc", check=False)
    assert done.returncode == 1 and "something else" in done.stderr, done
    done = node.run("mount", "-o", "rw", image, targets[0], check=False)
    assert done.returncode == 1 and "read-only" in done.stderr, done
    for target in targets:
        node.run("umount", target)
    node.run("mount", image, targets[0])
    assert flags_of(targets[0]) & {"ro", "nosuid", "nodev", "noexec"} == {"ro"} and runs(targets[0])
    node.run("umount", targets[0])


def json_on_both_levels(node):
    for words in (["--json", "--socket", node.socket, "status"], ["status", "--socket", node.socket, "--json"]):
        done = subprocess.run([node_module.SWARMFS, *words], stdout=subprocess.PIPE, text=True, check=True)
        assert json.loads(done.stdout)["mount_point"] == node.tree, done.stdout


def push(store, repository, tag, files):
    """What the push of an image of one layer leaves in a registry's folder. `files`: name to content, all executable."""
    base = os.path.join(store, "docker/registry/v2")

    def write(path, text):
        path = os.path.join(base, path)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as f:
            f.write(text)

    def blob(content, *links):
        digest = hashlib.sha256(content).hexdigest()
        write(f"blobs/sha256/{digest[:2]}/{digest}/data", content)
        for link in links:
            write(f"repositories/{repository}/{link.format(digest)}/link", f"sha256:{digest}".encode())
        return {"digest": f"sha256:{digest}", "size": len(content)}

    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), 0o755
            tar.addfile(entry, io.BytesIO(content))
    layer = blob(packed.getvalue(), "_layers/sha256/{}")
    config = blob(json.dumps({"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": []}}).encode(),
                  "_layers/sha256/{}")
    kind = "application/vnd.oci.image"
    manifest = {"schemaVersion": 2, "mediaType": f"{kind}.manifest.v1+json",
                "config": {"mediaType": f"{kind}.config.v1+json", **config},
                "layers": [{"mediaType": f"{kind}.layer.v1.tar+gzip", **layer}]}
    blob(json.dumps(manifest).encode(), "_manifests/revisions/sha256/{}", f"_manifests/tags/{tag}/current",
         f"_manifests/tags/{tag}/index/sha256/{{}}")


def contents(directory):
    return {name: open(os.path.join(directory, name), "rb").read() for name in os.listdir(directory)}


def moved_tag(node, registry, store):
    first, second = ({"run": SCRIPT, "data": os.urandom(3_000_000), "old": b"1"}, {"run": SCRIPT, "data": os.urandom(3_000_000)})
    tag = f"{registry.host}/moving:latest"
    push(store, "moving", "latest", first)
    old = node.mount(tag)
    assert contents(old) == first
    push(store, "moving", "latest", second)
    new = node.mount(tag)
    open("/proc/sys/vm/drop_caches", "w").write("3")
    assert contents(new) == second and contents(old) == first, "the old mount follows the tag"
    manifests = {mount["directory"]: mount["manifest"] for mount in node.json("ls")["mounts"]}
    assert manifests[old] != manifests[new], manifests
    node.terminate()
    subprocess.run(["umount", old, new], check=True)
    node.start()
    assert contents(old) == first and contents(new) == second, "over a restart the mounts changed"
    node.umount(new)
    assert contents(old) == first
    node.umount(old)
    node.terminate()
    node.start()
    assert node.json("ls")["mounts"] == [] and os.listdir(old) == os.listdir(new) == []


def file_limit(node):
    """Started with few files allowed, it may have as many as the hard limit says."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    node.terminate()
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(256, hard), hard))
    try:
        node.start()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert resource.prlimit(node.process.pid, resource.RLIMIT_NOFILE) == (hard, hard)


def main():
    need_fuse()
    if os.path.lexists(HELPER):
        node_module.skip(f"{HELPER} is there")
    node = Node()
    store = os.path.join(node.work, "store")
    push(store, "app", "v1", {"run": SCRIPT})
    push(store, "app", "v2", {"run": SCRIPT, "more": b"2"})
    registry = Registry(store, node.work)
    node.start()
    os.symlink(os.path.abspath(node_module.SWARMFS), HELPER)
    try:
        fstab(node, f"{registry.host}/app:v1", f"{registry.host}/app:v2")
    finally:
        os.unlink(HELPER)
    json_on_both_levels(node)
    moved_tag(node, registry, store)
    file_limit(node)
    registry.stop()


if __name__ == "__main__":
    sys.exit(main())
