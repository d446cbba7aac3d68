#!/usr/bin/env python3
"""A member that lies to a node which knows nobody else: whatever it says, the node shows the image's true bytes, in time.
    lies_test.py BUILD [LIE...]"""
import contextlib
import os
import sys
import time

from bed import Bed, need_bed, wait_for
from cache_files import blob_path, windows_of
from forger import Forger
from hostile import (Asker, DamagedIndex, EmptyBody, EndlessBody, FalseLayer, FalseRoot, FlippedBits, FlippedUnsealed,
                     ForeignIndex, Holding, HostileMember, NoWindows, ShortBody, Silence, Stall, SwappedIndex, UnknownIndex,
                     Unsealed, WrongTree, WrongWindows)
from trees import differences, walk

IMAGE = "small:v1"
LIAR = "10.77.0.100"
# Lie → whether the liar is banned for it (None: it may be, or not).
LIES = {Holding: False, Unsealed: False, FlippedBits: True, FlippedUnsealed: True, ShortBody: None, EmptyBody: None,
        EndlessBody: None, Stall: False, Silence: False, WrongTree: True, SwappedIndex: True, DamagedIndex: True, ForeignIndex: True,
        UnknownIndex: False, FalseRoot: True, FalseLayer: True, WrongWindows: True, NoWindows: False}
# Found by comparing bytes, so counted as such.
COUNTED = (FlippedBits, FlippedUnsealed, FalseRoot, FalseLayer, WrongWindows)
SLOWEST_FILE = 15  # seconds


class Truth:
    """The layers of the image: hex digest → (bytes, index, windows), and its tree; from a node that has them all."""

    def __init__(self, bed, node, asker):
        node.pull(IMAGE)
        self.tree = walk(node.mount(IMAGE))
        self.layers = {}
        for layer in node.layers(IMAGE):
            hex_digest = layer["digest"].split(":")[1]
            query = {"repository": "10.77.0.1:5000/small"}
            wait_for("the layer is published",
                     lambda: asker.get(node, f"/v1/layers/{hex_digest}/claim", query)[0] == 200)
            status, index, _ = asker.get(node, f"/v1/layers/{hex_digest}/index", query)
            assert status == 200
            self.layers[hex_digest] = (open(blob_path(bed.folder, hex_digest), "rb").read(), index,
                                       windows_of(os.path.join(node.work, "cache"), hex_digest))

    def holdings(self, lie):
        indexes = [index for _, index, _ in self.layers.values()]
        made = {}
        for number, (hex_digest, (data, index, windows)) in enumerate(self.layers.items()):
            made[hex_digest] = lie(data, index, windows)
            if lie is ForeignIndex:
                made[hex_digest].other = indexes[number - 1]
        return made


def liar_of(victim):
    """What the victim says of the liar."""
    return next(peer for peer in victim.json("peers")["peers"] if peer["endpoint"].startswith(LIAR + ":"))


def read_slowly(directory, expected):
    """The tree is as expected; the longest that one file took."""
    slowest = 0.0
    for name, entry in expected.items():
        if "content" in entry:
            begun = time.time()
            with open(os.path.join(os.fsencode(directory), name), "rb") as f:
                f.read()
            slowest = max(slowest, time.time() - begun)
    found = differences(walk(directory), expected)
    assert not found, "\n".join(found[:20])
    return slowest


@contextlib.contextmanager
def meets_liar(bed, victim, truth, forger, lie):
    victim.peers = [LIAR]
    liar = HostileMember(bed.network.space("liar"), LIAR, forger, truth.holdings(lie))
    try:
        bed.start([victim])
        wait_for("they meet", lambda: liar_of(victim)["node_id"])
        yield liar
    finally:
        victim.terminate()
        liar.stop()


def stage(bed):
    """Node 1 pulls what is true; a stranger's place is there for liars who are members."""
    bed.add_stranger("liar", LIAR)
    forger = Forger(os.path.join(bed.work, "forger"), bed.token_file)
    bed[1].peers = []
    bed.start([bed[1]])
    return forger, Truth(bed, bed[1], Asker(bed.network.space("liar"), forger.context(server=False)))


def chosen_of(lies):
    return [lie for lie in lies if lie.__name__ in sys.argv[2:]] or list(lies)


def lie_to_all(lied_to, bed, first, truth, forger, lies):
    """Each of the lies to a node of its own, from number `first` on; the names of those that did not go as they should."""
    failed = []
    for victim, lie in zip((bed[first + number] for number in range(len(lies))), lies):
        try:
            lied_to(bed, victim, truth, forger, lie)
        except Exception as error:
            print(f"{lie.__name__}: FAILED: {type(error).__name__}: {str(error)[:3000]}\n{victim.tail()}", flush=True)
            failed.append(lie.__name__)
    return failed


def lied_to(bed, victim, truth, forger, lie):
    with meets_liar(bed, victim, truth, forger, lie) as liar:
        begun = time.time()
        directory = victim.mount(IMAGE)
        mounted = time.time() - begun
        if lie is FalseLayer:  # nothing but the digest of the whole can tell
            wait_for("the liar is found out, layer by layer",
                     lambda: not any("claimed" in layer["trust"] for layer in victim.layers(IMAGE)), 60)
            victim.umount(directory)
            directory = victim.mount(IMAGE)
        slowest = read_slowly(directory, truth.tree)
        victim.wait_complete(IMAGE)
        bed.check_blobs(victim, IMAGE)
        if LIES[lie]:  # some lies are known for what they are once the layer was hashed
            wait_for("the liar is found out", lambda: liar_of(victim)["state"] == "banned", 60)
        state, counted = liar_of(victim), victim.counted("swarmfs_verification_failures_total", source="peer")
        memory = int(next(line.split()[1] for line in open(f"/proc/{victim.process.pid}/status") if "VmHWM" in line)) // 1024
        print(f"{lie.__name__}: mounted in {mounted:.1f} s, slowest file {slowest:.1f} s, {memory} MiB, "
              f"{counted:.0f} lies counted, liar asked for bytes {liar.asked('bytes')} times; it is {state['state']} "
              f"{state.get('reason', '')}", flush=True)
        assert slowest < SLOWEST_FILE, slowest
        assert memory < 600, memory
        if LIES[lie] is not None:
            assert (state["state"] == "banned") == LIES[lie], state
        assert counted > 0 or lie not in COUNTED
        if lie in (Holding, WrongWindows, NoWindows):
            assert liar.asked("windows") > 0, "the windows came from elsewhere: the test does not test"
        if lie in (Holding, Unsealed):
            assert liar.asked("bytes") > 0 and counted == 0, "the truth is not believed: the test does not test"
        if state["state"] == "banned":
            silent_after_ban(victim, liar)
            assert LIAR in victim.log_text() or forger.node_id in victim.log_text(), "the log does not name the liar"


def silent_after_ban(victim, liar):
    before = len(liar.seen)
    time.sleep(1)
    assert len(liar.seen) == before, f"{victim.name} still talks to who is banned: {liar.seen[before:][:3]}"


def false_manifest(bed, victim, truth, forger):
    """By digest, with the registry down: a member that gives another manifest, and one that gives the right one."""
    digest = bed[1].json("explain", bed.reference(IMAGE))["manifest"]
    liar = HostileMember(bed.network.space("liar"), LIAR, forger, {}, (b'{"schemaVersion":2}', digest))
    victim.peers = [LIAR, bed[1].address]
    bed.registry_down()
    try:
        bed.start([victim])
        wait_for("they meet", lambda: liar_of(victim)["node_id"])
        read_slowly(victim.mount("small@" + digest), truth.tree)
        asked = any(path == "/v1/manifests" for path, _, _ in liar.seen)
        print(f"false manifest: the right one was found; the liar was {'asked' if asked else 'not asked'}", flush=True)
        assert not asked or liar_of(victim)["state"] == "banned"
    finally:
        bed.registry_up()
        liar.stop()


def main():
    need_bed()
    chosen = chosen_of(LIES)
    bed = Bed(2 + len(chosen))
    forger, truth = stage(bed)
    failed = lie_to_all(lied_to, bed, 3, truth, forger, chosen)
    false_manifest(bed, bed[2], truth, forger)
    assert not failed, failed


if __name__ == "__main__":
    sys.exit(main())
