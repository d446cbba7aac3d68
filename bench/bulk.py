#!/usr/bin/env python3
"""Bulk between nodes, each figure against a baseline in the same run.
    bench/bulk.py BUILD [under] [warm] [--bittorrent] [--nodes 2,4,8] [--in-turn] [--mbit N]     (default: both; --help)
under: faults of 256 KiB from a peer, few enough to take an eighth of the link, while bulk runs both ways between the two;
against faults alone and bulk alone.
warm: all nodes but the first pull, at once (or one after the other), what the first has; against each one's own link, and
beside it the processor time that all daemons took: where nodes of the bench share few cores, that is the limit and not
the link."""
import argparse
import os
import random
import sys
import threading
import time

SOURCE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path[:0] = [os.path.join(SOURCE, folder) for folder in ("tests/bed", "tests/mounted", "tests/peers")]
sys.argv[1] = os.path.abspath(sys.argv[1])
from bed import Bed, together  # noqa: E402
from node import wait_for  # noqa: E402
from peers import mount_ranges, percentiles, table  # noqa: E402

LENGTH = 256 << 10
BURST_KB = 80  # or a fault alone, which finds an idle link, passes in no time
ROUNDS = 5


class Bulk:
    """A node that pulls an image from a peer again and again, until stop(), which gives its bytes per second."""

    def __init__(self, node, image):
        self.node, self.image, self.stopping, self.seconds, self.evictions = node, image, False, 0.0, 0
        self.before = node.bytes_from("peer", **{"class": "pull"})
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        while not self.stopping:
            self.node.run("evict")
            self.evictions += 1
            begun = time.time()
            self.node.pull(self.image)
            self.seconds += time.time() - begun

    def await_eviction(self):
        """What nobody has mounted is gone from the node then. Evicting beside a pull would take its bytes, too."""
        before = self.evictions
        wait_for("the next pull", lambda: self.evictions > before, 120)

    def stop(self):
        self.stopping = True
        self.thread.join()
        return (self.node.bytes_from("peer", **{"class": "pull"}) - self.before) / self.seconds


def make_bed(nodes, images, options, **more):
    return Bed(nodes, images, down_mbit=options.mbit, up_mbit=options.mbit, delay_ms=options.delay,
               jitter_ms=options.jitter, bulk=options.bittorrent, **more)


def processor_seconds(bed):
    """Of all its nodes."""
    ticks = 0
    for node in bed.nodes:
        fields = open(f"/proc/{node.process.pid}/stat").read().rsplit(")", 1)[1].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def rest(bed, seconds=60):
    """Until no node is at work: what a pull leaves to do (an index made anew) is no part of what comes next."""
    end, before = time.time() + seconds, 0
    while (now := processor_seconds(bed)) - before >= 0.05 and time.time() < end:
        before = now
        time.sleep(1)


class Faults:
    """Reads of a layer that only the other node has, a block at a time, an eighth of the link."""

    def __init__(self, node, image, layer, mbit):
        self.node, self.image, self.hex = node, image, layer["digest"].split(":")[1]
        self.starts = list(range(0, layer["size"] - LENGTH, LENGTH))
        self.pause = 8 * LENGTH * 8 / mbit / 1e6

    def rounds(self, forget):
        """The seconds of each, of the whole layer again and again: `forget` makes the node forget it in between."""
        before, made = self.node.bytes_from("peer", **{"class": "fault"}), []
        for _ in range(ROUNDS):
            where = self.node.mount(self.image)
            path = self.node.blob(self.hex)
            with open(path, "rb") as blob:  # the kernel, too
                os.posix_fadvise(blob.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            random.Random(len(made)).shuffle(self.starts)
            made += mount_ranges(self.node, path, [(at, LENGTH) for at in self.starts], self.pause)
            self.node.umount(where)
            forget()
        came = self.node.bytes_from("peer", **{"class": "fault"}) - before
        assert came >= len(made) * LENGTH * 0.95, f"{came} bytes by {len(made)} faults"
        return made


def both_ways(bed, call):
    """What call(bulk to n2) returns while bulk runs both ways, and the rates of bulk."""
    bulks = [Bulk(bed[1], "medium:v1-zstd"), Bulk(bed[2], "medium:v1")]
    time.sleep(1)
    result = call(bulks[1])
    return result, [bulk.stop() for bulk in bulks]


def under(options):
    bed = make_bed(2, ["small", "medium"], options, config="[fetch]\nbackfill = false\n", burst_kb=BURST_KB)
    bed.start()
    for node, image in ((bed[1], "medium:v1"), (bed[1], "small:v1"), (bed[2], "medium:v1-zstd")):
        node.mount(image, None, "--pin")  # what the other pulls is not evicted
        node.pull(image)
    for node, image in ((bed[1], "medium:v1-zstd"), (bed[2], "medium:v1")):
        node.pull(image)
        rest(bed)
    shared = {one["digest"] for one in bed[1].layers("medium:v1")}  # comes with the bulk
    layer = max((one for one in bed[1].layers("small:v1") if one["digest"] not in shared), key=lambda one: one["size"])
    faults = Faults(bed[2], "small:v1", layer, options.mbit)
    idle = faults.rounds(lambda: bed[2].run("evict"))
    _, alone = both_ways(bed, lambda _: time.sleep(8))
    loaded, beside = both_ways(bed, lambda bulk: faults.rounds(bulk.await_eviction))
    bed.close()
    count, idle, loaded = len(idle), percentiles(idle), percentiles(loaded)
    rows = [("faults alone", *(f"{ms:.1f}" for ms in idle), "", "", ""),
            ("faults under bulk", *(f"{ms:.1f}" for ms in loaded), f"{loaded[2] / idle[2]:.2f}", "", "bar 3.00"),
            *((f"bulk to n{i + 1}", "", "", "", "", f"{mine / theirs:.2f}",
               f"bar 0.85; {theirs / 1e6:.0f} MB/s alone, {mine / 1e6:.0f} MB/s beside faults")
              for i, (mine, theirs) in enumerate(zip(beside, alone)))]
    table(f"{count} faults of 256 KiB under bulk both ways, {options.mbit} Mbit/s{by(options)}",
          ("what", "p50 ms", "p90 ms", "p99 ms", "p99 x", "rate x", ""), rows)


def by(options):
    way = f", {options.delay:g} ms of delay" if options.delay else ""
    way += f", {options.jitter:g} ms of jitter" if options.jitter else ""
    return way + (", bulk by BitTorrent too" if options.bittorrent else "")


def warm(options):
    for count in (int(word) for word in options.nodes.split(",")):
        warm_of(count, options)


def in_turn(bed, pull):
    made = []
    for node in bed.nodes[1:]:
        made.append(pull(node))
        rest(bed)
    return made


def warm_of(count, options):
    bed = make_bed(count, ["medium"], options, registry_mbit=100, registry_delay_ms=5)
    bed.start()
    bed[1].pull("medium:v1")
    rest(bed)
    size = bed.image_bytes("medium:v1")
    before, worked = bed.registry_egress(), processor_seconds(bed)

    def pull(node):
        begun = time.time()
        node.pull("medium:v1")
        return time.time() - begun

    seconds = in_turn(bed, pull) if options.in_turn else together(pull, bed.nodes[1:])
    worked = processor_seconds(bed) - worked
    egress = (bed.registry_egress() - before) / size
    bed.close()
    how = ", one after the other" if options.in_turn else ""
    table(f"{count - 1} pull {size / 1e6:.0f} MB that another node has{how}: {options.mbit} Mbit/s links{by(options)}; "
          f"{egress:.2f} copies from the registry; {worked:.1f} s of {os.cpu_count()} processors, the longest {max(seconds):.1f} s",
          ("node", "seconds", "of its link", ""),
          [(f"n{i + 2}", f"{took:.2f}", f"{size * 8 / took / options.mbit / 1e6:.2f}", "bar 0.85")
           for i, took in enumerate(seconds)])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build")
    parser.add_argument("part", nargs="*", choices=[[], "under", "warm"], default=[])
    parser.add_argument("--bittorrent", action="store_true", help="with [cluster] bulk_port")
    parser.add_argument("--nodes", default="2,4", help="of warm: how many, the first included (2,4)")
    parser.add_argument("--in-turn", action="store_true", help="warm: each pulls when the one before it has it")
    parser.add_argument("--mbit", type=int, default=1000, help="of each node's link (1000)")
    parser.add_argument("--delay", type=float, default=0, help="of each node's link, in ms (0)")
    parser.add_argument("--jitter", type=float, default=0, help="so many ms longer may each link take, now and then (0)")
    options = parser.parse_args()
    for part in options.part or ["under", "warm"]:
        {"under": under, "warm": warm}[part](options)


if __name__ == "__main__":
    main()
