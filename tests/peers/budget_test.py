#!/usr/bin/env python3
"""Four nodes keep together to what a registry may be asked, and all of them wait when it told one of them to."""
import hashlib
import os
import subprocess
import tempfile
import threading
import time

import node as node_module
from bed import together
from node import Node, Registry, free_port, images, need_fuse, wait_for
from proxy import Proxy

NODES = 4
SETTLED = 3  # seconds in which nodes find out about each other
HELD = 12
IMAGE = "medium:v1"


class Watched(Proxy):
    """Notes when each request for a part of a layer began and ended."""

    def __init__(self, upstream, rule):
        super().__init__(upstream, rule)
        self.lock, self.spans = threading.Lock(), []

    def answer(self, request):
        began = time.monotonic()
        try:
            super().answer(request)
        finally:
            if "Range" in request.headers:
                first, last = request.headers["Range"].split("=")[1].split("-")
                with self.lock:
                    self.spans.append((began, time.monotonic(), int(last) - int(first) + 1))

    def most_at_once(self, since):
        """The greatest number of requests at the same time, of those moments at which one begins after `since`."""
        return max((sum(one < began < end for one, end, _ in self.spans) + 1
                    for began, _, _ in self.spans if began >= since), default=0)

    def settled(self):
        """When nodes have found out about each other: a while after a fifth of the requests."""
        begins = sorted(began for began, _, _ in self.spans)
        return begins[len(begins) // 5] + SETTLED


def slowly(method, path, headers):
    if "Range" in headers:
        time.sleep(0.25)
    return {}


class Cluster:
    def __init__(self, work, registry, rule, budget):
        self.proxy = Watched(registry.host, rule)
        self.reference = f"{self.proxy.host}/{IMAGE}"
        token = tempfile.mktemp(dir=work)
        subprocess.run([node_module.SWARMFS, "cluster", "init", "--output", token], check=True,
                       stdout=subprocess.DEVNULL)
        addresses = [f"127.0.0.1:{free_port()}" for _ in range(NODES)]
        self.nodes = []
        for address in addresses:
            peers = ", ".join(f'"{peer}"' for peer in addresses if peer != address)
            self.nodes.append(Node(config=f'[[registry]]\nhost = "{self.proxy.host}"\n{budget}\n'
                                          f'[cluster]\ntoken_file = "{token}"\nlisten = ["{address}"]\n'
                                          f'peers = [{peers}]\ndht = false\n'))
        for node in self.nodes:
            node.start()
        for node in self.nodes:
            wait_for("nodes have met", lambda node=node: self.met(node) == NODES - 1, 60)

    @staticmethod
    def met(node):
        return sum(bool(peer["node_id"]) for peer in node.json("peers")["peers"])

    def pull(self):
        """How long it took; every layer is right on every node."""
        began = time.monotonic()
        together(lambda node: node.run("pull", self.reference, timeout=300), self.nodes)
        took = time.monotonic() - began
        for node in self.nodes:
            for layer in node.json("explain", self.reference)["layers"]:
                hex_digest = layer["digest"].split(":")[1]
                with open(os.path.join(node.work, "cache/layers", hex_digest + ".bytes"), "rb") as held:
                    assert hashlib.sha256(held.read(layer["size"])).hexdigest() == hex_digest, layer
        return began, took

    def close(self):
        for node in self.nodes:
            node.close()
        self.proxy.server.shutdown()


def connections(work, registry):
    alone = Cluster(work, registry, slowly, "cluster_max_connections = 0")
    began, _ = alone.pull()
    free = alone.proxy.most_at_once(began)
    alone.close()
    cluster = Cluster(work, registry, slowly, "cluster_max_connections = 4")
    _, took = cluster.pull()
    kept = cluster.proxy.most_at_once(cluster.proxy.settled())
    cluster.close()
    print(f"at once: {free} without a budget, {kept} with 4; {took:.1f} s", flush=True)
    assert free > 8, free
    assert 0 < kept <= 7, kept  # a request ends here a little after its client has all of it


def rates(work, registry):
    cluster = Cluster(work, registry, lambda *_: {},
                      'cluster_max_bytes_per_second = "24MB"\ncluster_max_requests_per_second = 16')
    cluster.pull()
    settled = cluster.proxy.settled()
    late = [span for span in cluster.proxy.spans if span[0] > settled]
    assert late, "all was over before nodes could find out about each other"
    seconds = max(end for _, end, _ in late) - settled
    requests, volume = len(late) / seconds, sum(length for _, _, length in late) / seconds
    cluster.close()
    print(f"{requests:.1f} requests/s, {volume / 1e6:.1f} MB/s for {seconds:.1f} s", flush=True)
    assert seconds > 2, seconds
    assert requests <= 16 * 1.3 and volume <= 24e6 * 1.3, (requests, volume)


def retry_after(work, registry):
    told = []
    lock = threading.Lock()

    def once(method, path, headers):
        with lock:
            if "Range" in headers and not told and len(cluster.proxy.spans) >= 20:
                told.append(time.monotonic())
                return {"status": 429, "headers": {"Retry-After": str(HELD)}}
        return slowly(method, path, headers)

    cluster = Cluster(work, registry, once, "cluster_max_connections = 4")
    cluster.pull()
    assert told, "too few requests"
    asked = sorted(began - told[0] for began, _, _ in cluster.proxy.spans)
    cluster.close()
    early = [at for at in asked if 3 < at < HELD - 0.5]
    print(f"told to wait after {len([at for at in asked if at < 0])} of {len(asked)} requests; asked after "
          f"{[round(at, 1) for at in asked if at > 0][:12]}", flush=True)
    assert not early, early
    assert asked[-1] > HELD, "nothing was left to be asked for: the test shows nothing"


def main():
    need_fuse()
    work = tempfile.mkdtemp(prefix="swarmfs-budget-")
    registry = Registry(images("medium"), work)
    try:
        for check in (connections, rates, retry_after):
            check(work, registry)
    finally:
        registry.stop()


if __name__ == "__main__":
    main()
