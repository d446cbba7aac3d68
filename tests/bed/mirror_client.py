"""A containerd whose pulls go through the mirror of a node of the bed."""
import json
import os
import shutil
import subprocess
import time

from bed import REGISTRY
from containerd import Containerd, write_hosts
from netns import inside
from trees import content_hash

PORT = 9755
MIRROR = f'[mirror]\nlisten = "127.0.0.1:{PORT}"\n'
FETCH, PULL = ("content", "fetch"), ("images", "pull")


class Client:
    """A containerd that has nothing, for one command in a node's namespace."""

    def __init__(self, bed, node):
        self.space, self.home = node.space, os.path.join(bed.work, f"client-{node.name}")
        os.makedirs(self.home)
        self.containerd = Containerd(self.home)
        write_hosts(os.path.join(self.home, "hosts"), f"{REGISTRY}:5000", f"127.0.0.1:{PORT}")

    def seconds(self, command, reference, mirrored, *options):
        way = ["--hosts-dir", os.path.join(self.home, "hosts")] if mirrored else ["--plain-http"]
        begun = time.time()
        subprocess.run([*inside(self.space), "ctr", "-a", self.containerd.socket, *command, *way, *options, reference], check=True,
                       stdout=subprocess.DEVNULL)
        return time.time() - begun

    def stored(self):
        """All that containerd has: digests as it names them, and the paths of the bytes."""
        blobs = self.containerd.blobs
        return {"sha256:" + name: os.path.join(blobs, name) for name in os.listdir(blobs)}

    def image(self):
        """The sizes of all that containerd has, by digest, the image's manifest first. It is a whole image, each byte of it
        right."""
        paths, manifest = self.stored(), None
        for digest, path in paths.items():
            assert content_hash(path) == digest.split(":")[1], digest
            if os.path.getsize(path) < 100_000 and open(path, "rb").read(1) == b"{":
                document = json.load(open(path))
                if "layers" in document:
                    manifest, named = digest, [document["config"]["digest"], *(layer["digest"] for layer in document["layers"])]
        assert paths.keys() == {manifest, *named}, paths.keys()
        return {digest: os.path.getsize(paths[digest]) for digest in [manifest, *named]}

    def close(self):
        self.containerd.stop()
        shutil.rmtree(self.home)
