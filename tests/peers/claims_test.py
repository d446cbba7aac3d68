#!/usr/bin/env python3
"""What a member claims of a layer while nobody can tell whether it is so: honest members stay who they are, and a daemon that
is stopped while it looks for a claim ends at once.
    claims_test.py BUILD"""
import http.client
import json
import os
import signal
import subprocess
import sys
import threading
import time

from bed import REGISTRY, Bed, need_bed, wait_for
from cache_files import blob_path
from hostile import FalseRoot, Holding, HostileMember
from lies_test import IMAGE, LIAR, liar_of, meets_liar, stage
from mirror_client import MIRROR, PORT
from netns import within
from trees import differences, walk

STOPPED = 4  # seconds


class SlowClaim(Holding):
    """Says nothing for long when it is asked what it claims."""
    asked, over = threading.Event(), threading.Event()

    def claimed_index(self):
        self.asked.set()
        self.over.wait(30)
        return super().claimed_index()


def state_of(node, other):
    return next(peer for peer in node.json("peers")["peers"] if peer["endpoint"].startswith(other.address + ":"))["state"]


def start_of(node, layer, length):
    """The layer's first bytes as the mount point shows them; empty where nobody gives them."""
    try:
        with open(node.blob(layer), "rb") as f:
            return f.read(length)
    except OSError:
        return b""


def shows(directory, tree):
    try:
        return not differences(walk(directory), tree)
    except OSError:
        return False


def honest_against_a_lie(bed, victim, truth, forger):
    """The registry is down, and the only claim is a false root: who contradicts it is not banned. When it is up the lie falls."""
    digest = bed[1].json("explain", bed.reference(IMAGE))["manifest"]
    manifest = open(blob_path(bed.folder, digest.split(":")[1]), "rb").read()
    liar = HostileMember(bed.network.space("liar"), LIAR, forger, truth.holdings(FalseRoot), (manifest, digest))
    victim.peers = [LIAR, bed[1].address]
    victim.extra = f'[mount]\npoint = "{victim.tree}"\nfault_timeout = "3s"\n'
    bed.cut(bed[1])
    bed.registry_down()
    try:
        bed.start([victim])
        wait_for("they meet", lambda: liar_of(victim)["node_id"])
        directory = victim.mount("small@" + digest)
        bed.heal(bed[1])
        wait_for("the honest member is met", lambda: state_of(victim, bed[1]) == "ok", 60)
        layer, (data, _, _) = next(iter(truth.layers.items()))
        assert start_of(victim, layer, 10) == b"", "the claim is not believed: the test does not test"
        # Nor by a second try, for which a member may have been asked that was not for the first.
        start_of(victim, layer, 10)
        assert victim.counted("swarmfs_verification_failures_total", source="peer") > 0, "nobody was asked"
        assert state_of(victim, bed[1]) == "ok", state_of(victim, bed[1])
        assert liar_of(victim)["state"] == "banned", "its bytes contradict its own claim"
        bed.registry_up()
        wait_for("the truth is found", lambda: shows(directory, truth.tree), 60)
        assert start_of(victim, layer, 10) == data[:10]
        wait_for("the liar is found out", lambda: liar_of(victim)["state"] == "banned", 60)
        assert state_of(victim, bed[1]) == "ok", state_of(victim, bed[1])
        print("an honest member that contradicts a lie is not banned; the liar is, once the registry is back", flush=True)
    finally:
        bed.heal(bed[1])
        bed.registry_up()
        victim.terminate()
        liar.stop()


def ask_mirror(node, path):
    """(status, bytes as promised); the exception where the connection ended before that."""
    connection = http.client.HTTPConnection("127.0.0.1", PORT, timeout=20)
    within(node.space, connection.connect)
    try:
        connection.request("GET", f"/v2/small/{path}?ns={REGISTRY}:5000",
                           headers={"Accept": "application/vnd.oci.image.manifest.v1+json"})
        response = connection.getresponse()
        return response.status, response.read()
    except (OSError, http.client.HTTPException) as error:
        return error
    finally:
        connection.close()


def pull_through_mirror(victim, answers):
    _, manifest = ask_mirror(victim, "manifests/v1")
    answers.append(ask_mirror(victim, "blobs/" + json.loads(manifest)["layers"][0]["digest"]))


def mount(victim, answers):
    directory = os.path.join(victim.work, "stopped")
    os.makedirs(directory)
    answers.append(victim.run("mount", victim.bed.reference(IMAGE), directory, check=False))


def stopped_while_looking(bed, victim, truth, forger, client):
    """A client waits for a claim that does not come when the daemon is told to end: so it does, and the client knows."""
    SlowClaim.asked.clear()
    SlowClaim.over.clear()
    with meets_liar(bed, victim, truth, forger, SlowClaim):
        answers = []
        asking = threading.Thread(target=client, args=(victim, answers))
        asking.start()
        assert SlowClaim.asked.wait(20), "nobody looks for a claim: the test does not test"
        begun = time.time()
        victim.process.send_signal(signal.SIGTERM)
        assert victim.process.wait(20) == 0, victim.tail()
        took = time.time() - begun
        asking.join(20)
        assert not asking.is_alive(), "the client hangs"
        answer, = answers
        print(f"{client.__name__}: stopped in {took:.2f} s; the client: {answer!r:.300}", flush=True)
        assert took < STOPPED, took
        if isinstance(answer, subprocess.CompletedProcess):
            assert answer.returncode == 1 and answer.stderr.strip(), answer
        elif isinstance(answer, tuple):
            assert answer[0] in (404, 503), answer
        else:
            assert isinstance(answer, http.client.RemoteDisconnected), answer  # FIN: no reset, nothing of a body
    SlowClaim.over.set()


def main():
    need_bed()
    bed = Bed(4, config=MIRROR + "[fetch]\nbackfill = false\n")
    forger, truth = stage(bed)
    honest_against_a_lie(bed, bed[2], truth, forger)
    for victim, client in ((bed[3], pull_through_mirror), (bed[4], mount)):
        stopped_while_looking(bed, victim, truth, forger, client)


if __name__ == "__main__":
    sys.exit(main())
