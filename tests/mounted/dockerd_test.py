#!/usr/bin/env python3
"""dockerd, unmodified, pulls images of docker.io through the mirror that `swarmfs configure docker` wrote into its settings: both
formats that it knows, by tag and by digest, with the registry down, and what it was told is gone again. It cannot reach docker.io
from here; only the daemon knows where its images are."""
import json
import os
import re
import signal
import subprocess
import sys
import time

from mirrored import WritableRegistry, digest, get
from node import SWARMFS, Node, Registry, end, free_port, images, need_fuse, skip, wait_for

BLOBS = re.compile(r"^sha256:[0-9a-f]{64}$")


class Dockerd:
    """With a folder and settings of its own; no bridge, no rules of iptables."""

    def __init__(self, work, settings):
        self.home, self.settings = os.path.join(work, "dockerd"), settings
        os.makedirs(self.home)
        self.socket = os.path.join(self.home, "d.sock")
        self.log = os.path.join(self.home, "log")
        self.start()

    def start(self):
        home = self.home
        self.process = subprocess.Popen(
            ["/usr/sbin/dockerd", "--config-file", self.settings, "-H", f"unix://{self.socket}", "--data-root", f"{home}/root",
             "--exec-root", f"{home}/exec", "--pidfile", f"{home}/pid", "--bridge", "none", "--iptables=false", "--ip6tables=false",
             "--ip-masq=false"], stdout=subprocess.DEVNULL, stderr=open(self.log, "ab"))
        wait_for("dockerd", lambda: self.process.poll() is not None or self.docker("version", check=False).returncode == 0, 60)
        assert self.process.poll() is None, open(self.log, errors="replace").read()[-3000:]

    def docker(self, *words, check=True, timeout=300):
        done = subprocess.run(["/usr/bin/docker", "-H", f"unix://{self.socket}", *words], text=True, timeout=timeout,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ, "DOCKER_CONFIG": self.home})
        if check and done.returncode:
            raise AssertionError(f"docker {' '.join(words)}: {done.stdout}{done.stderr}\n"
                                 + open(self.log, errors="replace").read()[-3000:])
        return done

    def mirrors(self):
        return self.docker("info", "--format", "{{.RegistryConfig.Mirrors}}").stdout.strip()

    def inspect(self, image):
        return json.loads(self.docker("image", "inspect", image).stdout)[0]

    def forget(self):
        names = self.docker("image", "ls", "-aq", "--no-trunc").stdout.split()
        if names:
            self.docker("image", "rm", "-f", *sorted(set(names)))
        assert self.docker("image", "ls", "-aq").stdout == ""

    def stop(self):
        end(self.process, 30)


class Place:
    def __init__(self, registry):
        self.registry, self.port = registry, free_port()
        self.node = Node(config=f'[mirror]\nlisten = "127.0.0.1:{self.port}"\n'
                                f'[[registry]]\nhost = "docker.io"\nmirrors = ["{registry.host}"]\n')
        self.node.start()
        self.root = os.path.join(self.node.work, "root")
        self.settings = self.root + "/etc/docker/daemon.json"
        os.makedirs(os.path.dirname(self.settings))
        with open(self.settings, "w") as f:
            json.dump({"debug": True, "storage-driver": "overlay2"}, f)
        self.dockerd = Dockerd(self.node.work, self.settings)
        assert "systemctl reload docker" in self.configure()
        self.dockerd.process.send_signal(signal.SIGHUP)
        wait_for("the mirror", lambda: self.dockerd.mirrors() == f"[http://127.0.0.1:{self.port}/]", 20)

    def configure(self, *words):
        return subprocess.run([SWARMFS, "configure", "docker", *words, "--root", self.root, "--config", self.node.toml],
                              check=True, stdout=subprocess.PIPE, text=True, timeout=60).stdout

    def manifest(self, name, reference):
        status, _, body = get(self.registry.port, f"/v2/{name}/manifests/{reference}")
        assert status == 200, (name, reference, status)
        return body

    def told(self, reference):
        pattern = rf" info mirror: pulled {re.escape(reference)} for docker/\S+ at 127\.0\.0\.1:\d+: (\d+) blobs?, .* \((.*)\) in "
        return re.findall(pattern, open(self.node.log, errors="replace").read(), re.M)


def push(registry, folder):
    """The images of the set under names of docker.io: one that is official there, and one of somebody."""
    source = Registry(folder, os.path.dirname(registry.config))
    for origin, name in (("small:v1", "library/small:v1"), ("small:v1-docker", "somebody/small:v1-docker")):
        subprocess.run(["skopeo", "copy", "-q", "--preserve-digests", "--src-tls-verify=false", "--dest-tls-verify=false",
                        f"docker://{source.host}/{origin}", f"docker://{registry.host}/{name}"], check=True, timeout=120)
    source.stop()


def has_all_of(place, name, reference, image):
    """dockerd has that manifest, and checked each layer by digest and by what is in it."""
    manifest = place.manifest(name, reference)
    seen = place.dockerd.inspect(image)
    assert any(one.endswith("@" + digest(manifest)) for one in seen["RepoDigests"]), (seen["RepoDigests"], digest(manifest))
    config = json.loads(manifest)["config"]["digest"]
    assert seen["Id"] == config, (seen["Id"], config)
    assert len(seen["RootFS"]["Layers"]) == len(json.loads(manifest)["layers"])
    assert all(BLOBS.match(layer) for layer in seen["RootFS"]["Layers"])


def pulls(place):
    for image, name, tag in (("small:v1", "library/small", "v1"), ("somebody/small:v1-docker", "somebody/small", "v1-docker")):
        place.dockerd.docker("pull", "-q", image)
        has_all_of(place, name, tag, image)
        wait_for("the pull is told", lambda: place.told(f"docker.io/{name}:{tag}"), 60)
        blobs, = {blobs for blobs, _ in place.told(f"docker.io/{name}:{tag}")}
        assert int(blobs) == len(json.loads(place.manifest(name, tag))["layers"]) + 1, blobs
        place.dockerd.forget()


def by_digest(place):
    named = f"somebody/small@{digest(place.manifest('somebody/small', 'v1-docker'))}"
    place.dockerd.docker("pull", "-q", named)
    has_all_of(place, "somebody/small", "v1-docker", named)
    place.dockerd.forget()


def what_does_not_exist(place):
    """Told by the mirror; docker.io, which dockerd asks then, it cannot reach."""
    begun = time.time()
    done = place.dockerd.docker("pull", "small:none", check=False)
    assert done.returncode != 0 and time.time() - begun < 60, (done, time.time() - begun)


def runs(place):
    """What came is what is in it."""
    place.dockerd.docker("pull", "-q", "small:v1")
    words = ("run", "--rm", "--network", "none", "small:v1", "python3", "-c", "print(6 * 7)")
    assert place.dockerd.docker(*words).stdout == "42\n"
    place.dockerd.forget()


def registry_down(place):
    manifest = place.manifest("library/small", "v1")
    place.registry.stop()
    for image in ("small:v1", f"small@{digest(manifest)}"):
        place.dockerd.docker("pull", "-q", image)
        assert place.dockerd.inspect(image)["Id"] == json.loads(manifest)["config"]["digest"]
        place.dockerd.forget()
    place.registry.start()


def removed(place):
    """As before; dockerd takes a mirror over, or another, when it reads its settings again, but not that there is none."""
    assert json.load(open(place.settings))["registry-mirrors"] == [f"http://127.0.0.1:{place.port}"]
    place.configure("--check")
    assert "systemctl restart docker" in place.configure("--remove")
    assert json.load(open(place.settings)) == {"debug": True, "storage-driver": "overlay2"}
    place.dockerd.stop()
    place.dockerd.start()
    assert place.dockerd.mirrors() == "[]"


def main():
    need_fuse()
    if not os.path.exists("/usr/sbin/dockerd"):
        skip("needs docker.io")
    folder = images("small")
    work = Node()
    registry = WritableRegistry(work.work)
    push(registry, folder)
    place = Place(registry)
    try:
        for part in (pulls, by_digest, runs, registry_down, what_does_not_exist, removed):
            begun = time.time()
            part(place)
            print(f"{part.__name__}: {time.time() - begun:.1f} s", flush=True)
    finally:
        place.dockerd.stop()
        registry.stop()
        place.node.close()
        work.close()


if __name__ == "__main__":
    sys.exit(main())
