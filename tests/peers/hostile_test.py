#!/usr/bin/env python3
"""A cluster by certificate files: a member that lies is named and banned, a stranger learns nothing, private stays private.
(lies_test.py and strangers_test.py have more of both, in a cluster by token.)"""
import os
import subprocess
import sys
import tempfile
import time

from cache_files import blob_path
from certificates import Authority
from liar import Liar
from node import Node, Registry, free_port, images, need_fuse, wait_for
from trees import differences, walk

IMAGE = "small"


def curl(url, *words):
    return subprocess.run(["curl", "-sk", "--max-time", "5", *words, url], stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def wrong(node):
    return node.metrics().get('swarmfs_verification_failures_total{source="peer"}', 0)


def lied_to(authority, registry, folder, expected, sealed):
    """A node whose only peer lies; `sealed`: it knows the hash trees, but has no bytes any more."""
    port, liar_port = free_port(), free_port()
    node = Node(config=authority.section(f"victim-{sealed}", f"127.0.0.1:{port}", [f"127.0.0.1:{liar_port}"]))
    node.start()
    reference = f"{registry.host}/{IMAGE}:v1"
    if sealed:
        node.run("pull", reference)
        node.run("evict")
    liar = Liar(liar_port, authority, f"liar-{sealed}", lambda digest: blob_path(folder, digest))
    time.sleep(3)  # the node knocked before anybody was there, and is silent for a while
    found = differences(walk(node.mount(reference)), expected)
    assert not found, (sealed, found[:10])
    wait_for("all layers", lambda: all(layer["bytes_present"] == layer["size"] for layer in
                                       node.json("explain", reference)["layers"]), 90)
    print(f"garbage, {'sealed' if sealed else 'provisional'}: {liar.served} lies told, {wrong(node):.0f} found", flush=True)
    assert liar.served > 0, "nobody asked the liar"
    log = open(node.log, errors="replace").read()
    assert f"127.0.0.1:{liar_port}" in log and "is banned" in log, log[-3000:]
    assert wrong(node) > 0
    liar.close()
    node.close()


def strangers(authority, registry, work):
    port = free_port()
    node = Node(config=authority.section("honest", f"127.0.0.1:{port}", []))
    node.start()
    node.run("pull", f"{registry.host}/{IMAGE}:v1")
    digest = node.json("ls", "--layers")["layers"][0]["digest"].split(":")[1]
    repository = f"{registry.host}/{IMAGE}"
    at = f"https://127.0.0.1:{port}"
    there = f"{at}/v1/layers/{digest}/bytes?repository={repository}&class=fault&fetch=0"
    others = Authority(work, "others")
    for who, authority_of in (("nobody", None), ("another cluster", others), ("a member", authority)):
        words = []
        if authority_of:
            certificate, key = authority_of.issue("curl")
            words = ["--cert", certificate, "--key", key]
        done = curl(there, "-r", "0-99", *words)
        if who == "a member":
            assert len(done.stdout) == 100, done
        else:
            assert done.returncode != 0 and done.stdout == b"", f"{who} got an answer: {done}"
    # What a member asks in vain: a repository that the layer does not belong to, paths that lead astray.
    for path in (f"/v1/layers/{digest}/bytes?repository=other/place&class=fault", "/v1/layers/../../etc/passwd",
                 "/etc/passwd", f"/v1/layers/{digest}/claims?repository={repository}"):
        got = curl(at + path, "--path-as-is", "-r", "0-99", "-o", "/dev/null", "-w", "%{http_code}", *words)
        assert got.stdout in (b"404", b"400"), (path, got.stdout)
    node.close()


def private(authority, folder, work):
    """Who may not pull a private image gets nothing of it from a member that may."""
    passwords = os.path.join(work, "htpasswd")
    subprocess.run(["htpasswd", "-Bbc", passwords, "alice", "s3cret"], check=True, stderr=subprocess.DEVNULL)
    registry = Registry(folder, work, auth=f"auth: {{htpasswd: {{realm: r, path: {passwords}}}}}\n")
    secret = os.path.join(work, "password")
    with open(secret, "w") as f:
        f.write("s3cret\n")
    credentials = f'[[registry]]\nhost = "{registry.host}"\nusername = "alice"\npassword_file = "{secret}"\n'
    addresses = [f"127.0.0.1:{free_port()}" for _ in range(3)]
    nodes = []
    for address, (name, extra) in zip(addresses, (("alice", credentials), ("bob", ""), ("second", credentials))):
        others = [other for other in addresses if other != address]
        nodes.append(Node(config=authority.section(name, address, others) + extra))
        nodes[-1].start()
    alice, bob, second = nodes
    reference = f"{registry.host}/{IMAGE}:v1"
    tree = walk(alice.mount(reference))
    alice.run("pull", reference)
    time.sleep(2)
    assert bob.run("pull", reference, check=False).returncode != 0, "bob pulled a private image"
    digest = alice.json("ls", "--layers")["layers"][0]["digest"].split(":")[1]
    certificate, key = authority.issue("bob")
    got = curl(f"https://{addresses[0]}/v1/layers/{digest}/bytes?repository={registry.host}/{IMAGE}&class=fault&fetch=0",
               "--cert", certificate, "--key", key, "-r", "0-99", "-w", "%{http_code}")
    assert got.stdout.endswith(b"403"), got.stdout
    assert not differences(walk(second.mount(reference)), tree)
    second.run("pull", reference)
    given = sum(value for name, value in second.metrics().items()
                if name.startswith("swarmfs_bytes_total") and 'source="peer"' in name)
    print(f"private: who may pull got {given / 1e6:.1f} MB from a member", flush=True)
    assert given > 0, second.metrics()
    for node in nodes:
        node.close()
    registry.stop()


def main():
    need_fuse()
    folder = images("small")
    work = tempfile.mkdtemp(prefix="swarmfs-hostile-")
    authority = Authority(work, "cluster")
    plain = Node()
    registry = Registry(folder, plain.work)
    plain.start()
    expected = walk(plain.mount(f"{registry.host}/{IMAGE}:v1"))
    strangers(authority, registry, work)
    private(authority, folder, work)
    for sealed in (True, False):
        lied_to(authority, registry, folder, expected, sealed)
    registry.stop()
    subprocess.run(["rm", "-rf", work], check=True)


if __name__ == "__main__":
    sys.exit(main())
