#!/usr/bin/env python3
"""A member that lies to a node through whose mirror a client pulls: whatever it claims of a layer, the client gets all of the
image, the first time unless nothing but a layer's digest gives the lie away.
    mirror_lies_test.py BUILD [LIE...]"""
import os
import subprocess
import sys
import time

from bed import Bed, need_bed, wait_for
from hostile import (DamagedIndex, FalseLayer, FalseRoot, FlippedBits, FlippedUnsealed, ForeignIndex, Holding, Silence, Stall,
                     SwappedIndex, UnknownIndex, WrongTree)
from lies_test import IMAGE, chosen_of, liar_of, lie_to_all, meets_liar, stage
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
    with meets_liar(bed, victim, truth, forger, lie) as liar:
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
    chosen = chosen_of(LIES)
    bed = Bed(1 + len(chosen), config=MIRROR)
    forger, truth = stage(bed)
    failed = lie_to_all(lied_to, bed, 2, truth, forger, chosen)
    assert not failed, failed


if __name__ == "__main__":
    sys.exit(main())
