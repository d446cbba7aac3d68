#!/usr/bin/env python3
"""A member that lies to a node through whose mirror a client pulls: whatever it claims of a layer, the client gets all of the
image, the first time unless nothing but a layer's digest gives the lie away.
    mirror_lies_test.py BUILD [LIE...]"""
import os
import subprocess
import sys
import time

from bed import Bed, need_bed, wait_for
from forger import Forger
from hostile import (Asker, DamagedIndex, FalseLayer, FalseRoot, FlippedBits, FlippedUnsealed, ForeignIndex, Holding, HostileMember,
                     Silence, Stall, SwappedIndex, UnknownIndex, WrongTree)
from lies_test import IMAGE, LIAR, Truth, liar_of
from mirror_client import FETCH, MIRROR, Client

# Lie → whether the liar is banned for it, and how many pulls it may cost. Of layers that come at once each costs one.
LIES = {Holding: (False, 0), FlippedBits: (True, 0), FlippedUnsealed: (True, 3), Stall: (False, 0), Silence: (False, 0),
        WrongTree: (True, 0), SwappedIndex: (True, 0), DamagedIndex: (True, 0), ForeignIndex: (True, 0), UnknownIndex: (False, 0),
        FalseRoot: (True, 0), FalseLayer: (True, 3)}
SLOWEST_PULL = 30  # seconds


def pull(bed, node, most):
    """How many pulls failed before one did not, each of a client that has nothing; and what the last one has."""
    for failed in range(most + 1):
        client = Client(bed, node)
        try:
            client.seconds(FETCH, bed.reference(IMAGE), True)
            return failed, client.image()
        except subprocess.CalledProcessError:
            if failed == most:
                raise
        finally:
            client.close()


def lied_to(bed, victim, truth, forger, lie):
    banned, most = LIES[lie]
    victim.peers = [LIAR]
    liar = HostileMember(bed.network.space("liar"), LIAR, forger, truth.holdings(lie))
    try:
        bed.start([victim])
        wait_for("they meet", lambda: liar_of(victim)["node_id"])
        begun = time.time()
        failed, sizes = pull(bed, victim, most)
        took = time.time() - begun
        assert {digest.split(":")[1] for digest in sizes} >= truth.layers.keys(), sizes
        if banned:
            wait_for("the liar is found out", lambda: liar_of(victim)["state"] == "banned", 120)
        state = liar_of(victim)
        print(f"{lie.__name__}: {failed} pulls failed, {took:.1f} s; the liar was asked for {liar.asked('claim')} claims and "
              f"{liar.asked('bytes')} times for bytes; it is {state['state']} {state.get('reason', '')}", flush=True)
        assert took < SLOWEST_PULL, took
        assert banned or state["state"] != "banned", state
        assert lie is FlippedUnsealed or liar.asked("claim") > 0, "nobody asked what it claims: the test does not test"
        wait_for("what came is this node's own word", lambda: own_word(victim, truth), 30)
    finally:
        victim.terminate()
        liar.stop()


def own_word(victim, truth):
    """Every layer of the image is whole, was hashed here and is right; no claim is left of any."""
    cache = os.path.join(victim.work, "cache")
    trees = os.path.join(cache, "docs", "tree")
    if not os.path.isdir(trees) or set(os.listdir(trees)) != truth.layers.keys():
        return False
    for name, (data, _, _) in truth.layers.items():
        if b"signature" in open(os.path.join(trees, name), "rb").read():
            return False
        if open(os.path.join(cache, "layers", name + ".bytes"), "rb").read(len(data)) != data:
            return False
    return True


def main():
    need_bed()
    chosen = [lie for lie in LIES if lie.__name__ in sys.argv[2:]] or list(LIES)
    bed = Bed(1 + len(chosen), config=MIRROR)
    bed.add_stranger("liar", LIAR)
    forger = Forger(os.path.join(bed.work, "forger"), bed.token_file)
    bed[1].peers = []
    bed.start([bed[1]])
    truth = Truth(bed, bed[1], Asker(bed.network.space("liar"), forger.context(server=False)))
    failed = []
    for number, lie in enumerate(chosen):
        victim = bed[2 + number]
        try:
            lied_to(bed, victim, truth, forger, lie)
        except Exception as error:
            print(f"{lie.__name__}: FAILED: {type(error).__name__}: {str(error)[:3000]}\n{victim.tail()}", flush=True)
            failed.append(lie.__name__)
    assert not failed, failed


if __name__ == "__main__":
    sys.exit(main())
