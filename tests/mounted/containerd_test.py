#!/usr/bin/env python3
"""What containerd pulls past swarmfs is in the swarm all the same: found when the daemon starts and as it comes, its
blocks shared and not copied, given to another node while the registry is down. containerd dies and comes back; a blob of
its store is damaged; a file system cannot share blocks."""
import contextlib
import glob
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time

from cache_files import blob_path
from containerd import Containerd
from mirrored import WritableRegistry, digest, push_image
from node import SWARMFS, Node, Registry, free_port, images, need_fuse, skip, wait_for
from trees import differences, walk


class ReflinkDisk:
    """An XFS of its own. What is on it must have ended before close()."""

    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix="swarmfs-xfs-")
        self.path = os.path.join(self.folder, "disk")
        os.makedirs(self.path)
        image = os.path.join(self.folder, "image")
        made = shutil.which("mkfs.xfs") and not subprocess.run(
            f"truncate -s 3G {image} && mkfs.xfs -q -m reflink=1 {image} && mount -o loop {image} {self.path}",
            shell=True).returncode
        if not made:
            shutil.rmtree(self.folder)
            skip("needs XFS on a loop device")

    def close(self):
        for line in reversed(open("/proc/self/mounts").read().splitlines()):
            if line.split()[1].startswith(self.folder):
                subprocess.run(["umount", "-l", line.split()[1]], check=True)
        shutil.rmtree(self.folder)


class Place:
    """One XFS with a containerd and up to two nodes in a cluster on loopback, the first of which watches it. All of
    it ends with `ends`, an ExitStack."""

    def __init__(self, ends):
        self.disk = ReflinkDisk()
        ends.callback(self.disk.close)
        tempfile.tempdir = self.disk.path
        ends.callback(setattr, tempfile, "tempdir", None)
        self.token = os.path.join(self.disk.path, "token")
        subprocess.run([SWARMFS, "cluster", "init", "--output", self.token], check=True, stdout=subprocess.DEVNULL)
        self.containerd = Containerd(self.disk.path)
        ends.callback(self.containerd.stop)
        ports = [free_port(), free_port()]
        self.first, self.second = [
            Node(config=f'[cluster]\ntoken_file = "{self.token}"\nlisten = ["127.0.0.1:{own}"]\n'
                        f'peers = ["127.0.0.1:{other}"]\ndht = false\n{extra}')
            for own, other, extra in ((*ports, f'[containerd]\naddress = "{self.containerd.socket}"\n'),
                                      (*reversed(ports), ""))]
        for node in (self.first, self.second):
            ends.callback(node.close)

    def pull(self, reference):
        self.containerd.ctr("images", "pull", "--plain-http", "--snapshotter", "overlayfs", reference)

    def blob(self, name):
        """The file of a blob in containerd's store."""
        return os.path.join(self.containerd.blobs, name.split(":")[1])

    def layers_of(self, reference):
        """Manifest digest and layer descriptors, as containerd has them."""
        for line in self.containerd.ctr("images", "ls").stdout.splitlines()[1:]:
            if line.split()[0] == reference:
                name = line.split()[2]
                return name, json.load(open(self.blob(name)))["layers"]
        raise AssertionError(reference)


def status(node):
    return node.json("status")["containerd"]


def bytes_from(node, source):
    return sum(value for text, value in node.metrics().items()
               if text.startswith("swarmfs_bytes_total") and f'source="{source}"' in text)


def logged(node, words):
    return open(node.log).read().count(words)


def cached(node, layer):
    return os.path.join(node.work, "cache/layers", layer["digest"].split(":")[1] + ".bytes")


def whole(node, layer):
    return any(one["digest"] == layer["digest"] and one["bytes_present"] == layer["size"] and one["verified"]
               for one in node.json("ls", "--layers")["layers"])


def wait_whole(node, layers):
    try:
        wait_for("layers to be handed over and hashed", lambda: all(whole(node, one) for one in layers), 150)
    except AssertionError:
        print(node.tail(), status(node), node.json("ls", "--layers")["layers"])
        raise


def shared_bytes(path):
    """Of the file's extents, those that another file has as well."""
    out = subprocess.run(["filefrag", "-v", "-b4096", path], check=True, stdout=subprocess.PIPE, text=True).stdout
    rows = [line for line in out.splitlines() if line.strip()[:1].isdigit()]
    return sum(int(line.split(":")[3].strip()) * 4096 for line in rows if "shared" in line)


def check_shared(place, layers):
    """Not the file's last block, whose end is cut to the layer's size."""
    assert any(layer["size"] > 1 << 20 for layer in layers)
    for layer in layers:
        shared = shared_bytes(cached(place.first, layer))
        assert shared >= layer["size"] - 16384, (layer, shared)
        with open(cached(place.first, layer), "rb") as f:
            assert digest(f.read(layer["size"])) == layer["digest"]


def is_public(node):
    found = [json.load(open(file)) for file in glob.glob(f"{node.work}/cache/docs/repository/*")]
    return found and all(one.get("public", {}).get("is") for one in found)


def both_ways_and_on(place, registry, folder):
    """Pulled before the daemon was there, and after; then another node has it all, without the registry."""
    before, after = (f"{registry.host}/small:{tag}" for tag in ("v1", "v1-zstd"))
    place.pull(before)
    place.first.start()
    _, listed = place.layers_of(before)
    wait_whole(place.first, listed)
    assert status(place.first)["trouble"] is None, status(place.first)

    place.pull(after)
    manifest, came = place.layers_of(after)
    wait_whole(place.first, came)
    check_shared(place, listed + came)
    assert bytes_from(place.first, "registry") == 0 and bytes_from(place.first, "peer") == 0
    metrics = place.first.metrics()
    total = sum(one["size"] for one in listed + came)
    assert metrics['swarmfs_handed_over_bytes_total{how="shared"}'] == total, metrics
    assert metrics['swarmfs_handed_over_bytes_total{how="copied"}'] == 0, metrics
    assert (status(place.first)["layers"], status(place.first)["bytes"]) == (len(listed + came), total)

    wait_for("the registry's word that anybody may have it", lambda: is_public(place.first), 60)
    registry.stop()
    try:
        place.second.start()
        theirs = place.second.mount(f"{registry.host}/small@{manifest}")
        view = os.path.join(place.containerd.home, "view")
        os.makedirs(view)
        place.containerd.ctr("images", "mount", after, view)
        found = differences(walk(theirs), walk(view))
        subprocess.run(["umount", view], check=True)
        assert not found, "\n".join(found[:20])
        for layer in came:
            name = layer["digest"].split(":")[1]
            with open(f"{place.second.tree}/blobs/sha256/{name}", "rb") as ours, open(blob_path(folder, name), "rb") as origin:
                assert ours.read() == origin.read(), layer
        assert bytes_from(place.second, "registry") == 0 and bytes_from(place.second, "peer") > 0
    finally:
        registry.start()


def evicted_blocks_are_ours_alone(place, registry):
    """What the cache drops stays whole in containerd's store; what is still shared serves it again."""
    _, layers = place.layers_of(f"{registry.host}/small:v1")
    place.first.run("evict")
    assert not any(whole(place.first, one) for one in layers)
    for layer in layers:
        with open(place.blob(layer["digest"]), "rb") as f:
            assert digest(f.read()) == layer["digest"], layer


def doctor(node):
    """What it finds of the hand-over: grade and words."""
    done = subprocess.run([SWARMFS, "doctor", "--json", "--config", node.toml, "--timeout", "20"], stdout=subprocess.PIPE)
    return next((one["grade"], one["why"]) for one in json.loads(done.stdout)["findings"] if one["what"] == "hand-over")


def dies_and_comes_back(place, registry):
    taken = status(place.first)["layers"]
    assert doctor(place.first) == ("ok", doctor(place.first)[1]) and f"; {taken} layers, " in doctor(place.first)[1], doctor(place.first)
    assert doctor(place.second)[1].startswith("off; "), doctor(place.second)
    place.containerd.kill()
    wait_for("the daemon to say so", lambda: status(place.first)["trouble"] is not None, 60)
    assert doctor(place.first)[0] == "FAIL" and " is not watched: " in doctor(place.first)[1], doctor(place.first)
    assert "is not watched" in place.first.run("status").stdout
    place.first.terminate()
    place.first.start()  # nobody waits for containerd
    wait_for("the daemon to say it again", lambda: logged(place.first, "cannot be watched") == 2, 60)
    place.containerd.start()
    wait_for("it is watched again", lambda: status(place.first)["trouble"] is None, 60)
    reference = f"{registry.host}/small:v1-docker"
    place.pull(reference)
    wait_whole(place.first, place.layers_of(reference)[1])
    assert logged(place.first, "cannot be watched") == 2 and logged(place.first, " is watched") == 2, place.first.tail()


def damaged(place):
    """A lie in containerd's store is found before anybody could read it."""
    registry = WritableRegistry(place.disk.path)
    try:
        bad, good = os.urandom(3_000_000), os.urandom(2_000_000)
        push_image(registry.host, "broken", [bad, good])
        place.first.terminate()
        place.containerd.ctr("content", "fetch", "--plain-http", f"{registry.host}/broken:v1")
        with open(place.blob(digest(bad)), "r+b") as f:
            f.seek(1_234_567)
            byte = f.read(1)[0]
            f.seek(1_234_567)
            f.write(bytes([byte ^ 1]))
        place.first.start()
        good_layer = {"digest": digest(good), "size": len(good)}
        present = lambda: {one["digest"]: one["bytes_present"] for one in place.first.json("ls", "--layers")["layers"]}
        wait_for("the other layer", lambda: present().get(digest(good)) == len(good), 60)
        wait_for("the log to name it", lambda: logged(place.first, f"{place.blob(digest(bad))} is damaged"), 60)
        assert present().get(digest(bad), 0) == 0, present()
        check_shared(place, [good_layer])
        assert not os.path.exists(cached(place.first, {"digest": digest(bad)})), "something of the lie is in the cache"
    finally:
        registry.stop()


def stays_private(place, folder):
    """What containerd pulled with a credential goes to nodes that can pull it as well, and to no other."""
    subprocess.run(f"htpasswd -Bbn alice s3cret > {place.disk.path}/htpasswd", shell=True, check=True)
    registry = Registry(folder, place.disk.path, auth=f"auth: {{htpasswd: {{realm: r, path: {place.disk.path}/htpasswd}}}}\n")
    text = open(place.second.toml).read()
    try:
        reference = f"{registry.host}/medium:v1"
        place.containerd.ctr("content", "fetch", "--plain-http", "--user", "alice:s3cret", reference)
        _, layers = place.layers_of(reference)
        wait_whole(place.first, layers)
        document = f"{place.first.work}/cache/docs/repository/{registry.host.replace(':', '%3A')}%2Fmedium"
        wait_for("the registry's word", lambda: "public" in json.load(open(document)), 60)
        assert json.load(open(document))["public"]["is"] is False

        directory = os.path.join(place.second.work, "refused")
        os.makedirs(directory)
        before = bytes_from(place.second, "peer")
        assert place.second.run("mount", reference, directory, check=False).returncode == 1
        assert bytes_from(place.second, "peer") == before
        with open(f"{place.disk.path}/password", "w") as f:
            f.write("s3cret\n")
        with open(place.second.toml, "a") as f:
            f.write(f'[[registry]]\nhost = "{registry.host}"\nusername = "alice"\n'
                    f'password_file = "{place.disk.path}/password"\n')
        place.second.terminate()
        place.second.start()
        place.second.run("pull", reference, timeout=200)
        assert bytes_from(place.second, "peer") > 0, place.second.metrics()
        wait_whole(place.second, layers)
        # Its base is small's as well, which another node could not have of a private repository.
        place.containerd.ctr("images", "rm", "--sync", reference)
    finally:
        registry.stop()
        with open(place.second.toml, "w") as f:
            f.write(text)


def without_reflinks(place, registry):
    """On another file system it is said why nothing comes, once; with `copy` all comes."""
    _, layers = place.layers_of(f"{registry.host}/small:v1")
    with tempfile.TemporaryDirectory(dir="/tmp") as elsewhere:
        text = open(place.first.toml).read()
        place.first.terminate()
        for copy in ("false", "true"):
            with open(place.first.toml, "w") as f:
                f.write(text.replace(f'"{place.first.work}/cache"', f'"{elsewhere}/cache"')
                        .replace("[containerd]", f"[containerd]\ncopy = {copy}"))
            place.first.start()
            if copy == "false":
                told = lambda: logged(place.first, "nothing is handed over: the cache cannot share")
                wait_for("the reason", told, 60)
                assert status(place.first)["layers"] == 0 and not any(whole(place.first, one) for one in layers)
                assert told() == 1
                assert "[containerd] copy = true" in status(place.first)["refused"], status(place.first)
            else:
                wait_whole(place.first, layers)
                assert status(place.first)["refused"] is None
                assert place.first.metrics()['swarmfs_handed_over_bytes_total{how="shared"}'] == 0
                assert place.first.metrics()['swarmfs_handed_over_bytes_total{how="copied"}'] > 0
            place.first.terminate()


def main():
    need_fuse()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # a test that is ended takes its disk with it
    folder = images("small", "medium")
    with contextlib.ExitStack() as ends:
        begun, place = time.time(), Place(ends)
        registry = Registry(folder, place.disk.path)
        ends.callback(registry.stop)
        for part in (lambda: both_ways_and_on(place, registry, folder), lambda: evicted_blocks_are_ours_alone(place, registry),
                     lambda: dies_and_comes_back(place, registry), lambda: damaged(place), lambda: stays_private(place, folder),
                     lambda: without_reflinks(place, registry)):
            part()
            print(f"{time.time() - begun:.1f} s", flush=True)


if __name__ == "__main__":
    sys.exit(main())
