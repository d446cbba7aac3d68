#!/usr/bin/env python3
"""containerd and skopeo, unmodified, pull through the mirror: every format, with the registry down, private, and while
the daemon is killed. What they got is compared by digest."""
import base64
import json
import os
import random
import re
import subprocess
import sys
import threading
import time

from mirrored import Mirrored, WritableRegistry, digest, get, push_index
from node import Node, Registry, images, need_fuse, wait_for

def told(mirrored, reference):
    """What the log says of pulls of it: blobs, bytes, sources."""
    pattern = rf" info mirror: pulled {re.escape(reference)} for containerd/\S+ at 127\.0\.0\.1:\d+: (.*), (.*) \((.*)\) in [\d.]+ s$"
    return re.findall(pattern, open(mirrored.node.log, errors="replace").read(), re.M)


def all_formats(mirrored, registry):
    for name in ("small:v1", "small:v1-zstd", "small:v1-docker"):
        reference = f"{registry.host}/{name}"
        mirrored.pull(reference)
        wait_for("the pull is told", lambda: told(mirrored, reference), 60)
        (blobs, size, sources), = told(mirrored, reference)
        assert blobs == "4 blobs" and (name != "small:v1" or sources == f"registry {size}"), (blobs, size, sources)
        through = mirrored.contents()
        mirrored.forget()
        mirrored.containerd.ctr("images", "pull", "--plain-http", "--snapshotter", "overlayfs", reference)
        direct = mirrored.contents()
        assert through == direct and len(direct) >= 4, (name, through, direct)
        mirrored.forget()


def skopeo(mirrored, registry):
    """By the path's first component: it sends no ns. No such component may have a port."""
    def inspect(place):
        out = subprocess.run(["skopeo", "inspect", "--raw", "--tls-verify=false", f"docker://{place}"], check=True,
                             stdout=subprocess.PIPE, timeout=120).stdout
        return digest(out)

    through = f"127.0.0.1:{mirrored.port}/registry.example.com/small:v1"
    assert inspect(through) == inspect(f"{registry.host}/small:v1")
    target = os.path.join(mirrored.node.work, "copied")
    subprocess.run(["skopeo", "copy", "--src-tls-verify=false", f"docker://{through}", f"dir:{target}"], check=True,
                   stdout=subprocess.DEVNULL, timeout=300)
    manifest = json.load(open(f"{target}/manifest.json"))
    for blob in [manifest["config"], *manifest["layers"]]:
        data = open(f"{target}/{blob['digest'].split(':')[1]}", "rb").read()
        assert digest(data) == blob["digest"] and len(data) == blob["size"], blob


def ranges(mirrored, registry):
    ns = f"?ns={registry.host}"
    status, headers, manifest = get(mirrored.port, f"/v2/small/manifests/v1{ns}")
    assert status == 200 and headers["Docker-Content-Digest"] == digest(manifest), headers
    status, head, body = get(mirrored.port, f"/v2/small/manifests/v1{ns}", method="HEAD")
    assert (status, head["Content-Length"], body) == (200, str(len(manifest)), b""), head
    assert get(mirrored.port, f"/v2/small/manifests/v1{ns}", {"If-None-Match": f'"{digest(manifest)}"'})[0] == 304
    layer = json.loads(manifest)["layers"][0]
    path = f"/v2/small/blobs/{layer['digest']}"
    size = layer["size"]
    whole = get(registry.port, path)[2]
    assert len(whole) == size
    for header, start, end in (("bytes=5-9", 5, 10), (f"bytes={size - 100}-", size - 100, size), ("bytes=-7", size - 7, size)):
        status, headers, body = get(mirrored.port, path + ns, {"Range": header})
        assert status == 206 and body == whole[start:end], (header, status)
        assert headers["Content-Range"] == f"bytes {start}-{end - 1}/{size}", headers
    assert get(mirrored.port, path + ns, {"Range": f"bytes={size}-"})[0] == 416
    assert get(mirrored.port, f"/v2/small/tags/list{ns}")[2] == get(registry.port, "/v2/small/tags/list")[2]
    assert get(mirrored.port, f"/v2/small/manifests/none{ns}")[0] == 404
    assert get(mirrored.port, "/v2/%2e%2e/%2e%2e/etc/passwd")[0] == 404
    assert get(mirrored.port, "/v2/x/..%2f..%2fy/manifests/v1")[0] == 400
    assert get(mirrored.port, "/v2/")[0] == 200


def registry_down(mirrored, registry):
    reference = f"{registry.host}/small:v1"
    manifest = get(mirrored.port, f"/v2/small/manifests/v1?ns={registry.host}")[2]
    registry.stop()
    try:
        for name in (reference, f"{registry.host}/small@{digest(manifest)}"):
            mirrored.pull(name)
            mirrored.forget()
        began = time.time()
        assert get(mirrored.port, f"/v2/nothing/manifests/v1?ns={registry.host}")[0] == 404
        assert time.time() - began < 30
        done = mirrored.pull(f"{registry.host}/small:none", check=False)
        assert done.returncode != 0
    finally:
        registry.start()


def index_of_two(mirrored, host):
    index, made = push_index(host, "multi")
    status, headers, body = get(mirrored.port, f"/v2/multi/manifests/v1?ns={host}")
    assert status == 200 and body == index, "an index is given as it is"
    assert headers["Content-Type"] == "application/vnd.oci.image.index.v1+json", headers
    for platform in ("linux/amd64", "linux/arm64"):
        mirrored.pull(f"{host}/multi:v1", "--platform", platform)
    have = mirrored.contents()
    assert {digest(index), *made} <= have, have
    mirrored.forget()


def private(folder, work):
    """What one caller pulled is not for others. The node itself can pull it: its credential serves nobody else."""
    subprocess.run(f"htpasswd -Bbn alice s3cret > {work}/htpasswd", shell=True, check=True)
    registry = Registry(folder, work, auth=f"auth: {{htpasswd: {{realm: r, path: {work}/htpasswd}}}}\n")
    with open(f"{work}/password", "w") as f:
        f.write("s3cret\n")
    mirrored = Mirrored(registry, f'[[registry]]\nhost = "{registry.host}"\nusername = "alice"\n'
                                  f'password_file = "{work}/password"\n')
    try:
        reference = f"{registry.host}/small:v1"
        mirrored.pull(reference, "--user", "alice:s3cret")
        assert mirrored.registry_bytes() > 10_000_000, mirrored.node.metrics()
        mirrored.forget()
        assert mirrored.pull(reference, check=False).returncode != 0
        alice = {"Authorization": "Basic " + base64.b64encode(b"alice:s3cret").decode()}
        mallory = {"Authorization": "Basic " + base64.b64encode(b"alice:guess").decode()}
        ns = f"?ns={registry.host}"
        manifest = get(mirrored.port, f"/v2/small/manifests/v1{ns}", alice)[2]
        layer = json.loads(manifest)["layers"][0]["digest"]
        for path in ("manifests/v1", f"manifests/{digest(manifest)}", f"blobs/{layer}"):
            for who in ({}, mallory):
                status, headers, _ = get(mirrored.port, f"/v2/small/{path}{ns}", who)
                assert status == 401 and headers["WWW-Authenticate"] == 'Basic realm="r"', (path, status, headers)
            assert get(mirrored.port, f"/v2/small/{path}{ns}", alice)[0] == 200
    finally:
        mirrored.containerd.stop()
        mirrored.node.close()
        registry.stop()


KILLS = 20


class Killer:
    """kill -9 each time a layer passes, until done."""

    def __init__(self, node):
        self.node, self.kills, self.done = node, 0, False

    def run(self):
        while not self.done:
            try:
                if not self.node.metrics().get("swarmfs_mirror_streams", 0):
                    time.sleep(0.02)
                    continue
            except subprocess.CalledProcessError:
                continue
            time.sleep(random.uniform(0, 0.3))
            self.node.kill()
            self.kills += 1
            self.node.start()


def killed(mirrored, registry):
    """kill -9 while layers pass, again and again: containerd resumes here or goes to the registry; the image is whole."""
    manifest = get(registry.port, "/v2/medium/manifests/v1")[2]
    parts = json.loads(manifest)
    expected = {digest(manifest), *(blob["digest"] for blob in [parts["config"], *parts["layers"]])}
    kills = resets = pulls = 0
    while kills < KILLS:
        assert pulls < 2 * KILLS, (pulls, kills)
        mirrored.node.run("evict")
        killer = Killer(mirrored.node)
        thread = threading.Thread(target=killer.run)
        thread.start()
        done = mirrored.fetch(f"{registry.host}/medium:v1")
        killer.done = True
        thread.join()
        kills, pulls = kills + killer.kills, pulls + 1
        # A reset of a killed process's connection is not retried by containerd 1.6 (reference/p2p.md 4.5).
        if done.returncode:
            assert "reset" in done.stderr, done.stderr
            resets += 1
            done = mirrored.fetch(f"{registry.host}/medium:v1")
        assert done.returncode == 0, done.stderr
        assert mirrored.contents() == expected, mirrored.contents()
        mirrored.forget()
    print(f"killed {kills} times in {pulls} pulls; {resets} met a reset", flush=True)


def clients(mirrored, registry, pushed):
    all_formats(mirrored, registry)
    before = mirrored.registry_bytes()
    assert before > 50_000_000, before
    mirrored.pull(f"{registry.host}/small:v1")
    assert mirrored.registry_bytes() == before, "a second pull costs the registry nothing"
    wait_for("the second pull is told", lambda: len(told(mirrored, f"{registry.host}/small:v1")) == 2, 60)
    first, second = told(mirrored, f"{registry.host}/small:v1")
    assert second[:2] == first[:2] and second[2] == f"cache {first[1]}", (first, second)
    mirrored.forget()
    skopeo(mirrored, registry)
    ranges(mirrored, registry)
    wait_for("an index of what passed", lambda: len(os.listdir(f"{mirrored.node.work}/cache/docs/tree")) >= 3, 60)
    registry_down(mirrored, registry)
    mirrored.add_host(pushed.host)
    index_of_two(mirrored, pushed.host)


def main():
    """`mirror_test.py BUILD [clients] [killed] [private]`; without: all."""
    need_fuse()
    folder = images("small", "medium")
    chosen = sys.argv[2:] or ["clients", "killed", "private"]
    work = Node()
    registry = Registry(folder, work.work)
    if "private" in chosen:
        private(folder, work.work)
    pushed = WritableRegistry(work.work)
    mirrored = Mirrored(registry, f'[[registry]]\nhost = "registry.example.com"\nmirrors = ["{registry.host}"]\n')
    try:
        if "clients" in chosen:
            clients(mirrored, registry, pushed)
        if "killed" in chosen:
            killed(mirrored, registry)
    finally:
        mirrored.containerd.stop()
        pushed.stop()
        registry.stop()


if __name__ == "__main__":
    sys.exit(main())
