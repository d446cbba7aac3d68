#!/usr/bin/env python3
"""A whole image survives a restart without its registry; a dead registry is EIO in time, never a hang; pull, ls,
explain, evict, metrics and umount tell the truth."""
import os
import subprocess
import sys
import time

from cache_files import blob_path
from node import Node, Registry, images, need_fuse
from trees import content_hash, walk


def main():
    need_fuse()
    folder = images("small", "medium")
    node = Node()
    node.configure(config=f'[mount]\npoint = "{node.tree}"\nfault_timeout = "3s"\n')
    registry = Registry(folder, node.work)
    node.start()
    small, medium = f"{registry.host}/small:v1", f"{registry.host}/medium:v1"

    pulled = node.run("pull", small)
    assert "every layer checked" in pulled.stdout, pulled
    directory = node.mount(small)
    before = walk(directory)
    report = node.json("explain", directory)
    assert len(report["layers"]) == 3 and all(layer["verified"] and layer["lazy"] for layer in report["layers"]), report
    for layer in report["layers"]:
        hex_digest = layer["digest"].split(":")[1]
        blob = os.path.join(node.tree, "blobs/sha256", hex_digest)
        assert os.path.getsize(blob) == layer["size"]
        assert content_hash(blob) == hex_digest == content_hash(blob_path(folder, hex_digest))
        direct = subprocess.run(["dd", f"if={blob}", "iflag=direct", "bs=64k", "status=none"], stdout=subprocess.PIPE)
        assert len(direct.stdout) == layer["size"], "O_DIRECT"
    assert node.json("ls")["mounts"][0]["directory"] == directory

    # The image of a reference is found by its name, its free space is the cache's.
    encoded = small.replace("/", "%2F").replace(":", "%3A")
    assert os.listdir(os.path.join(node.tree, "images", encoded, "rootfs")) == os.listdir(directory)
    facts = os.statvfs(node.tree)
    assert facts.f_blocks * facts.f_bsize == 20_000_000_000 // 4096 * 4096 and 0 < facts.f_bfree < facts.f_blocks

    # An umount behind our back is noticed; what was there is still explained; it can be mounted again.
    subprocess.run(["umount", directory], check=True)
    assert node.json("ls")["mounts"] == []
    assert len(node.json("explain", small)["layers"]) == 3
    node.run("mount", small, directory)

    # Without the registry: restart, same mount, same bytes, also with an empty page cache.
    registry.stop()
    assert node.terminate() == 0
    node.start()
    open("/proc/sys/vm/drop_caches", "w").write("3")
    assert walk(directory) == before, "the mount changed over a restart"

    # Refused with the reason, at once.
    failed = node.run("mount", medium, os.path.join(node.work, "tree"), check=False)
    assert failed.returncode == 1 and "mounted" in failed.stderr, failed
    other = os.path.join(node.work, "other")
    os.makedirs(other)
    begun = time.time()
    failed = node.run("mount", medium, other, check=False)
    assert failed.returncode == 1 and registry.host in failed.stderr, failed
    assert time.time() - begun < 70
    assert not os.path.ismount(other)

    # A mount whose bytes are gone and whose registry is dead: EIO within fault_timeout, not a hang.
    registry.start()
    node.mount(medium)
    registry.stop()
    node.umount(directory)
    node.run("evict")
    node.terminate()
    subprocess.run(f"umount {node.mounts[-1]}", shell=True, check=True)
    os.system(f"rm -rf {node.work}/cache/layers")
    node.start()
    open("/proc/sys/vm/drop_caches", "w").write("3")
    begun = time.time()
    try:
        content_hash(os.path.join(node.mounts[-1], "usr/lib/postgresql/15/bin/postgres"))
        raise AssertionError("read without cache and registry")
    except OSError as error:
        print(f"{error} after {time.time() - begun:.1f} s")
    assert time.time() - begun < 10
    registry.start()
    time.sleep(1)
    wait_until = time.time() + 40
    while True:
        try:
            content_hash(os.path.join(node.mounts[-1], "usr/lib/postgresql/15/bin/postgres"))
            break
        except OSError:
            assert time.time() < wait_until, f"the registry is back, the reads are not\n{node.tail()}"
            time.sleep(0.5)
    metrics = node.metrics()
    # The backfill, which goes on trying too, may have been first.
    assert sum(metrics[f'swarmfs_bytes_total{{class="{cls}",source="registry"}}'] for cls in ("fault", "backfill")) > 0
    assert metrics[f'swarmfs_registry_requests_total{{registry="{registry.host}",status="206"}}'] > 0, metrics
    assert metrics["swarmfs_open_mounts"] == 1, metrics
    registry.stop()


if __name__ == "__main__":
    sys.exit(main())
