#!/usr/bin/env python3
"""Who is no member gets no word out of a node; a member gets nothing of an image that it could not pull itself, and who
could pull it gets it from peers without a credential leaving a node."""
import base64
import json
import os
import socket
import ssl
import subprocess
import sys
import tempfile

import node as node_module
from bed import PORT, REGISTRY, Bed, need_bed, wait_for
from forger import Forger
from hostile import Asker, HostileMember
from netns import within
from trees import differences, walk

IMAGE = "small:v1"
REPOSITORY = f"{REGISTRY}:5000/small"
MEMBER = "10.77.0.100"


def refused(what, call):
    """No TLS session comes about, so not a byte of HTTP."""
    try:
        answer = call()
    except OSError as error:
        print(f"{what}: {type(error).__name__}", flush=True)
        return
    raise AssertionError(f"{what}: got {answer}")


def strangers(bed, space):
    node = bed[1]

    def hello(context):
        return lambda: Asker(space, context).get(node, "/v1/layers")

    def context():
        made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        made.check_hostname, made.verify_mode = False, ssl.CERT_NONE
        return made

    refused("no certificate", hello(context()))
    work = os.path.join(bed.work, "strangers")
    os.makedirs(work)
    subprocess.run([node_module.SWARMFS, "cluster", "init", "--output", f"{work}/token"], check=True,
                   stdout=subprocess.DEVNULL)
    refused("another cluster", hello(Forger(f"{work}/other", f"{work}/token").context(server=False)))
    subprocess.run("openssl req -x509 -newkey ed25519 -nodes -days 1 -subj /CN=me -keyout key -out cert", shell=True,
                   cwd=work, check=True, stderr=subprocess.DEVNULL)
    self_made = context()
    self_made.load_cert_chain(f"{work}/cert", f"{work}/key")
    refused("a certificate of one's own", hello(self_made))
    old = Forger(os.path.join(work, "member"), bed.token_file).context(server=False)
    old.minimum_version, old.maximum_version = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_2
    refused("a member with TLS 1.2", hello(old))

    def plain():
        connection = within(space, lambda: socket.create_connection((node.address, PORT), 10))
        connection.sendall(b"GET /v1/layers HTTP/1.1\r\nHost: x\r\n\r\n")
        got = connection.recv(1000)
        if got[:5] == b"HTTP/":
            return got
        raise ConnectionError("no HTTP")

    refused("plain HTTP", plain)


def may_not(bed, asker, layers, proofs):
    """All that a member can ask for, with proofs that are none."""
    manifest = bed[1].json("explain", bed.reference(IMAGE))["manifest"].split(":")[1]
    asked = [("/v1/layers", {"layers": ",".join(layers)}), (f"/v1/profiles/{manifest}", {})]
    for layer in layers:
        asked += [(f"/v1/layers/{layer}/{what}", {}) for what in ("claim", "tree", "index")]
        asked += [(f"/v1/layers/{layer}/bytes", {"class": "fault", "fetch": fetch}) for fetch in "01"]
    count = 0
    for proof in proofs:
        headers = {"Swarmfs-Proof": proof} if proof else {}
        for path, query in asked:
            for repository in (REPOSITORY, f"{REGISTRY}:5000/base", ""):
                status, body, _ = asker.get(bed[1], path, {"repository": repository, **query}, headers, (0, 99))
                assert status in (403, 404), (path, repository, proof, status, body[:200])
                count += 1
        for reference in (bed.reference(IMAGE), f"{REPOSITORY}@sha256:{manifest}"):
            query = {"reference": reference, "platform": "linux/amd64"}
            status, body, _ = asker.get(bed[1], "/v1/manifests", query, headers)
            assert status in (403, 404), (reference, status, body[:200])
            count += 1
    print(f"{count} requests of a member without access: nothing given", flush=True)
    assert bed[1].counted("swarmfs_peer_served_bytes_total") == 0
    assert bed[1].counted("swarmfs_peer_refused_total") > 0


def main():
    need_bed()
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["htpasswd", "-Bbc", f"{folder}/htpasswd", "alice", "s3cret"], check=True,
                       stderr=subprocess.DEVNULL)
        auth = os.path.join(folder, "auth.json")
        with open(auth, "w") as f:
            login = base64.b64encode(b"alice:s3cret").decode()
            json.dump({"auths": {f"{REGISTRY}:5000": {"auth": login}}}, f)
        bed = Bed(3, registry_sections={"auth": f"auth: {{htpasswd: {{realm: r, path: {folder}/htpasswd}}}}\n"})
        for node in (bed[1], bed[2]):
            node.extra = f'[credentials]\nfiles = ["{auth}"]'
        bed[2].peers.append(MEMBER)
        space = bed.add_stranger("member", MEMBER)
        forger = Forger(os.path.join(bed.work, "forger"), bed.token_file)
        bed.start([bed[1]])
        bed[1].pull(IMAGE)
        strangers(bed, space)

        # What n2 shows the member, the member shows n1.
        layers = [layer["digest"].split(":")[1] for layer in bed[1].layers(IMAGE)]
        member = HostileMember(space, MEMBER, forger, {})
        bed.start([bed[2]])
        first, second = bed[1].mount(IMAGE), bed[2].mount(IMAGE)
        wait_for("n2 proves itself to the member", lambda: any("Swarmfs-Proof" in seen[2] for seen in member.seen))
        assert all("s3cret" not in str(seen) and login not in str(seen) for seen in member.seen), "a credential was sent"
        overheard = next(seen[2]["Swarmfs-Proof"] for seen in member.seen if "Swarmfs-Proof" in seen[2])
        found = differences(walk(second), walk(first))
        assert not found, "\n".join(found[:20])
        bed[2].wait_complete(IMAGE)
        total, given = bed.image_bytes(IMAGE), bed[2].bytes_from("peer")
        print(f"n2, with access: {given / total:.0%} from its peer", flush=True)
        assert given > 0.9 * total, (given, total)
        bed[2].terminate()
        bed[1].terminate()
        bed[1].restart()  # its counters begin at nothing
        wait_for("n1 is back", lambda: bed[1].complete(IMAGE))
        may_not(bed, Asker(space, forger.context(server=False)), layers,
                [None, "garbage", overheard, overheard.split(":")[0] + ":" + "0" * 64, ",".join([overheard] * 20)])

        # Nor does a node without credentials come by it, with the registry or without.
        bed.start([bed[3]])
        directory = os.path.join(bed[3].work, "none")
        os.makedirs(directory)
        for what in ("up", "down"):
            failed = bed[3].run("mount", bed.reference(IMAGE), directory, check=False)
            print(f"n3, without access, registry {what}: {failed.stderr.strip().splitlines()[-1]}", flush=True)
            assert failed.returncode == 1 and not os.path.ismount(directory), failed
            bed.registry_down()
        assert bed[3].bytes_from("peer") == 0
        for node in bed.nodes:
            assert "s3cret" not in node.log_text() and login not in node.log_text(), node.name
        member.stop()


if __name__ == "__main__":
    sys.exit(main())
