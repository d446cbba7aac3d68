#!/usr/bin/env python3
"""containerd pulls through the mirrors of a cluster. All nodes at once: the registry gives about one copy. With the registry
down nodes that never spoke to it pull by tag and by digest. A private image comes from peers on nodes that have no credential
but their client's. A mount and a pull of an image at once: each byte is fetched once.
The only peer that has it dies, hangs, is cut off or gives wrong bytes while a client pulls: it gets all the same, at once."""
import concurrent.futures
import os
import signal
import subprocess
import sys
import tempfile

from bed import Bed, need_bed, together
from mirror_client import FETCH, MIRROR, Client
from node import wait_for

IMAGE = "small:v1"
BAR = 1.6  # of the four that each node on its own would be


def fetch(node, reference=IMAGE, *options):
    client = Client(node.bed, node)
    try:
        client.seconds(FETCH, node.bed.reference(reference), True, *options)
        return client.image()
    finally:
        client.close()


def all_at_once(bed, nodes):
    bed.start(nodes)
    images = together(fetch, nodes)
    assert all(image == images[0] for image in images), images
    copies = sum(node.bytes_from("registry") for node in nodes) / sum(images[0].values())
    print(f"{len(nodes)} at once: {copies:.2f} copies", flush=True)
    assert 0.99 < copies < BAR, copies
    return images[0]


def registry_down(bed, image, nodes):
    bed.registry_down()
    for node, reference in zip(nodes, (IMAGE, f"small@{next(iter(image))}")):
        bed.start([node])
        assert fetch(node, reference) == image, node.name
        assert node.bytes_from("registry") == 0, node.name
        print(f"registry down: {reference}", flush=True)


def mounted_and_pulled():
    bed = Bed(1, config=MIRROR)
    node = bed[1]
    bed.start()

    def mount(_):
        node.mount(IMAGE)
        node.wait_complete(IMAGE)

    image = together(lambda job: job(node), [mount, fetch])[1]
    bed.check_blobs(node, IMAGE)
    layers = bed.image_bytes(IMAGE)
    asked = node.bytes_from("registry")
    print(f"mounted and pulled: {asked / layers:.4f} copies", flush=True)
    assert layers <= asked <= sum(image.values()), (asked, image)
    bed.close()


def given_nothing(node, *options):
    try:
        fetch(node, IMAGE, *options)
    except subprocess.CalledProcessError:
        assert node.bytes_from("peer") == 0 and node.bytes_from("registry") == 0, node.name
        return
    raise AssertionError(f"{node.name}: {options} got the image")


def private():
    """Who may pull it says the registry, of each client; and it gives one copy, to the first."""
    alice = ("--user", "alice:s3cret")
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["htpasswd", "-Bbc", f"{folder}/htpasswd", "alice", "s3cret"], check=True, stderr=subprocess.DEVNULL)
        bed = Bed(3, config=MIRROR, registry_mbit=50,
                  registry_sections={"auth": f"auth: {{htpasswd: {{realm: r, path: {folder}/htpasswd}}}}\n"})
        bed.start()
        image = fetch(bed[1], IMAGE, *alice)
        given_nothing(bed[3])
        given_nothing(bed[3], "--user", "alice:guess")
        assert fetch(bed[2], IMAGE, *alice) == image
        total = sum(image.values())
        first, second = (node.bytes_from("registry") / total for node in bed.nodes[:2])
        print(f"private: {first:.2f} copies to the first node, {second:.2f} to the second", flush=True)
        assert 0.99 < first < 1.01 and second < 0.3, (first, second)
        given_nothing(bed[3])
        # What is here is still a matter of who asks, on a node that has all of it, too.
        for node in bed.nodes[:2]:
            before = node.counted("swarmfs_mirror_bytes_total")
            for options in ((), ("--user", "alice:guess")):
                try:
                    fetch(node, IMAGE, *options)
                except subprocess.CalledProcessError:
                    continue
                raise AssertionError(f"{node.name}: {options} got the image")
            assert node.counted("swarmfs_mirror_bytes_total") == before
        for node in bed.nodes:
            assert "s3cret" not in node.log_text() and "Basic " not in node.log_text(), node.name
        bed.close()


FAULTS = {
    "is killed": lambda bed, giver: giver.kill(),
    "hangs": lambda bed, giver: giver.process.send_signal(signal.SIGSTOP),
    "is cut off": lambda bed, giver: bed.cut(giver),
    "gives wrong bytes": None,  # from the beginning
}


def spoil(bed, giver, image):
    """A bit of each block of the image's longest layer, on the disk of the giver, which hashed it, if not before it was killed."""
    layer = max(image, key=image.get)
    tree = f"{giver.work}/cache/docs/tree/{layer.split(':')[1]}"
    wait_for("the giver has hashed it", lambda: os.path.exists(tree), 60)
    for offset in range(0, image[layer], 256 * 1024):
        bed.corrupt(giver, layer.split(":")[1], offset)


def a_peer_fails():
    bed = Bed(1 + len(FAULTS), config=MIRROR, up_mbit=100)
    giver = bed[1]
    bed.start([giver])
    image = fetch(giver)
    total = sum(image.values())
    for (what, fault), taker in zip(FAULTS.items(), bed.nodes[1:]):
        bed.start([taker])
        if fault is None:
            spoil(bed, giver, image)
        with concurrent.futures.ThreadPoolExecutor() as pool:
            got = pool.submit(fetch, taker)
            if fault:
                wait_for("bytes of the peer", lambda: taker.bytes_from("peer") > total / 10)
                fault(bed, giver)
            assert got.result(120) == image, what
        from_peer, from_registry = taker.bytes_from("peer") / total, taker.bytes_from("registry") / total
        print(f"a peer {what}: {from_peer:.2f} of the image came from it, {from_registry:.2f} from the registry", flush=True)
        # Who gives wrong bytes at once has given nothing else.
        met = from_peer > 0.05 if fault else "its bytes contradict its own claim" in taker.log_text()
        assert met and from_registry > 0.1, what
        taker.terminate()
        giver.process.send_signal(signal.SIGCONT)
        if what == "is killed":
            bed.start([giver])
        bed.heal(giver)
    bed.close()


def main():
    need_bed()
    a_peer_fails()
    private()
    mounted_and_pulled()
    bed = Bed(6, config=MIRROR, registry_mbit=100)  # or a node has it all before it hears of another
    image = all_at_once(bed, bed.nodes[:4])
    registry_down(bed, image, bed.nodes[4:])


if __name__ == "__main__":
    sys.exit(main())
