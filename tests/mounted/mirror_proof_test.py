#!/usr/bin/env python3
"""A private layer lies in the cache, and others name it by digest and size: who runs such a registry gets none of its bytes
from the mirror, a repository that holds it shows so once and is served from the cache; where it knows no ranges, by all of it."""
import base64
import http.server
import json
import os
import subprocess
import sys
import threading

from mirrored import OCI, Mirrored, digest, get
from node import Node, Registry, images, need_fuse, wait_for
from proxy import Proxy
from storage_client import storage_client

PATIENCE = 60
BLOCK = 16384


def login(name):
    return {"Authorization": "Basic " + base64.b64encode(f"{name}:s3cret".encode()).decode()}


class Claimant:
    """A registry that says to hold every blob it is told to, and gives what `mode` says: "absent", "wrong" or "right" bytes
    of the range, all of wrong bytes "whole", right bytes but no ranges ("plain"), or nothing at all ("silent")."""

    def __init__(self):
        self.mode, self.blobs, self.truth, self.ranges = "absent", {}, {}, []
        self.let_go = threading.Event()
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def log_message(self, *args):
                pass

            def do_HEAD(self):
                self.answer(False)

            def do_GET(self):
                self.answer(True)

            def answer(self, with_body):
                name = self.path.split("?")[0].split("/")[-1]
                if "/manifests/" in self.path:
                    document = outer.manifest()
                    return self.say(200, document, with_body, f"{OCI}.manifest.v1+json",
                                    {"Docker-Content-Digest": digest(document)})
                if name not in outer.blobs:
                    return self.say(404, b"", with_body)
                size = outer.blobs[name]
                if not with_body:
                    return self.say(200, size, False)
                asked = self.headers.get("Range")
                outer.ranges.append(asked)
                if outer.mode == "absent":
                    return self.say(404, b"", True)
                if outer.mode == "silent":
                    outer.let_go.wait(PATIENCE)
                    return self.say(404, b"", True)
                if outer.mode == "plain":
                    return self.say(200, outer.truth[name], True)
                if outer.mode == "whole" or not asked:
                    return self.say(200, b"\xa5" * size, True)
                first, last = (int(part) for part in asked.split("=")[1].split("-"))
                part = outer.truth[name][first:last + 1] if outer.mode == "right" else b"\xa5" * (last - first + 1)
                self.say(206, part, True, extra={"Content-Range": f"bytes {first}-{last}/{size}"})

            def say(self, status, body, with_body, kind="application/octet-stream", extra={}):
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(body if isinstance(body, int) else len(body)))
                for header, value in extra.items():
                    self.send_header(header, value)
                self.end_headers()
                if with_body:
                    try:
                        self.wfile.write(body)
                    except OSError:
                        pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_port
        self.host = f"127.0.0.1:{self.port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def manifest(self):
        named = [{"mediaType": f"{OCI}.layer.v1.tar+gzip", "digest": name, "size": size}
                 for name, size in self.blobs.items()]
        return json.dumps({"schemaVersion": 2, "mediaType": f"{OCI}.manifest.v1+json", "config": named[0],
                           "layers": named}).encode()

    def stop(self):
        self.let_go.set()
        self.server.shutdown()
        self.server.server_close()


def private_registry(folder, work, name):
    path = os.path.join(work, f"htpasswd-{name}")
    subprocess.run(["htpasswd", "-Bbc", path, name, "s3cret"], check=True, stderr=subprocess.DEVNULL)
    return Registry(folder, work, auth=f"auth: {{htpasswd: {{realm: r, path: {path}}}}}\n")


def blobs_of(registry, tag, who):
    manifest = json.loads(get(registry.port, f"/v2/small/manifests/{tag}", who)[2])
    return [manifest["config"], *manifest["layers"]]


def pull(mirrored, registry, tag, who):
    """All of an image through the mirror; its blobs by digest."""
    ns, made = f"?ns={registry.host}", {}
    assert get(mirrored.port, f"/v2/small/manifests/{tag}{ns}", who)[0] == 200
    for blob in blobs_of(registry, tag, who):
        status, _, body = get(mirrored.port, f"/v2/small/blobs/{blob['digest']}{ns}", who)
        assert status == 200 and digest(body) == blob["digest"], (registry.host, status, blob)
        made[blob["digest"]] = body
    return made


def checked(mirrored, count):
    tree = f"{mirrored.node.work}/cache/docs/tree"
    wait_for("what passed is hashed", lambda: os.path.isdir(tree) and len(os.listdir(tree)) >= count, PATIENCE)


def attack(mirrored, claimant, blobs, names=("claims", "others")):
    """With a manifest and without, whole and by range: no byte comes."""
    ns = f"?ns={claimant.host}"
    for repository in names:
        if repository == "claims":
            status, _, body = get(mirrored.port, f"/v2/claims/manifests/v1{ns}")
            assert status == 200, (claimant.mode, status, body, mirrored.node.tail()[-1500:])
        for name, body in blobs.items():
            for headers in ({}, {"Range": "bytes=0-63"}, {"Range": f"bytes={len(body) // 2}-"}, login("alice")):
                status, _, given = get(mirrored.port, f"/v2/{repository}/blobs/{name}{ns}", headers)
                assert status in (404, 503) and body[:16] not in given, (claimant.mode, repository, name, status, given[:99])


def claims(mirrored, private, claimant):
    secret = pull(mirrored, private, "v1", login("alice"))
    layers = {name: len(body) for name, body in secret.items()}
    checked(mirrored, len(layers) - 1)
    claimant.blobs, claimant.truth = layers, secret
    before = mirrored.registry_bytes()
    for claimant.mode in ("absent", "wrong"):
        attack(mirrored, claimant, secret)
        print(f"{claimant.mode}: nothing was given, {len(claimant.ranges)} ranges asked for", flush=True)
    asked = {entry for entry in claimant.ranges if entry}
    assert len(asked) <= len(layers), f"another block of a blob was asked for: {asked}"
    assert None not in claimant.ranges, "no more than a block is asked for"
    assert mirrored.registry_bytes() == before
    log = open(mirrored.node.log, errors="replace").read()
    told = [line for line in log.splitlines() if claimant.host in line and "does not show that blob" in line]
    assert len(told) == 2 * len(layers), told
    without_ranges(mirrored, claimant, secret)
    assert pull(mirrored, private, "v1", login("alice")) == secret, "its own callers are served as before"
    assert mirrored.registry_bytes() == before
    return secret


def without_ranges(mirrored, claimant, secret):
    """It gives all of a blob, or nothing: that is its own, and is given on past the cache, until it was right once."""
    ns = f"?ns={claimant.host}"

    def gives(repository, name, body):
        for first, headers in ((None, {}), (0, {"Range": "bytes=0-63"}), (len(body) // 2, {"Range": f"bytes={len(body) // 2}-"}),
                               (None, login("alice"))):
            status, _, given = get(mirrored.port, f"/v2/{repository}/blobs/{name}{ns}", headers)
            expected = body if first is None else body[:64] if first == 0 else body[first:]
            assert (status, given == expected) == (200 if first is None else 206, True), (repository, name, status, headers)

    claimant.mode = "whole"
    for repository in ("claims", "others"):
        for name, body in secret.items():
            # Of a small one a block is all of it, which proves that it lies, until it is known for ignoring ranges.
            if len(body) > BLOCK or get(mirrored.port, f"/v2/{repository}/blobs/{name}{ns}")[0] != 404:
                gives(repository, name, b"\xa5" * len(body))
    claimant.mode = "plain"
    for name, body in secret.items():
        gives("others", name, body)
        asked = len(claimant.ranges)
        gives("others", name, body)
        assert len(claimant.ranges) == asked, "it has shown that it holds it"
    print("a registry without ranges: what it gives is its own", flush=True)


def podman_without_ranges(mirrored, folder, secret):
    """A public registry that knows no ranges holds the private image, too. Podman stays with the mirror that gave it the
    manifest; so does skopeo, which has nobody else to ask."""
    registry = Registry(folder, mirrored.node.work)
    proxy = Proxy(registry.host, lambda method, path, headers: {"whole": True}, "127.0.0.5", 80)
    manifest = get(registry.port, "/v2/small/manifests/v1")[2]
    image = [digest(manifest), json.loads(manifest)["config"]["digest"]]
    through = f"127.0.0.1:{mirrored.port}/127.0.0.5/small"
    try:
        for turn in range(2):
            place = f"{mirrored.node.work}/podman{turn}"
            os.makedirs(place)
            asked = len(proxy.seen)
            storage_client("podman", place, {"name": "127.0.0.5/small", "direct": "127.0.0.1:1/none", "mirror": through}, image)
            blobs = [status for _, path, _, status in proxy.seen[asked:] if "/blobs/" in path]
            assert (turn == 0) == bool(blobs), (turn, blobs)
        target = f"{mirrored.node.work}/copied"
        subprocess.run(["skopeo", "copy", "-q", "--src-tls-verify=false", f"docker://{through}:v1", f"dir:{target}"], check=True,
                       timeout=PATIENCE)
        for name, body in secret.items():
            assert open(f"{target}/{name.split(':')[1]}", "rb").read() == body, name
    finally:
        proxy.stop()
        registry.stop()


def first_comer(mirrored, private, claimant):
    """Who asks before the layer is here, of a registry that does not give it, waits for nobody else's bytes."""
    blobs = {blob["digest"]: blob["size"] for blob in blobs_of(private, "v1-zstd", login("alice"))}
    name = max(blobs, key=blobs.get)
    claimant.blobs, claimant.mode = {name: blobs[name]}, "silent"
    heard = []
    asker = threading.Thread(target=lambda: heard.append(get(mirrored.port, f"/v2/first/blobs/{name}?ns={claimant.host}")))
    asked = len(claimant.ranges)
    asker.start()
    wait_for("the claimant is asked", lambda: len(claimant.ranges) > asked, PATIENCE)
    ns = f"?ns={private.host}"
    assert get(mirrored.port, f"/v2/small/manifests/v1-zstd{ns}", login("alice"))[0] == 200
    status, _, body = get(mirrored.port, f"/v2/small/blobs/{name}{ns}", login("alice"))
    assert status == 200 and digest(body) == name, "it is the claimant's layer for now, and comes past the cache"
    part = {**login("alice"), "Range": "bytes=100000-4300000"}
    assert get(mirrored.port, f"/v2/small/blobs/{name}{ns}", part)[2] == body[100000:4300001], "by range as well"
    assert get(mirrored.port, f"/v2/small/blobs/{name}{ns}", login("mallory"))[0] == 401
    claimant.mode = "absent"
    claimant.let_go.set()
    asker.join(PATIENCE)
    assert heard and heard[0][0] in (404, 503), heard
    wait_for("the layer is nobody's", lambda: digest(get(mirrored.port, f"/v2/small/blobs/{name}{ns}", login("alice"))[2])
             == name, PATIENCE)


def honest(mirrored, second, third, secret):
    """Two more private registries hold the image: of one this node has the credential, of the other only the caller."""
    before = mirrored.registry_bytes()
    for _ in range(2):
        assert pull(mirrored, second, "v1", login("bob")) == secret
    mirrored.pull(f"{second.host}/small:v1", "--user", "bob:s3cret")
    assert set(secret) <= mirrored.contents()
    for name, body in secret.items():
        path = f"/v2/small/blobs/{name}?ns={third.host}"
        assert get(mirrored.port, path)[0] == 401
        assert get(mirrored.port, path, login("alice"))[0] == 401
        status, _, given = get(mirrored.port, path, login("carol"))
        assert status == 200 and given == body, (name, status)
    assert mirrored.registry_bytes() == before, "all of it came from the cache"
    second.stop()
    ns = f"?ns={second.host}"
    for name, body in secret.items():
        assert get(mirrored.port, f"/v2/small/blobs/{name}{ns}", login("bob"))[2] == body, "what was shown is remembered"


def main():
    need_fuse()
    folder = images("small")
    work = Node()
    private, second, third = (private_registry(folder, work.work, name) for name in ("alice", "bob", "carol"))
    with open(f"{work.work}/password", "w") as f:
        f.write("s3cret\n")
    mirrored = Mirrored(private, "".join(
        f'[[registry]]\nhost = "{registry.host}"\nusername = "{name}"\npassword_file = "{work.work}/password"\n'
        for name, registry in (("alice", private), ("bob", second))))
    mirrored.add_host(second.host)
    claimant = Claimant()
    try:
        secret = claims(mirrored, private, claimant)
        print("a registry that only claims it: refused", flush=True)
        first_comer(mirrored, private, claimant)
        print("the first who asks: waits alone", flush=True)
        honest(mirrored, second, third, secret)
        podman_without_ranges(mirrored, folder, secret)
        print("a public registry without ranges: podman and skopeo have the image", flush=True)
    finally:
        mirrored.close()
        claimant.stop()
        for registry in (private, second, third):
            registry.stop()


if __name__ == "__main__":
    sys.exit(main())
