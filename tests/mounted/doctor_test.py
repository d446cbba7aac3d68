#!/usr/bin/env python3
"""`swarmfs doctor` of a real node: all is well; then one thing after another is broken, and it names that one."""
import contextlib
import json
import os
import signal
import subprocess
import sys

from node import SWARMFS, Node, Registry, free_port, images, need_fuse, wait_for


def doctor(node, *words, code=0, timeout=20):
    """By what was looked at: (grade, why and what to do)."""
    done = subprocess.run([SWARMFS, "doctor", "--json", "--config", node.toml, "--root", node.empty, "--timeout", str(timeout),
                           *words], text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=300)
    assert done.returncode == code, (done.returncode, done.stdout, done.stderr, node.tail())
    found = json.loads(done.stdout)
    assert found["healthy"] == (code == 0), found
    return {one["what"]: (one["grade"], one["why"] + " | " + one["remedy"]) for one in found["findings"]}


def all_is_well(node, registry, peer):
    found = doctor(node)
    assert {grade for grade, _ in found.values()} == {"ok"}, found
    expected = {"configuration", "daemon", "fuse device", "fuse mount", "cache directory", "cache space", "cluster identity",
                f"cluster listen {node.listen}", "peers", f"registry {registry.host}", "clock", f"mirror {node.mirror}", "hand-over",
                "pull", "read"}
    assert set(found) == expected, set(found) ^ expected
    assert "1 of 1" in found["peers"][1], found
    assert "digest right: sha256:" in found["pull"][1] and "small:v1" in found["pull"][1], found
    text = subprocess.run([SWARMFS, "doctor", "--config", node.toml, "--root", node.empty, "--timeout", "20"],
                          stdout=subprocess.PIPE, text=True)
    assert text.returncode == 0 and all(line.startswith("ok    ") for line in text.stdout.splitlines()), text
    print(text.stdout, flush=True)


def an_image_that_is_asked_for(node, registry):
    name = f"{registry.host}/medium:v1"
    found = doctor(node, name)
    assert found["pull"][0] == "ok" and name in found["pull"][1], found
    assert found[f"image {name}"][0] == "ok" and "sha256:" in found[f"image {name}"][1], found
    assert os.listdir(f"{node.work}/cache/layers"), "nothing came through the cache"
    found = doctor(node, f"{registry.host}/small:nonsense", code=1)
    assert found["pull"][0] == "FAIL" and "404" in found["pull"][1], found
    assert found[f"image {registry.host}/small:nonsense"][0] == "FAIL", found


def a_peer_is_gone(node, peer, stranger):
    peer.terminate()
    found = doctor(node, code=1)
    assert found["peers"][0] == "FAIL" and found[f"peer {peer.listen}"][0] == "warn", found
    peer.start()
    node.write(peers=[peer.listen, f"127.0.0.1:{free_port()}", stranger.listen])
    found = doctor(node, code=1)
    assert found["peers"] == ("ok", "1 of 3 answer as members of the cluster | "), found
    assert found[f"peer {stranger.listen}"][0] == "FAIL" and "another cluster" in found[f"peer {stranger.listen}"][1], found
    # The other one may not be asked again yet.
    warned = {what for what, (grade, _) in found.items() if grade == "warn"}
    assert warned - {f"peer {peer.listen}"} == {f"peer {node.peers[1]}"}, found
    node.write(peers=[peer.listen])


def the_registry_is_dead(node, registry):
    registry.stop()
    found = doctor(node, code=1)
    assert found[f"registry {registry.host}"][0] == "FAIL", found
    assert found["daemon"][0] == found["read"][0] == found["cache directory"][0] == "ok", found
    registry.start()


def the_mirror_is_off(node):
    mirror, node.mirror = node.mirror, ""
    node.write()
    found = doctor(node)
    assert found["mirror"][0] == "ok" and "off" in found["mirror"][1], found
    assert found["pull"][0] == "warn" and "off" in found["pull"][1], found
    node.mirror = f"127.0.0.1:{free_port()}"
    node.write()
    found = doctor(node, code=1)
    assert found[f"mirror {node.mirror}"][0] == "FAIL" and "restart" in found[f"mirror {node.mirror}"][1], found
    node.mirror = mirror
    node.write()


def the_daemon_hangs(node):
    """Every check has its time."""
    node.process.send_signal(signal.SIGSTOP)
    try:
        found = doctor(node, code=1, timeout=0.5)
    finally:
        node.process.send_signal(signal.SIGCONT)
    assert found["daemon"][0] == found["fuse mount"][0] == "FAIL" and "within" in found["fuse mount"][1], found
    wait_for("the daemon", node.answers)


def the_daemon_is_gone(node):
    node.kill()
    found = doctor(node, code=1)
    assert found["daemon"][0] == "FAIL" and "systemctl start swarmfs" in found["daemon"][1], found
    assert found["fuse mount"][0] == "FAIL" and "gone" in found["fuse mount"][1], found
    assert found[f"mirror {node.mirror}"][0] == found[f"cluster listen {node.listen}"][0] == "FAIL", found
    assert found["cache directory"][0] == found["cluster identity"][0] == found["peers"][0] == "ok", found
    assert "pull" not in found, found
    node.start()
    doctor(node)


@contextlib.contextmanager
def a_disk(node, size):
    """Over the cache's directory. For doctor, which looks there; the daemon goes on with its own."""
    cache = f"{node.work}/cache"
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "none", cache], check=True)
    try:
        yield cache
    finally:
        subprocess.run(["umount", cache], check=True)


def the_disk_of_the_cache(node):
    with a_disk(node, 12 << 20) as cache:
        found = doctor(node, code=1)
        assert found["cache space"][0] == "FAIL" and found["cache directory"][0] == "ok", found
        with open(f"{cache}/filler", "wb", buffering=0) as filler, contextlib.suppress(OSError):
            while True:
                filler.write(b"x" * 4096)
        found = doctor(node, code=1)
        assert found["cache directory"][0] == "FAIL" and "No space" in found["cache directory"][1], found
        subprocess.run(["mount", "-o", "remount,ro", cache], check=True)
        found = doctor(node, code=1)
        assert found["cache directory"][0] == "FAIL" and "Read-only" in found["cache directory"][1], found


def the_configuration_is_wrong(node):
    with open(node.toml, "a") as f:
        f.write("[[[\n")
    found = doctor(node, "--socket", node.socket, code=1)
    assert found["configuration"][0] == "FAIL" and f"{node.toml}:" in found["configuration"][1], found
    assert found["daemon"][0] == "ok", found
    node.write()


class Member(Node):
    def __init__(self, token, registry=None):
        super().__init__()
        self.token, self.registry, self.peers = token, registry, []
        self.listen, self.mirror = f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}"
        self.empty = os.path.join(self.work, "root")
        os.makedirs(self.empty)
        self.write()

    def write(self, peers=None):
        self.peers = self.peers if peers is None else peers
        config = (f'[cluster]\ntoken_file = "{self.token}"\nlisten = ["{self.listen}"]\ndht = false\n'
                  f'peers = {json.dumps(self.peers)}\n[mirror]\nlisten = "{self.mirror}"\n')
        if self.registry:
            config += f'[[registry]]\nhost = "{self.registry.host}"\n'
        self.configure("256MiB", config)


def main():
    need_fuse()
    folder = images("small", "medium")
    work = Node()
    registry = Registry(folder, work.work)
    for name in ("token", "other"):
        subprocess.run([SWARMFS, "cluster", "init", "--output", f"{work.work}/{name}"], check=True, stdout=subprocess.DEVNULL)
    node, peer = Member(f"{work.work}/token", registry), Member(f"{work.work}/token")
    stranger = Member(f"{work.work}/other")
    node.write(peers=[peer.listen])
    for one in (peer, stranger, node):
        one.start()
    node.mount(f"{registry.host}/small:v1")
    all_is_well(node, registry, peer)
    an_image_that_is_asked_for(node, registry)
    a_peer_is_gone(node, peer, stranger)
    the_registry_is_dead(node, registry)
    the_mirror_is_off(node)
    the_daemon_hangs(node)
    the_daemon_is_gone(node)
    the_disk_of_the_cache(node)
    the_configuration_is_wrong(node)
    doctor(node)
    registry.stop()


if __name__ == "__main__":
    sys.exit(main())
