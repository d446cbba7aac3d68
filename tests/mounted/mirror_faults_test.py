#!/usr/bin/env python3
"""Registries on bad days, behind the mirror, with real clients. The faults are for swarmfsd alone (by its User-Agent): who
asks the registry directly gets everything, so no pull through the mirror may fail or hang. All scenarios run at once, each
with an image and a proxy of its own. What clients make of the mirror's answers: reference/p2p.md 4.5."""
import base64
import io
import json
import os
import random
import subprocess
import sys
import tarfile
import threading
import time
from functools import partial

from mirrored import Mirrored, WritableRegistry, digest, get, push_image
from node import Node, Registry, need_fuse, wait_for
from proxy import Proxy
from storage_client import BOUND, PullFailed, storage_client

FOREVER = 600  # a stall that no client sits out
LAYERS = (3_000_000, 800_000)


def layer(seed, size):
    """A tar of random bytes, the same each time."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", format=tarfile.PAX_FORMAT) as tar:
        info = tarfile.TarInfo(f"data-{seed}")
        info.size = size
        tar.addfile(info, io.BytesIO(random.Random(seed).randbytes(size)))
    return made.getvalue()


class Faulty:
    """`fault` for the first `count` of the daemon's requests whose path has `what` in it."""

    def __init__(self, what, count=None, **fault):
        self.what, self.left, self.fault, self.lock = what, count, fault, threading.Lock()

    def __call__(self, method, path, headers):
        if self.what not in path or not headers.get("User-Agent", "").startswith("swarmfs/"):
            return {}
        with self.lock:
            if self.left == 0:
                return {}
            if self.left is not None:
                self.left -= 1
        return self.fault


BLOBS, MANIFESTS, ALL = "/blobs/", "/manifests/", "/v2/"

# For ever: containerd must find its way to the registry.
LASTING = {
    "stalls within a layer": Faulty(BLOBS, stall_after=65536, stall=FOREVER),
    "sends headers and no byte": Faulty(BLOBS, stall_after=0, stall=FOREVER),
    "dies within a layer": Faulty(BLOBS, cut_after=300_000),
    "dies at once within a layer": Faulty(BLOBS, cut_after=0),
    "is reset within a layer": Faulty(BLOBS, reset_after=65536),
    "answers 500": Faulty(BLOBS, status=500),
    "answers 503": Faulty(BLOBS, status=503),
    "answers 404 for blobs": Faulty(BLOBS, status=404),
    "answers 403 for blobs": Faulty(BLOBS, status=403),
    "answers 429": Faulty(BLOBS, status=429, headers={"Retry-After": "3600"}),
    "answers 429 for manifests": Faulty(MANIFESTS, status=429, headers={"Retry-After": "3600"}),
    "answers 500 for all": Faulty(ALL, status=500),
    "answers 404 for manifests": Faulty(MANIFESTS, status=404),
    "answers a page of HTML": Faulty(MANIFESTS, status=200, body=b"<html>sign in</html>",
                                     headers={"Content-Type": "text/html"}),
    "answers nothing with 200": Faulty(BLOBS, status=200),
    "corrupts manifests": Faulty(MANIFESTS, corrupt=True),
    "truncates": Faulty(BLOBS, short=1000),
    "truncates to nothing": Faulty(BLOBS, short=1 << 40),
    "names no length": Faulty(BLOBS, lengthless=True),
    "ignores ranges": Faulty(BLOBS, whole=True),
    "redirects in a circle": Faulty(BLOBS, redirect="/v2/x/blobs/again"),
    "is slow to answer for manifests": Faulty(MANIFESTS, delay=6),
    "is slow to answer for blobs": Faulty(BLOBS, delay=6),
    "never answers for blobs": Faulty(BLOBS, delay=FOREVER),
    "never answers": Faulty(ALL, delay=FOREVER),
}

WRONG, ALWAYS_WRONG = "sends wrong bytes", "sends wrong bytes for ever"
# For a while: who has no other way waits and gets everything.
PASSING = {
    "stalls within a layer": lambda: Faulty(BLOBS, 1, stall_after=65536, stall=FOREVER),
    "dies within a layer": lambda: Faulty(BLOBS, 4, cut_after=300_000),
    "is reset within a layer": lambda: Faulty(BLOBS, 2, reset_after=65536),
    "answers 500": lambda: Faulty(BLOBS, 2, status=500),
    "answers 503": lambda: Faulty(BLOBS, 2, status=503),
    "answers 429": lambda: Faulty(BLOBS, 2, status=429, headers={"Retry-After": "1"}),
    WRONG: lambda: Faulty(BLOBS, 1, corrupt=True),
    ALWAYS_WRONG: lambda: Faulty(BLOBS, corrupt=True),
    "truncates": lambda: Faulty(BLOBS, 2, short=1000),
    "is slow to answer for blobs": lambda: Faulty(BLOBS, delay=3),
    "answers 404 for manifests": lambda: Faulty(MANIFESTS, status=404),
    "never answers": lambda: Faulty(ALL, delay=FOREVER),
}
# The mirror gives nothing, or nothing any more: to the registry, then. Skopeo has none behind the mirror.
NOT_FOR_SKOPEO = ("answers 404 for manifests", "never answers", ALWAYS_WRONG)


def compare(what, mirrored, image):
    for name in image:
        assert digest(mirrored.stored(name)) == name, (what, name)


def lasting(what, mirrored, reference, image):
    """containerd 1.6: it resumes at the mirror, and goes to the registry once that refuses."""
    done = mirrored.fetch(reference, timeout=BOUND)
    if done.returncode:
        raise PullFailed(done.stderr[-2000:])
    compare(what, mirrored, image)


def wrong_for_containerd(mirrored, host, tag, image):
    """It keeps what does not fit, and never asks again, with the mirror as without: reference/p2p.md 4.5. The mirror gives
    the right bytes from then on."""
    try:
        return lasting(WRONG, mirrored, f"{host}/image:{tag}", image)
    except PullFailed as failure:
        assert "unexpected commit digest" in str(failure), failure
    for name in image[1:]:
        status, _, body = get(mirrored.port, f"/v2/image/blobs/{name}?ns={host}")
        assert status == 200 and digest(body) == name, (name, status)


def in_threads(jobs):
    """`jobs`: names and callables. All must end well."""
    failed, lock = {}, threading.Lock()

    def one(name, job):
        began = time.time()
        try:
            job()
            print(f"{name}: ok, {time.time() - began:.1f} s\n", end="", flush=True)
        except Exception as error:
            with lock:
                failed[name] = repr(error)
            print(f"{name}: FAILED, {time.time() - began:.1f} s: {error!r}", flush=True)

    threads = [threading.Thread(target=one, args=pair) for pair in jobs.items()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed, failed


def containerd_finds_its_way(registry):
    mirrored = Mirrored(registry)
    jobs = {}
    rules = {**LASTING, WRONG: PASSING[WRONG]()}
    for number, (what, rule) in enumerate(rules.items()):
        proxy = Proxy(registry.host, rule)
        mirrored.add_host(proxy.host)
        image = push_image(registry.host, "image", [layer(f"{number}-{size}", size) for size in LAYERS], tag=f"v{number}")
        jobs[what] = (partial(wrong_for_containerd, mirrored, proxy.host, f"v{number}", image) if what == WRONG else
                      partial(lasting, what, mirrored, f"{proxy.host}/image:v{number}", image))
    try:
        in_threads(jobs)
        # "Ask me again later" would keep containerd here (6 tries, then upstream).
        answered = {key for key in mirrored.node.metrics() if key.startswith("swarmfs_mirror_requests_total")}
        assert any('status="503"' in key for key in answered), answered
        assert not any('status="429"' in key or 'status="408"' in key for key in answered), answered
    finally:
        mirrored.close()


def skopeo(place, config, image):
    """By the path's first component, and with nobody behind the mirror."""
    target = f"{place}/dir"
    done = subprocess.run(["skopeo", "copy", "-q", "--src-tls-verify=false", f"docker://{config['mirror']}:v1",
                           f"dir:{target}"], timeout=BOUND, stderr=subprocess.PIPE, text=True)
    if done.returncode:
        raise PullFailed(done.stderr[-1500:])
    for name in image:
        file = "manifest.json" if name == image[0] else name.split(":")[1]
        assert digest(open(f"{target}/{file}", "rb").read()) == name, file


def in_the_end(job, most):
    """A direct pull of wrong bytes fails too. It must be the client that finds no more than an early end, and after `most`
    of that a pull gets what is right."""
    for _ in range(most):
        try:
            return job()
        except PullFailed:
            pass
    job()


CLIENTS = {"skopeo": skopeo, "buildah": partial(storage_client, "buildah"), "podman": partial(storage_client, "podman")}


def others_do_not_notice(registry):
    """Those of containers/image stay with the mirror that gave them the manifest: it has to get what it owes."""
    cases = [(f"{client} ({what})", client, what) for client in CLIENTS for what in PASSING
             if client != "skopeo" or what not in NOT_FOR_SKOPEO]
    proxies = [Proxy(registry.host) for _ in cases]
    sections = "".join(f'[[registry]]\nhost = "r{i}.example.com"\nmirrors = ["{proxy.host}"]\n'
                       for i, proxy in enumerate(proxies))
    mirrored = Mirrored(registry, sections)
    jobs = {}
    for i, (title, client, what) in enumerate(cases):
        proxies[i].rule = PASSING[what]()
        place = f"{mirrored.node.work}/client{i}"
        os.makedirs(place)
        image = push_image(registry.host, f"image{i}", [layer(f"{title}-{size}", size) for size in LAYERS])
        config = {"name": f"r{i}.example.com/image{i}", "direct": f"{proxies[i].host}/image{i}",
                  "mirror": f"127.0.0.1:{mirrored.port}/r{i}.example.com/image{i}"}
        job = partial(CLIENTS[client], place, config, image)
        most = {WRONG: 1, ALWAYS_WRONG: 2}.get(what, 0)
        jobs[title] = partial(in_the_end, job, most)
    try:
        in_threads(jobs)
    finally:
        mirrored.close()


def a_portal_opens_nothing(work):
    """A network's page to sign in says 200 to everybody. That opens no private repository to guesses."""
    subprocess.run(f"htpasswd -Bbn alice s3cret > {work}/htpasswd", shell=True, check=True)
    registry = Registry(f"{work}/pushed", work, auth=f"auth: {{htpasswd: {{realm: r, path: {work}/htpasswd}}}}\n")
    proxy = Proxy(registry.host)
    with open(f"{work}/password", "w") as f:
        f.write("s3cret\n")
    mirrored = Mirrored(proxy, f'[[registry]]\nhost = "{proxy.host}"\nusername = "alice"\npassword_file = "{work}/password"\n')
    alice, mallory = ({"Authorization": "Basic " + base64.b64encode(who).decode()}
                      for who in (b"alice:s3cret", b"alice:guess"))
    ns = f"?ns={proxy.host}"
    try:
        manifest = get(mirrored.port, f"/v2/image/manifests/v0{ns}", alice)[2]
        paths = [f"/v2/image/manifests/v0{ns}", f"/v2/image/manifests/{digest(manifest)}{ns}",
                 f"/v2/image/blobs/{json.loads(manifest)['config']['digest']}{ns}"]
        assert [get(mirrored.port, path, mallory)[0] for path in paths] == [401] * 3
        proxy.rule = lambda method, path, headers: {"status": 200, "body": b"<html>sign in</html>",
                                                    "headers": {"Content-Type": "text/html; charset=utf-8"}}
        for who in (mallory, {}):
            for path in paths:
                status, _, body = get(mirrored.port, path, who)
                assert status == 404 and b"errors" in body, (path, status, body)
    finally:
        mirrored.close()
        registry.stop()


def the_mirror_goes(registry):
    """It is stopped while a layer passes, and stays away: what was begun and what begins goes to the registry."""
    proxy = Proxy(registry.host, Faulty(BLOBS, stall_after=65536, stall=FOREVER))
    mirrored = Mirrored(proxy, f'[[registry]]\nhost = "r0.example.com"\nmirrors = ["{proxy.host}"]\n')
    image = push_image(registry.host, "going", [layer(f"going-{size}", size) for size in LAYERS])
    passing = threading.Thread(target=in_threads, args=({"stopped within a layer": partial(
        lasting, "going", mirrored, f"{proxy.host}/going:v1", image)},))
    try:
        passing.start()
        wait_for("streams", lambda: mirrored.node.metrics().get("swarmfs_mirror_streams", 0) > 0)
        assert mirrored.node.terminate() == 0
        passing.join()
        compare("going", mirrored, image)
        mirrored.forget()
        lasting("gone", mirrored, f"{proxy.host}/going:v1", image)
        for client in ("buildah", "podman"):
            place = f"{mirrored.node.work}/{client}"
            os.makedirs(place)
            CLIENTS[client](place, {"name": "r0.example.com/going", "direct": f"{registry.host}/going",
                                    "mirror": f"127.0.0.1:{mirrored.port}/r0.example.com/going"}, image)
        print("gone: ok", flush=True)
    finally:
        mirrored.close()


def main():
    """`mirror_faults_test.py BUILD [containerd] [others] [portal] [goes]`; without: all."""
    need_fuse()
    chosen = sys.argv[2:] or ["containerd", "others", "portal", "goes"]
    work = Node()
    registry = WritableRegistry(work.work)
    try:
        if "containerd" in chosen:
            containerd_finds_its_way(registry)
        if "others" in chosen:
            others_do_not_notice(registry)
        if "goes" in chosen:
            the_mirror_goes(registry)
        if "portal" in chosen:
            push_image(registry.host, "image", [layer("private", 1000)], tag="v0")
            a_portal_opens_nothing(work.work)
    finally:
        registry.stop()


if __name__ == "__main__":
    sys.exit(main())
