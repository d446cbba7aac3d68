#!/usr/bin/env python3
"""One node has others preheat an image: every byte is there, from about one copy of the registry's; who cannot, who will
not and who dies is named, and the others go on."""
import hashlib
import json
import os
import subprocess
import sys
import threading
import time

from bed import PORT, REGISTRY, Bed, need_bed, wait_for
from node import SWARMFS

IMAGE = "small:v1"
BAR = 1.25
USUAL, SLOW = 100, 10  # Mbit/s of the registry
ZONES = ("a", "a", "b", "b")


def preheat(node, image, *words, code=0):
    """The job that `swarmfs preheat --json` ends with."""
    done = node.run("preheat", "--json", *words, node.bed.reference(image), check=False, timeout=300)
    assert done.returncode == code, f"{node.name} {words}: exit {done.returncode}\n{done.stdout}\n{done.stderr}\n{node.tail()}"
    return json.loads(done.stdout)


def by_name(bed, job):
    """What the job says of each node, by the node's name."""
    names = {f"{node.address}:{PORT}": node.name for node in bed.nodes}
    return {names[node["endpoint"]]: node for node in job["nodes"]}


def wait_met(asker, count):
    """Until so many others may be asked."""
    def met():
        return sum(peer["state"] == "ok" and peer["node_id"] != "" for peer in asker.json("peers")["peers"]) == count
    wait_for(f"{asker.name} has met {count}", met, 60)


def check_cache(node):
    """Every layer is in the node's cache: all of it, and its SHA-256 is its name."""
    for layer in node.layers(IMAGE):
        hex_digest = layer["digest"].split(":")[1]
        assert layer["bytes_present"] == layer["size"] and layer["verified"], (node.name, layer)
        with open(os.path.join(node.work, "cache/layers", hex_digest + ".bytes"), "rb") as f:
            found = hashlib.sha256(f.read(layer["size"])).hexdigest()  # the file ends with a whole block
        assert found == hex_digest, f"{node.name}: layer {hex_digest} is wrong"


def everywhere(bed):
    asker = bed[1]
    before = bed.registry_egress()
    text = asker.run("preheat", bed.reference(IMAGE), timeout=300).stdout
    print(text, flush=True)
    assert f"{bed.reference(IMAGE)} is on 4 of 4 nodes" in text, text
    total = bed.image_bytes(IMAGE)
    ratio = (bed.registry_egress() - before) / total
    print(f"registry egress {ratio:.2f}x", flush=True)
    for node in bed.nodes:
        check_cache(node)
        assert f"{node.address}:{PORT}  zone {node.zone}  done in" in text, text
        assert node.counted("swarmfs_verification_failures_total") == 0, node.name
    assert ratio <= BAR, ratio

    wait_met(bed[3], 3)
    job = preheat(bed[3], IMAGE, "--nodes", "2")
    assert job["state"] == "done" and list(by_name(bed, job)) == ["n3", "n1"], job
    for node in job["nodes"]:
        assert node["bytes_done"] == node["bytes_total"] == total, node
    assert bed.registry_egress() - before < (ratio + 0.05) * total, "it was there already"


def who_is_meant(bed):
    wait_met(bed[1], 3)
    job = preheat(bed[1], IMAGE, "--zone", "b")
    assert sorted(by_name(bed, job)) == ["n3", "n4"], job
    few = bed[1].run("preheat", "--nodes", "5", bed.reference(IMAGE), check=False)
    assert few.returncode == 1 and "5 nodes were asked for, but 4 can be asked" in few.stderr, few
    wrong = bed[1].run("preheat", "--nodes", "some", bed.reference(IMAGE), check=False)
    assert wrong.returncode == 1 and "neither a number" in wrong.stderr, wrong


def unknown_image(bed):
    wait_met(bed[2], 3)
    job = preheat(bed[2], "nothing:v9", code=1)
    nodes = by_name(bed, job)
    assert len(nodes) == 4, job
    for name, node in nodes.items():
        assert node["state"] == "failed" and "nothing" in node["error"] and "10.77.0.1:5000" in node["error"], (name, node)
    print("unknown image:", nodes["n1"]["error"], flush=True)


def unwilling(bed, node):
    """This node carries out no orders of others for this registry, and its own."""
    node.terminate()
    node.unwilling = True
    node.restart()
    wait_met(bed[1], 3)
    nodes = by_name(bed, preheat(bed[1], IMAGE, code=1))
    failed = {name: one["error"] for name, one in nodes.items() if one["state"] != "done"}
    assert list(failed) == [node.name] and "names no such registry" in failed[node.name], nodes
    wait_met(node, 3)
    assert preheat(node, IMAGE)["state"] == "done", "it may order"
    node.terminate()
    node.unwilling = False
    node.restart()
    wait_met(bed[1], 3)


def empty(nodes):
    def is_empty(node):
        node.run("evict")
        return sum(layer["bytes_present"] for layer in node.json("ls", "--layers")["layers"]) == 0
    for node in nodes:
        wait_for(f"{node.name} to have nothing", lambda node=node: is_empty(node), 60)


def got(node):
    return node.bytes_from("registry") + node.bytes_from("peer")


def wait_begun(node, before):
    wait_for(f"{node.name} to get something", lambda: got(node) > before, 60)


def limit_registry(bed, mbit):
    bed.network.limit(bed.network.space("registry"), "eth0", mbit)


def dies_in_the_middle(bed, victim, code, then=lambda: None):
    """What the command says whose `victim` was killed while it pulled; `then` follows at once."""
    limit_registry(bed, SLOW)
    empty(bed.nodes)
    wait_met(bed[1], 3)
    before = got(victim)
    ordered = []
    thread = threading.Thread(target=lambda: ordered.append(preheat(bed[1], IMAGE, code=code)))
    thread.start()
    wait_begun(victim, before)
    victim.kill()
    limit_registry(bed, USUAL)
    then()
    thread.join(280)
    assert ordered, "the command does not end, or failed"
    return ordered[0]


def death(bed, victim):
    """Slow enough that somebody can die in the middle."""
    nodes = by_name(bed, dies_in_the_middle(bed, victim, code=1))
    assert nodes[victim.name]["state"] == "failed" and "silent for" in nodes[victim.name]["error"], nodes
    print("killed:", nodes[victim.name]["error"], flush=True)
    for node in bed.nodes:
        if node is victim:
            continue
        assert nodes[node.name]["state"] == "done", nodes
        check_cache(node)


def started_anew(bed, victim):
    """A member that forgets the order, since its daemon died in the middle, is given it again."""
    ordered = dies_in_the_middle(bed, victim, code=0, then=victim.restart)
    assert all(node["state"] == "done" for node in ordered["nodes"]), ordered
    assert victim.log_text().count("ordered by node") >= 2, "the test killed it before the order or after its end"
    for node in bed.nodes:
        check_cache(node)


def interrupted(bed, asker, member):
    """Who interrupts the command takes the order back from everybody. `member`: the other one of the asker's zone."""
    empty(node for node in bed.nodes if node.process.poll() is None)
    before = got(member)
    command = subprocess.Popen([SWARMFS, "preheat", "--socket", asker.socket, "--zone", member.zone, "--json",
                                bed.reference(IMAGE)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    wait_begun(member, before)
    command.terminate()
    _, said = command.communicate(timeout=60)
    assert command.returncode == 1 and "interrupted" in said, said
    wait_for("the member's pull to end", lambda: "nobody waits for it" in member.log_text(), 60)


def main():
    need_bed()
    bed = Bed(4, zones=ZONES, registry_mbit=USUAL, delay_ms=1)
    for node in bed.nodes:
        node.unwilling = False
        usual = node.cluster_section
        node.cluster_section = lambda node=node, usual=usual: (
            usual() + f'preheat = ["{"elsewhere.example.com" if node.unwilling else REGISTRY + ":5000"}"]\n')
    bed.start()
    wait_met(bed[1], 3)
    everywhere(bed)
    who_is_meant(bed)
    unknown_image(bed)
    unwilling(bed, bed[4])
    started_anew(bed, bed[4])
    begun = time.time()
    death(bed, bed[4])
    print(f"went on without the dead in {time.time() - begun:.0f} s", flush=True)
    interrupted(bed, bed[1], bed[2])


if __name__ == "__main__":
    sys.exit(main())
