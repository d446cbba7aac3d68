#!/usr/bin/env python3
"""Time to first output and to done, against `ctr pull` + `ctr run`, over a link of 100 Mbit/s and 10 ms RTT.
    bench/startup.py BUILD [small medium]"""
import os
import subprocess
import sys
import time

SOURCE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(SOURCE, "tests/mounted"))
import node as node_module  # noqa: E402
from containerd import Containerd  # noqa: E402
from node import Node, images  # noqa: E402

BUILD = os.path.abspath(sys.argv[1])
MBIT, RTT_MS = 100, 10
REGISTRY, NODE = "10.77.1.1", "10.77.1.2"
WORK = {"small": ["/usr/bin/python3", "/app/app.py"], "medium": ["/usr/local/bin/start.sh"]}
CONFIG = f'[[registry]]\nhost = "{REGISTRY}:5000"\nplain_http = true\n'
BARS = {"small": 0.30, "medium": 0.20}


def sh(command):
    subprocess.run(command, shell=True, check=True)


class Link:
    """Two namespaces, swb-reg and swb-node, joined by delay_link; the registry's side is limited by tbf."""

    def __init__(self):
        self.down()
        sh("ip netns add swb-reg && ip netns add swb-node")
        self.process = subprocess.Popen([os.path.join(BUILD, "tests/bed/delay_link"), "swb-reg", "eth0", "swb-node", "eth0",
                                         str(RTT_MS / 2)], stdout=subprocess.PIPE)
        assert self.process.stdout.readline() == b"ready\n"
        for name, address in (("swb-reg", REGISTRY), ("swb-node", NODE)):
            sh(f"ip -n {name} link set lo up && ip -n {name} addr add {address}/24 dev eth0 && ip -n {name} link set eth0 up")
        sh(f"tc -n swb-reg qdisc replace dev eth0 root tbf rate {MBIT}mbit burst 256kb latency 50ms")

    def down(self):
        subprocess.run("ip netns del swb-reg; ip netns del swb-node", shell=True, stderr=subprocess.DEVNULL)

    def close(self):
        self.process.kill()
        self.down()


def inside(name):
    return ["nsenter", f"--net=/run/netns/{name}", "--"]


def drop_caches():
    os.sync()
    open("/proc/sys/vm/drop_caches", "w").write("3")


def timed(words):
    """(seconds to the first byte of output, seconds to the end, output)"""
    begun = time.time()
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    first = os.read(process.stdout.fileno(), 1)
    at_first = time.time() - begun
    rest = process.stdout.read()
    assert process.wait() == 0, (words, first + rest)
    return at_first, time.time() - begun, (first + rest).decode()


def run_plain(work, reference, words, space="swb-node"):
    containerd = Containerd(work)
    ctr = [*inside(space), "ctr", "-a", containerd.socket]
    try:
        begun = time.time()
        subprocess.run([*ctr, "images", "pull", "--plain-http", reference], check=True, stdout=subprocess.DEVNULL)
        pulled = time.time() - begun
        first, done, _ = timed([*ctr, "run", "--rm", reference, "plain", *words])
        return pulled + first, pulled + done
    finally:
        containerd.stop()
        subprocess.run(["rm", "-rf", containerd.home])


def run_ours(node, containerd, reference, words, name):
    """Mount, overlay, run; (first, done, bytes fetched for faults or ahead of them, seconds that faults waited)"""
    before = node.metrics()
    begun = time.time()
    lower = node.mount(reference, name)
    base = os.path.join(node.work, "overlay-" + name)
    for part in ("upper", "work", "rootfs"):
        os.makedirs(os.path.join(base, part))
    sh(f"mount -t overlay overlay -o lowerdir={lower},upperdir={base}/upper,workdir={base}/work {base}/rootfs")
    mounted = time.time() - begun
    first, done, _ = timed(["ctr", "-a", containerd.socket, "run", "--rm", "--rootfs", f"{base}/rootfs", name, *words])
    after = node.metrics()
    fetched = sum(after[k] - before.get(k, 0) for c in ("fault", "prefetch")
                  for k in [f'swarmfs_bytes_total{{class="{c}",source="registry"}}'])
    waited = after["swarmfs_fault_seconds_sum"] - before["swarmfs_fault_seconds_sum"]
    sh(f"umount {base}/rootfs")
    node.umount(lower)
    return mounted + first, mounted + done, fetched, waited


def sequential(node, reference):
    """MB/s of a cold layer, read whole through blobs/, its size, and MB/s of curl for the same."""
    directory = node.mount(reference, "sequential")
    layers = node.json("explain", directory)["layers"]
    biggest = max(layers, key=lambda layer: layer["size"])
    blob = os.path.join(node.tree, "blobs/sha256", biggest["digest"].split(":")[1])
    begun = time.time()
    sh(f"cat {blob} > /dev/null")
    seconds = time.time() - begun
    node.umount(directory)
    begun = time.time()
    url = f"http://{reference.rsplit(':', 1)[0].replace('/', '/v2/', 1)}/blobs/{biggest['digest']}"
    subprocess.run([*inside("swb-node"), "curl", "-sf", "-o", "/dev/null", url], check=True)
    return biggest["size"] / 1e6 / seconds, biggest["size"], biggest["size"] / 1e6 / (time.time() - begun)


def main():
    names = sys.argv[2:] or ["small", "medium"]
    folder = images(*names)
    node_module.SWARMFSD = os.path.join(BUILD, "src/daemon/swarmfsd")
    link = Link()
    os.makedirs("/var/tmp/swarmfs-bench", exist_ok=True)
    config = "/var/tmp/swarmfs-bench/registry.yml"
    with open(config, "w") as f:
        f.write(f"version: 0.1\nlog: {{level: error, accesslog: {{disabled: true}}}}\n"
                f"storage: {{filesystem: {{rootdirectory: {folder}}}}}\nhttp: {{addr: '{REGISTRY}:5000'}}\n")
    registry = subprocess.Popen([*inside("swb-reg"), "docker-registry", "serve", config], stderr=subprocess.DEVNULL)
    time.sleep(1.5)
    rows = []
    try:
        for image in names:
            reference = f"{REGISTRY}:5000/{image}:v1"
            node = Node(config=CONFIG)
            drop_caches()
            plain = run_plain(node.work, reference, WORK[image])
            launcher = node_module.SWARMFSD
            wrapper = os.path.join(node.work, "swarmfsd")
            with open(wrapper, "w") as f:
                f.write(f'#!/bin/sh\nexec {" ".join(inside("swb-node"))} {launcher} "$@"\n')
            os.chmod(wrapper, 0o755)

            def restart():
                if node.process and node.process.poll() is None:
                    node.terminate()
                node_module.SWARMFSD = wrapper
                node.start()
                node_module.SWARMFSD = launcher

            restart()
            containerd = Containerd(node.work)
            drop_caches()
            cold = run_ours(node, containerd, reference, WORK[image], "cold")
            known = []
            for profile in (False, True):
                node.run("evict")
                node.terminate()
                if not profile:
                    sh(f"rm -rf {node.work}/cache/docs/profile")
                restart()  # spans that it keeps in memory must not count
                drop_caches()
                known.append(run_ours(node, containerd, reference, WORK[image], f"known-{profile}"))
            node.run("evict")
            node.configure(config=CONFIG + "[fetch]\nbackfill = false\n")  # or it shares the link with the other layers
            restart()
            drop_caches()
            rate, size, curl = sequential(node, reference)
            containerd.stop()
            rows += [(image, "ctr pull + ctr run", *plain, 1.0, 1.0, ""),
                     (image, "swarmfs, cold index", *cold[:2], cold[0] / plain[0], cold[1] / plain[1], "bar 1.00"),
                     *((image, "swarmfs, known index" + (", known profile" if i else ""), *run[:2], run[0] / plain[0],
                        run[1] / plain[1], f"bar {BARS[image]:.2f} (done); {run[2] / 1e6:.1f} MB wanted, "
                        f"{run[1] / (run[2] * 8 / (MBIT * 1e6)):.2f}x its floor, faults waited {run[3]:.1f} s")
                       for i, run in enumerate(known))]
            print(f"{image}: cold layer of {size / 1e6:.0f} MB read in order: {rate:.2f} MB/s, "
                  f"{rate * 8 / MBIT:.2f} of the link (bar 0.90); curl: {curl:.2f} MB/s", flush=True)
            node.close()
    finally:
        registry.kill()
        link.close()
    print(f"\n{MBIT} Mbit/s, {RTT_MS} ms RTT\n{'image':8} {'way':36} {'first s':>8} {'done s':>8} {'first x':>8} {'done x':>8}")
    for image, way, first, done, first_x, done_x, note in rows:
        print(f"{image:8} {way:36} {first:8.2f} {done:8.2f} {first_x:8.2f} {done_x:8.2f}  {note}")


if __name__ == "__main__":
    main()
