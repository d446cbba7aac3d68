#!/usr/bin/env python3
"""[bulk] upload, upload_per_peer, download and download_per_peer bound what goes from node to node for pulls, by BitTorrent,
too, and SIGHUP changes them in the middle of one. So it is with [fetch] backfill_rate, for what a mount brings in."""
import signal
import sys
import threading
import time

from bed import Bed, need_bed
from node import wait_for

IMAGE = "small:v1"
DEMAND_LANE = ("upload", "upload_per_peer", "download", "download_per_peer")
BOTH_LANES = ("upload", "upload_per_peer", "download_per_peer")
CAP = 100_000  # bytes per second
REGISTRY = 20  # Mbit/s: who would not wait for the cap would go there, and not be done in seconds
SLACK = 5
LARGEST = 4 << 20  # what one request may overdraw the cap by


def by_bittorrent(node):
    return node.counted("swarmfs_bulk_bytes_total", direction="sent")


def served(node):
    return node.counted("swarmfs_peer_served_bytes_total") + by_bittorrent(node)


def backfilled(node):
    return sum(node.bytes_from(source, **{"class": "backfill"}) for source in ("peer", "registry"))


def reloads(node):
    return node.log_text().count("reloaded: ")


def set_cap(node, key, rate, section="bulk"):
    before = reloads(node)
    node.extra = f'[{section}]\n{key} = "{rate}B"'
    node.configure()
    node.process.send_signal(signal.SIGHUP)
    wait_for(f"{node.name} to reload", lambda: reloads(node) == before + 1, 60)


def capped_pull(giver, taker, key, capped, total):
    """The taker pulls from the giver, slowly, until the cap is lifted. From the registry comes nothing to speak of."""
    set_cap(capped, key, CAP)
    begun, before, bulk_before = time.time(), served(giver), by_bittorrent(giver)
    thread = threading.Thread(target=taker.pull, args=[IMAGE])
    thread.start()
    wait_for("n1 to give something", lambda: served(giver) > before, 60)
    if giver.bed.bulk:
        wait_for("n1 to give something by BitTorrent", lambda: by_bittorrent(giver) > bulk_before, 60)
    time.sleep(4)
    given, seconds = served(giver) - before, time.time() - begun
    print(f"{key}: {given:.0f} of {total} bytes in {seconds:.1f} s", flush=True)
    assert given <= SLACK * CAP * (1 + seconds) + LARGEST, (key, given, seconds)
    assert thread.is_alive(), "the pull is slower for it"
    set_cap(capped, key, 0)
    thread.join()
    print(f"then: {served(giver) - before:.0f} in {time.time() - begun:.1f} s, {taker.bytes_from('registry'):.0f} from the registry", flush=True)
    assert served(giver) - before > total / 4, (served(giver), total)
    assert taker.bytes_from("registry") < total / 2, "it waits for the cap rather than ask the registry"
    taker.mount(IMAGE)
    giver.bed.check_blobs(taker, IMAGE)


def capped_backfill(node):
    begun, total = time.time(), node.bed.image_bytes(IMAGE)
    node.mount(IMAGE)
    time.sleep(4)
    came, seconds = backfilled(node), time.time() - begun
    print(f"backfill_rate: {came:.0f} of {total} bytes in {seconds:.1f} s", flush=True)
    assert 0 < came <= CAP * (1 + seconds) + LARGEST, (came, seconds)
    set_cap(node, "backfill_rate", 2_000_000, "fetch")
    wait_for("it to come at another rate", lambda: backfilled(node) > came + 3 * LARGEST, 60)
    set_cap(node, "backfill_rate", 0, "fetch")
    wait_for("all to come in", lambda: backfilled(node) > total * 0.8, 60)
    node.bed.check_blobs(node, IMAGE)


def main():
    need_bed()
    bed = Bed(2 + len(DEMAND_LANE + BOTH_LANES), registry_mbit=REGISTRY)
    giver = bed[1]
    bed.start([giver])
    giver.pull(IMAGE)
    wait_for("n1 to vouch for every layer", lambda: all(layer["verified"] for layer in giver.layers(IMAGE)), 60)
    total = bed.image_bytes(IMAGE)
    for taker, key in zip(bed.nodes[1:], DEMAND_LANE + BOTH_LANES):
        if taker is bed[2 + len(DEMAND_LANE)]:
            giver.terminate()
            bed.bulk = True
            bed.start([giver])
        bed.start([taker])
        capped_pull(giver, taker, key, taker if key.startswith("download") else giver, total)
        taker.terminate()
    last = bed.nodes[-1]
    last.extra = f'[fetch]\nbackfill_rate = "{CAP}B"'
    bed.start([last])
    capped_backfill(last)


if __name__ == "__main__":
    sys.exit(main())
