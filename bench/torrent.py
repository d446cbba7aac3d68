#!/usr/bin/env python3
"""One layer from node to node by BitTorrent, without TLS: our session on the chunk cache beside libtorrent's with its own
storage, in turn; and what two nodes pay for 200 layers that both have.
    bench/torrent.py BUILD [--mib 256] [--rounds 3] [--rate MBIT]     --rate: over a link of that rate, in namespaces"""
import argparse
import os
import statistics
import subprocess
import sys
import tempfile

SOURCE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(SOURCE, "tests/bed"))
from netns import inside, ip  # noqa: E402

PORT, IDLE_LAYERS, IDLE_SECONDS = 7951, 200, 20


class Peer(subprocess.Popen):
    def __init__(self, build, *words, space=None):
        command = (inside(space) if space else []) + [f"{build}/bench/torrent_peer", *map(str, words)]
        super().__init__(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.stdout.readline().strip() == "ready", command

    def say(self):
        self.stdin.write("\n")
        self.stdin.flush()

    def figures(self):
        return [float(word) for word in self.stdout.readline().split()]


class Link:
    """Two namespaces and a wire between them; or loopback."""

    def __init__(self, rate):
        self.spaces = [None, None] if not rate else [f"torrent-bench-{os.getpid()}-{end}" for end in (0, 1)]
        self.addresses = ["127.0.0.81", "127.0.0.82"] if not rate else ["10.79.0.1", "10.79.0.2"]
        if not rate:
            return
        for space in self.spaces:
            ip("netns", "add", space)
        ip("link", "add", "t0", "netns", self.spaces[0], "type", "veth", "peer", "name", "t1", "netns", self.spaces[1])
        for end, (space, address) in enumerate(zip(self.spaces, self.addresses)):
            ip("-n", space, "addr", "add", f"{address}/24", "dev", f"t{end}")
            ip("-n", space, "link", "set", f"t{end}", "up")
            ip("-n", space, "link", "set", "lo", "up")
            subprocess.run(["tc", "-n", space, "qdisc", "add", "dev", f"t{end}", "root", "tbf", "rate", f"{rate}mbit", "burst",
                            "256kb", "latency", "20ms"], check=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for space in filter(None, self.spaces):
            ip("netns", "del", space, check=False)


def exchange(build, kind, mib, link):
    """(seconds, CPU seconds of both ends)"""
    with tempfile.TemporaryDirectory() as folder:
        for end in ("seed", "node"):
            os.mkdir(f"{folder}/{end}")
        seed = Peer(build, "serve", kind, f"{folder}/seed", mib, link.addresses[0], PORT, space=link.spaces[0])
        node = Peer(build, "fetch", kind, f"{folder}/node", mib, link.addresses[1], PORT, link.addresses[0], PORT,
                    space=link.spaces[1])
        seed.say()
        node.say()
        seconds, cpu = node.figures()
        seed.say()
        cpu += seed.figures()[1]
        node.communicate("\n")
        seed.wait()
        return seconds, cpu


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("build")
    parser.add_argument("--mib", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rate", type=int, default=0)
    options = parser.parse_args()
    gib, runs = options.mib / 1024, {"ours": [], "stock": []}
    with Link(options.rate) as link:
        for _ in range(options.rounds):
            for kind, made in runs.items():
                made.append(exchange(options.build, kind, options.mib, link))
    seconds, cpu = ({kind: statistics.median(run[i] for run in made) for kind, made in runs.items()} for i in (0, 1))
    for kind in runs:
        line = f"{kind:5}: {options.mib * 1.048576 / seconds[kind]:6.0f} MB/s, {cpu[kind] / gib:5.2f} CPU-s per GiB, both ends"
        if options.rate:
            line += f"; {options.mib * 8.388608 / seconds[kind] / options.rate:.2f} of the link (bar 0.9)"
        print(line)
    print(f"CPU ours / stock {cpu['ours'] / cpu['stock']:.2f} (bar 1.0), time {seconds['ours'] / seconds['stock']:.2f}")
    with tempfile.TemporaryDirectory() as folder:
        for end in ("1", "2"):
            os.mkdir(f"{folder}/{end}")
        idle = Peer(options.build, "idle", folder, IDLE_LAYERS, IDLE_SECONDS)
        idle.say()
        seconds, cpu = idle.figures()
        idle.wait()
        print(f"{IDLE_LAYERS} idle layers: {100 * cpu / seconds / 2:.2f} % of a core per node (bar 1)")


main()
