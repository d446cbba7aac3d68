"""A containerd of the test's own."""
import os
import subprocess
import time

from node import end


def write_hosts(folder, host, mirror):
    """For --hosts-dir: pulls from the registry `host` ask the mirror first."""
    os.makedirs(os.path.join(folder, host))
    with open(os.path.join(folder, host, "hosts.toml"), "w") as f:
        f.write(f'server = "http://{host}"\n[host."http://{mirror}"]\ncapabilities = ["pull", "resolve"]\n')


class Containerd:
    def __init__(self, work):
        self.home = os.path.join(work, "containerd")
        self.socket = os.path.join(self.home, "c.sock")
        self.blobs = os.path.join(self.home, "root/io.containerd.content.v1.content/blobs/sha256")
        os.makedirs(self.home)
        self.config = os.path.join(self.home, "config.toml")
        with open(self.config, "w") as f:
            f.write(f'''version = 2
root = "{self.home}/root"
state = "{self.home}/state"
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.internal.v1.opt", "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.zfs", "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.devmapper"]
[grpc]
  address = "{self.socket}"
''')
        self.start()

    def start(self):
        self.process = subprocess.Popen(["containerd", "-c", self.config], stdout=subprocess.DEVNULL,
                                        stderr=open(os.path.join(self.home, "log"), "ab"))
        for _ in range(200):
            if os.path.exists(self.socket) and self.ctr("version", check=False).returncode == 0:
                return
            time.sleep(0.05)
        raise AssertionError("containerd does not answer")

    def ctr(self, *words, check=True, timeout=300):
        done = subprocess.run(["ctr", "-a", self.socket, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              text=True, timeout=timeout)
        if check and done.returncode:
            raise AssertionError(f"ctr {' '.join(words)}: {done.stdout}{done.stderr}")
        return done

    def unpack(self, reference):
        """Pulls with overlayfs (`ctr images mount` knows no other); the folder of the merged tree."""
        self.ctr("images", "pull", "--plain-http", "--snapshotter", "overlayfs", reference)
        target = os.path.join(self.home, "view-" + reference.replace("/", "_").replace(":", "_"))
        os.makedirs(target)
        self.ctr("images", "mount", reference, target)
        return target

    def kill(self):
        self.process.kill()
        self.process.wait()

    def stop(self):
        end(self.process)
