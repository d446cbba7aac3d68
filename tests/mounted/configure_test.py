#!/usr/bin/env python3
"""`swarmfs configure` on a node below a folder of the test's own: containerd and skopeo pull through the mirror with what it
wrote, from a registry that they cannot reach by themselves, and everything is as before once it is removed."""
import json
import os
import subprocess
import sys

from mirror_test import Mirrored, digest
from node import SWARMFS, Node, Registry, free_port, images, need_fuse

HOST = "registry.example.com"  # a name that nobody resolves: only the daemon knows where it is


def configure(mirrored, *words, code=0):
    done = subprocess.run([SWARMFS, "configure", *words, "--root", root(mirrored), "--config", mirrored.node.toml], text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60)
    assert done.returncode == code, (words, done.returncode, done.stdout)
    return done.stdout


def root(mirrored):
    return os.path.join(mirrored.node.work, "root")


def write(mirrored, path, text):
    place = root(mirrored) + path
    os.makedirs(os.path.dirname(place), exist_ok=True)
    with open(place, "w") as f:
        f.write(text)


def files(mirrored):
    """Every file below root with its content, mode and owner; of a directory nothing."""
    made = {}
    for folder, _, names in os.walk(root(mirrored)):
        made[folder] = None
        for name in names:
            path = os.path.join(folder, name)
            facts = os.stat(path)
            made[path] = (open(path).read(), facts.st_mode, facts.st_uid, facts.st_gid)
    return made


def pull(mirrored, reference):
    before = open(mirrored.node.log, errors="replace").read().count("mirror: containerd/")
    mirrored.containerd.ctr("images", "pull", "--hosts-dir", root(mirrored) + "/etc/containerd/certs.d", "--snapshotter",
                            "overlayfs", reference)
    mirrored.forget()
    return open(mirrored.node.log, errors="replace").read().count("mirror: containerd/") - before


def containerd(mirrored):
    """For all registries."""
    write(mirrored, "/etc/containerd/config.toml", "version = 2\n")
    said = configure(mirrored, "containerd", "--check", code=1)
    assert "hosts.toml: missing" in said and 'config_path = "/etc/containerd/certs.d"' in said, said
    write(mirrored, "/etc/containerd/config.toml", 'version = 2\n[plugins."io.containerd.grpc.v1.cri".registry]\n'
                                                   'config_path = "/etc/containerd/certs.d"\n')
    os.makedirs(root(mirrored) + "/etc/containerd/certs.d")
    before = files(mirrored)
    configure(mirrored, "containerd", "--dry-run")
    assert files(mirrored) == before
    configure(mirrored, "containerd")
    configure(mirrored, "containerd", "--check")
    assert pull(mirrored, f"{HOST}/small:v1") > 0
    state = json.loads(configure(mirrored, "containerd", "--remove", "--json"))
    assert state["files"][0]["state"] == "removed", state
    assert files(mirrored) == before


def containerd_beside_others(mirrored, registry):
    """For one registry that an administrator has configured: theirs comes after ours, and is used when we are not there."""
    path = f"/etc/containerd/certs.d/{registry.host}/hosts.toml"
    write(mirrored, path, f'# theirs\nserver = "http://{registry.host}"\n\n# gone\n[host."http://127.0.0.1:{free_port()}"]')
    os.chmod(root(mirrored) + path, 0o640)
    os.chown(root(mirrored) + path, 12, 34)
    before = files(mirrored)
    said = configure(mirrored, "containerd", "--check", code=1)
    assert f"--registry {registry.host}" in said, said
    configure(mirrored, "containerd", "--registry", registry.host)
    configure(mirrored, "containerd", "--registry", registry.host, "--check")
    changed = files(mirrored)
    assert changed.keys() == before.keys() and changed != before
    assert changed[root(mirrored) + path][1:] == before[root(mirrored) + path][1:], "owner and mode"
    assert pull(mirrored, f"{registry.host}/small:v1") > 0
    mirrored.node.kill()
    assert pull(mirrored, f"{registry.host}/small:v1") == 0
    mirrored.node.start()
    configure(mirrored, "containerd", "--remove")
    assert files(mirrored) == before


def skopeo(mirrored, registry):
    """In a mount namespace of its own, where the folder of drop-ins is the one that configure made."""
    configure(mirrored, "--registry", HOST, "podman")
    configure(mirrored, "podman", "--check")
    folder = root(mirrored) + "/etc/containers/registries.conf.d"

    def manifest(host):
        run = f"mount --bind {folder} /etc/containers/registries.conf.d; exec skopeo inspect --raw --tls-verify=false"
        return subprocess.run(["unshare", "-m", "sh", "-ec", f"{run} docker://{host}/small:v1"], check=True, timeout=120,
                              stdout=subprocess.PIPE).stdout

    assert digest(manifest(HOST)) == digest(manifest(registry.host))
    configure(mirrored, "podman", "--remove")
    assert not os.path.exists(folder)


def refusals(mirrored):
    """Nothing is changed by what is not understood."""
    write(mirrored, "/etc/containerd/config.toml", "version = 2\n[[[\n")
    write(mirrored, "/etc/docker/daemon.json", '{\n"debug": yes\n}\n')
    before = files(mirrored)
    assert "/etc/containerd/config.toml:2: " in configure(mirrored, "containerd", code=1)
    assert "/etc/docker/daemon.json:2: " in configure(mirrored, "docker", code=1)
    assert "not a registry's host" in configure(mirrored, "containerd", "--registry", "../..", code=1)
    configure(mirrored, "nonsense", code=2)
    assert files(mirrored) == before


def main():
    need_fuse()
    folder = images("small")
    work = Node()
    registry = Registry(folder, work.work)
    mirrored = Mirrored(registry, f'[[registry]]\nhost = "{HOST}"\nmirrors = ["{registry.host}"]\n')
    try:
        containerd(mirrored)
        containerd_beside_others(mirrored, registry)
        skopeo(mirrored, registry)
        refusals(mirrored)
    finally:
        mirrored.containerd.stop()
        registry.stop()


if __name__ == "__main__":
    sys.exit(main())
