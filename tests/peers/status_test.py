#!/usr/bin/env python3
"""`swarmfs status` knows who has what: while a layer comes in, when all have it, and when one node has a part of it only."""
import subprocess
import sys
import threading

from bed import PORT, Bed, need_bed
from node import wait_for

IMAGE = "small:v1"
LINK = 50  # Mbit/s: a pull takes seconds
ZONES = ("a", "b", "b")


def swarms(node, *target):
    """By digest, what `swarmfs status` says of layers."""
    said = node.json("status", *target)
    said = said if target else said["swarms"]
    assert said["asked"] == (said["peers"] if said["layers"] else 0), said
    return {layer["digest"]: layer for layer in said["layers"]}


def all_of_it(bed, asker, others):
    """Whether `asker` sees that it and all others have every layer."""
    found = swarms(asker, bed.reference(IMAGE))
    return all(layer["bytes"] == layer["size"] and layer["rarest_copies"] == 1 + len(others) and
               layer["rarest_chunks"] == layer["chunks"] and
               {(one["endpoint"], one["zone"], one["bytes"]) for one in layer["members"]} ==
               {(f"{other.address}:{PORT}", other.zone, layer["size"]) for other in others} for layer in found.values())


def while_it_comes(bed, giver, taker):
    """What both say in the middle of a pull."""
    thread = threading.Thread(target=taker.pull, args=[IMAGE])
    thread.start()
    try:
        wait_for(f"{taker.name} to receive", lambda: any(
            layer["received_per_second"] > 0 and layer["bytes"] < layer["size"] for layer in swarms(taker).values()), 60)
        wait_for(f"{giver.name} to give", lambda: any(
            layer["given_per_second"] > 0 for layer in swarms(giver, bed.reference(IMAGE)).values()), 60)
    finally:
        thread.join()


def a_part(bed, asker, reader, others):
    """`reader` has no backfill: it has what was read."""
    directory = reader.mount(IMAGE)
    assert subprocess.run(["chroot", directory, "/usr/bin/python3", "/app/app.py"], stdout=subprocess.DEVNULL).returncode == 0
    largest = max(reader.layers(IMAGE), key=lambda layer: layer["size"])
    assert 0 < largest["bytes_present"] < largest["size"], "the test needs a layer that is here in part"
    endpoint = f"{reader.address}:{PORT}"

    def seen():
        layer = swarms(asker, largest["digest"][:19])[largest["digest"]]
        parts = [one["bytes"] for one in layer["members"] if one["endpoint"] == endpoint]
        return layer["rarest_copies"] == 1 + len(others) and parts and 0 < parts[0] < layer["size"]
    wait_for(f"{asker.name} to see a part at {reader.name}", seen, 60)

    def seen_by_itself():
        ours = swarms(reader)[largest["digest"]]
        return 0 < ours["bytes"] < ours["size"] and len(ours["members"]) == 1 + len(others)
    wait_for(f"{reader.name} to see itself with a part", seen_by_itself, 60)

    def told():
        text = reader.run("status", "-v").stdout
        there = f"node {reader.json('peers')['peers'][0]['node_id'][:12]}  zone" in text and "100 %" in text
        return text if there else ""
    wait_for(f"{reader.name} to tell of its peers", told, 60)
    print(told(), flush=True)


def main():
    need_bed()
    bed = Bed(3, zones=ZONES, down_mbit=LINK, up_mbit=LINK)
    bed[3].extra = "[fetch]\nbackfill = false"
    bed.start()
    assert bed[1].json("status")["swarms"] == {"peers": 2, "asked": 0, "answered": 0, "layers": []}
    bed[1].pull(IMAGE)
    wait_for("n1 to see itself alone with it", lambda: all_of_it(bed, bed[1], []), 60)
    while_it_comes(bed, bed[1], bed[2])
    wait_for("n1 to see n2 with all of it", lambda: all_of_it(bed, bed[1], [bed[2]]), 60)
    wait_for("n2 to see n1 with all of it", lambda: all_of_it(bed, bed[2], [bed[1]]), 60)
    a_part(bed, bed[1], bed[3], [bed[2]])
    bed[3].pull(IMAGE)
    for node in bed.nodes:
        wait_for(f"{node.name} to see three copies", lambda node=node: all_of_it(
            bed, node, [other for other in bed.nodes if other is not node]), 60)
    nothing = bed[1].run("status", "nothing:v9", check=False)
    assert nothing.returncode == 1 and "neither an image" in nothing.stderr, nothing


if __name__ == "__main__":
    sys.exit(main())
