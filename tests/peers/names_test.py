#!/usr/bin/env python3
"""A manifest of a public repository names a private layer that lies in a node's cache, and passes the node's mirror: members
that ask in that repository's name hear what they hear of a layer that is not there. A repository that gives a block of it
to the node is believed, also when the node comes back. What a tag is members hear however often it was asked for."""
import base64
import hashlib
import json
import os
import subprocess
import sys
import tempfile

from certificates import Authority
from mirror_proof_test import Claimant, blobs_of, checked, login, private_registry, pull
from mirrored import Mirrored, WritableRegistry, get, push_index
from node import Node, free_port, images, need_fuse, wait_for

PATIENCE = 60


class Member:
    """Asks a node's demand lane as a member of its cluster that has no access to the private registry."""

    def __init__(self, authority, address):
        self.certificate, self.key = authority.issue("curious")
        self.address = address

    def get(self, path, repository, *words):
        """Status and body."""
        url = f"https://{self.address}{path}{'&' if '?' in path else '?'}repository={repository}"
        done = subprocess.run(["curl", "-sk", "--max-time", "20", "--cert", self.certificate, "--key", self.key, *words,
                               "-w", "\n%{http_code}", url], check=True, stdout=subprocess.PIPE)
        body, _, status = done.stdout.rpartition(b"\n")
        return int(status), body

    def news(self, repository, layers):
        status, body = self.get("/v1/layers?layers=" + ",".join(layers), repository)
        assert status == 200, (status, body)
        return json.loads(body)["layers"]

    def layer(self, repository, name):
        """The answers to all that can be asked of one."""
        asked = {what: self.get(f"/v1/layers/{name}/{what}", repository) for what in ("claim", "tree", "index")}
        windows = f"/v1/layers/{name}/windows?name={name}&class=fault"
        asked["windows"] = self.get(windows, repository, "-r", "0-99")
        for cls in ("fault", "backfill"):
            asked[cls] = self.get(f"/v1/layers/{name}/bytes?class={cls}&fetch=0", repository, "-r", "0-99")
        return asked


def said(news):
    """What news say of a layer's bytes."""
    blocks = base64.b64decode(news["blocks"])
    return any(blocks), news["sealed"], news["wants"], len(blocks) * 8 * 16384 >= news["size"]


def no_profile(member, repository):
    """Whose registry has not yet said that anybody may have it gets no answer at all."""
    status, body = member.get(f"/v1/profiles/{'0' * 64}", repository)
    assert status in (403, 404), (status, body)
    return status == 404


def named_by(mirrored, claimant, repository):
    status, _, body = get(mirrored.port, f"/v2/{repository}/manifests/v1?ns={claimant.host}")
    assert status == 200, (status, body)


def nothing_of(member, repository, layers, absent):
    news = member.news(repository, [*layers, absent])
    assert absent in news and said(news[absent])[:2] == (False, False), news
    for name, size in layers.items():
        assert name in news and said(news[name]) == said(news[absent]) and news[name]["size"] == size, (name, news)
    expected = member.layer(repository, absent)
    assert {status for status, _ in expected.values()} <= {404}, expected
    for name in layers:
        assert member.layer(repository, name) == expected, name
        status, body = member.get(f"/v1/layers/{name}/bytes?class=fault&fetch=1", repository, "-r", "0-99")
        assert status // 100 in (4, 5), (status, body)


def all_of(member, repository, truth):
    """Of the layers: its config is no layer of ours to give by claim."""
    for name, body in truth.items():
        last = min(len(body), 100) - 1
        there = f"/v1/layers/{name}/bytes?class=fault&fetch=0"
        wait_for("what is shown to be its is given", lambda: member.get(there, repository, "-r", f"0-{last}")[0] == 206, PATIENCE)
        assert member.get(there, repository, "-r", f"0-{last}")[1] == body[:last + 1], name


def what_a_tag_is(mirrored, member):
    """An index, and what it names, by tag and by digest: the second time the node knows what it names."""
    registry = WritableRegistry(mirrored.node.work)
    try:
        index, (child, _) = push_index(registry.host, "multi")
        for _ in range(2):
            assert get(mirrored.port, f"/v2/multi/manifests/v1?ns={registry.host}")[2] == index
            for method in ("HEAD", "GET"):
                assert get(mirrored.port, f"/v2/multi/manifests/{child}?ns={registry.host}", method=method)[0] == 200
        asked = f"/v1/manifests?reference={registry.host}/multi:v1&platform=linux/amd64"
        wait_for("the tag is known", lambda: member.get(asked, f"{registry.host}/multi")[0] == 200, PATIENCE)
        given = member.get(asked, f"{registry.host}/multi")[1]
        assert "sha256:" + hashlib.sha256(given).hexdigest() == child, given
    finally:
        registry.stop()
    print("an index, twice: given by its tag", flush=True)


def main():
    need_fuse()
    folder, place = images("small"), Node()
    work = tempfile.mkdtemp(prefix="swarmfs-names-")
    authority, address = Authority(work, "cluster"), f"127.0.0.1:{free_port()}"
    private = private_registry(folder, place.work, "alice")
    with open(f"{work}/password", "w") as f:
        f.write("s3cret\n")
    mirrored = Mirrored(private, authority.section("holder", address, []) + f'[[registry]]\nhost = "{private.host}"\n'
                        f'username = "alice"\npassword_file = "{work}/password"\n')
    claimant, member = Claimant(), Member(authority, address)
    try:
        secret = pull(mirrored, private, "v1", login("alice"))
        config = blobs_of(private, "v1", login("alice"))[0]["digest"]
        checked(mirrored, len(secret) - 1)
        truth = {name.split(":")[1]: body for name, body in secret.items()}
        layers = {name: len(body) for name, body in truth.items()}
        assert member.get(f"/v1/layers/{next(iter(layers))}/claim", f"{private.host}/small")[0] == 403
        profile = os.path.join(mirrored.node.work, "cache/docs/profile", "0" * 64)  # of some image
        os.makedirs(os.path.dirname(profile), exist_ok=True)
        with open(profile, "w") as f:
            f.write("{}")

        absent = hashlib.sha256(b"nobody has it").hexdigest()
        claimant.blobs = {"sha256:" + name: size for name, size in {**layers, absent: 1234567}.items()}
        claimant.truth = secret
        for claimant.mode in ("absent", "wrong"):
            repository = f"{claimant.host}/{claimant.mode}"
            named_by(mirrored, claimant, claimant.mode)
            wait_for("it is known to be public", lambda: no_profile(member, repository), PATIENCE)
            for _ in range(2):
                nothing_of(member, repository, layers, absent)
            print(f"{claimant.mode}: nothing is given, {len(claimant.ranges)} ranges asked for", flush=True)

        claimant.mode = "right"
        named_by(mirrored, claimant, "holds")
        all_of(member, f"{claimant.host}/holds", truth)
        print("a repository that holds it: given", flush=True)
        document = f"{mirrored.node.work}/cache/docs/repository/{claimant.host.replace(':', '%3A')}%2Fholds"
        wait_for("it is remembered", lambda: len(json.load(open(document))["shown"]) == len(layers), PATIENCE)
        claimant.mode = "absent"
        asked = len([one for one in claimant.ranges if one])
        mirrored.node.terminate()
        mirrored.node.start()
        all_of(member, f"{claimant.host}/holds", truth)
        assert len([one for one in claimant.ranges if one]) == asked, f"it showed so once: {claimant.ranges[-5:]}"
        for name in layers:
            if "sha256:" + name != config:
                assert member.layer(f"{claimant.host}/holds", name)["claim"][0] == 200, name
        print("after a restart: as before", flush=True)
        what_a_tag_is(mirrored, member)
    finally:
        mirrored.close()
        claimant.stop()
        private.stop()
        place.close()
        subprocess.run(["rm", "-rf", work], check=True)


if __name__ == "__main__":
    sys.exit(main())
