#!/usr/bin/env python3
"""Registries on bad days: cut and stalled bodies, 429 with Retry-After, 500, ignored ranges, lies, redirects."""
import os
import sys
import time

from node import Node, Registry, images, need_fuse
from trees import content_hash


def blobs(path):
    return "/blobs/sha256:" in path


class Once:
    """Does `fault` to the first `count` blob requests."""

    def __init__(self, count, **fault):
        self.left, self.fault = count, fault

    def __call__(self, method, path, headers):
        if not blobs(path) or self.left == 0:
            return {}
        self.left -= 1
        return self.fault


def reads_right(node, host, registry_folder, what):
    """Mounts, pulls, and compares every layer's bytes with the registry's own file."""
    directory = node.mount(f"{host}/small:v1")
    node.run("pull", f"{host}/small:v1")
    layers = node.json("explain", directory)["layers"]
    assert any("without range" in layer["why"] for layer in layers) == (what == "ranges ignored"), (what, layers)
    for layer in layers:
        hex_digest = layer["digest"].split(":")[1]
        assert content_hash(os.path.join(node.tree, "blobs/sha256", hex_digest)) == hex_digest, what
    assert os.path.exists(os.path.join(directory, "usr/bin/python3"))
    node.umount(directory)
    node.run("evict")
    os.system(f"rm -rf {node.work}/cache/docs/index")
    print(what, "ok", flush=True)


def main():
    from proxy import Proxy
    need_fuse()
    folder = images("small")
    for what, rule in [
        ("bodies cut after 300 kB", Once(6, cut_after=300_000)),
        ("429 with Retry-After", Once(3, status=429, headers={"Retry-After": "1"})),
        ("503", Once(3, status=503)),
        ("ranges ignored", Once(100, whole=True)),
        ("a stalled body", Once(1, stall_after=65536, stall=40)),
    ]:
        node = Node()
        registry = Registry(folder, node.work)
        proxy = Proxy(registry.host, rule)
        node.start()
        reads_right(node, proxy.host, folder, what)
        assert any(blobs(path) for _, path, _, _ in proxy.seen)
        node.close()
        registry.stop()

    # A redirect to a CDN: followed, remembered, and no credentials with it.
    node = Node()
    registry = Registry(folder, node.work)
    cdn = Proxy(registry.host)
    proxy = Proxy(registry.host, lambda method, path, headers:
                  {"redirect": f"http://{cdn.host.replace('127.0.0.1', 'localhost')}{path}?sig=1"} if blobs(path) else {})
    node.start()
    reads_right(node, proxy.host, folder, "redirects")
    assert any(blobs(path) for _, path, _, _ in cdn.seen)
    assert not any("Authorization" in headers for _, _, headers, _ in cdn.seen)
    node.close()

    # A registry that lies about a layer: the mount is refused, with the digest's name; nothing stays.
    node = Node()
    proxy = Proxy(registry.host, lambda method, path, headers: {"corrupt": True} if blobs(path) else {})
    node.start()
    directory = os.path.join(node.work, "lied")
    os.makedirs(directory)
    failed = node.run("mount", f"{proxy.host}/small:v1", directory, check=False)
    print("lies:", failed.stderr.strip())
    assert failed.returncode == 1 and "sha256:" in failed.stderr, failed
    assert not os.path.ismount(directory)
    # A tag that is not there, a registry that is not there, words that are no reference: named, at once.
    for reference, words in [(f"{registry.host}/small:none", "small:none"), ("127.0.0.1:1/small:v1", "127.0.0.1:1"),
                             ("UPPER/Case", "UPPER/Case")]:
        begun = time.time()
        failed = node.run("mount", reference, directory, check=False)
        assert failed.returncode == 1 and words in failed.stderr, failed
        assert time.time() - begun < 65, reference
        print("refused:", failed.stderr.strip())
    registry.stop()


if __name__ == "__main__":
    sys.exit(main())
