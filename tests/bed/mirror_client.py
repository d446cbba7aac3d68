"""A containerd whose pulls go through the mirror of a node of the bed."""
import os
import shutil
import subprocess
import time

from bed import REGISTRY
from containerd import Containerd
from netns import inside

PORT = 9755
MIRROR = f'[mirror]\nlisten = "127.0.0.1:{PORT}"\n'
FETCH, PULL = ("content", "fetch"), ("images", "pull")


class Client:
    """A containerd that has nothing, for one command in a node's namespace."""

    def __init__(self, bed, node):
        self.space, self.home = node.space, os.path.join(bed.work, f"client-{node.name}")
        os.makedirs(self.home)
        self.containerd = Containerd(self.home)
        folder = os.path.join(self.home, "hosts", f"{REGISTRY}:5000")
        os.makedirs(folder)
        with open(os.path.join(folder, "hosts.toml"), "w") as f:
            f.write(f'server = "http://{REGISTRY}:5000"\n[host."http://127.0.0.1:{PORT}"]\n'
                    'capabilities = ["pull", "resolve"]\n')

    def seconds(self, command, reference, mirrored):
        way = ["--hosts-dir", os.path.join(self.home, "hosts")] if mirrored else ["--plain-http"]
        begun = time.time()
        subprocess.run([*inside(self.space), "ctr", "-a", self.containerd.socket, *command, *way, reference], check=True,
                       stdout=subprocess.DEVNULL)
        return time.time() - begun

    def stored(self):
        """All that containerd has: digests as it names them, and the paths of the bytes."""
        blobs = os.path.join(self.containerd.home, "root/io.containerd.content.v1.content/blobs/sha256")
        return {"sha256:" + name: os.path.join(blobs, name) for name in os.listdir(blobs)}

    def close(self):
        self.containerd.stop()
        shutil.rmtree(self.home)
