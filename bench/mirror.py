#!/usr/bin/env python3
"""Pulls by `ctr` through the mirror, each against direct pulls on the same links in the same run.
    bench/mirror.py BUILD [cold] [warm] [herd] [once] [--image medium] [--nodes N] [--rounds N]       (default: all; --help)
cold: nobody has the image. The bar is 1.05 of a direct pull's time.
warm: the 2nd to Nth node pull what the first has, one by one, at 1 Gbit/s each, the registry at 100 Mbit/s. The bar is 0.20.
herd: four nodes pull at once. The bar is 1.1 of what a direct pull makes leave the registry, headers and all.
once: a node mounts the image and pulls it through its mirror at the same time. The bar is 1.0 copies.
`fetch` is `ctr content fetch`, `pull` is `ctr images pull`, which unpacks as well."""
import argparse
import os
import shutil
import sys
import time

SOURCE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path[:0] = [os.path.join(SOURCE, folder) for folder in ("tests/bed", "tests/mounted", "tests/peers")]
sys.argv[1] = os.path.abspath(sys.argv[1])
from bed import Bed, drop_caches, together  # noqa: E402
from mirror_client import FETCH, MIRROR, PULL, Client  # noqa: E402
from peers import layer_urls  # noqa: E402

LINKS = {"down_mbit": 1000, "up_mbit": 1000, "registry_mbit": 100, "registry_delay_ms": 5}


def timed(bed, node, command, reference, mirrored):
    client = Client(bed, node)
    drop_caches()
    try:
        return client.seconds(command, reference, mirrored)
    finally:
        client.close()


def row(*cells):
    print("  ".join(str(cell).ljust(width) for cell, width in zip(cells, (6, 6, 34, 10, 8, 60))).rstrip(), flush=True)


def median(numbers):
    return sorted(numbers)[len(numbers) // 2]


def cold(settings):
    """Direct and mirrored by turns: these machines are not the same from minute to minute."""
    bed = Bed(1, [settings.image], config=MIRROR, **LINKS)
    node, reference = bed[1], bed.reference(f"{settings.image}:v1")
    for command in (FETCH, PULL):
        direct, mirrored = [], []
        for _ in range(settings.rounds):
            direct.append(timed(bed, node, command, reference, False))
            bed.start()
            mirrored.append(timed(bed, node, command, reference, True))
            node.terminate()
            shutil.rmtree(os.path.join(node.work, "cache"))
        row("cold", command[1], "direct", f"{median(direct):.1f}", "1.00", " ".join(f"{one:.1f}" for one in direct))
        row("cold", command[1], "mirror", f"{median(mirrored):.1f}", f"{median(mirrored) / median(direct):.2f}",
            f"{' '.join(f'{one:.1f}' for one in mirrored)}; bar 1.05")
    bed.close()


def warm(settings):
    bed = Bed(settings.nodes, [settings.image], config=MIRROR, **LINKS)
    reference = bed.reference(f"{settings.image}:v1")
    direct = {command: timed(bed, bed[1], command, reference, False) for command in (FETCH, PULL)}
    bed.start()
    bed[1].pull(f"{settings.image}:v1")
    for command in (FETCH, PULL):
        row("warm", command[1], "direct", f"{direct[command]:.1f}", "1.00")
    for number, node in enumerate(bed.nodes[1:]):
        command = (FETCH, PULL)[number % 2]
        before = bed.registry_egress()
        took = timed(bed, node, command, reference, True)
        row("warm", command[1], f"{node.name}, through its mirror", f"{took:.1f}", f"{took / direct[command]:.2f}",
            f"bar 0.20; {(bed.registry_egress() - before) / 1e6:.1f} MB left the registry")
    bed.registry_down()
    node = bed[settings.nodes]
    took = timed(bed, node, FETCH, reference, True)
    row("warm", "fetch", f"{node.name} again, registry down", f"{took:.1f}", f"{took / direct[FETCH]:.2f}")
    bed.close()


def herd(settings):
    bed = Bed(4, [settings.image], config=MIRROR, **LINKS)
    reference = bed.reference(f"{settings.image}:v1")
    alone = timed(bed, bed[1], FETCH, reference, False)
    clients = [Client(bed, node) for node in bed.nodes]
    drop_caches()
    before = bed.registry_egress()
    direct = together(lambda client: client.seconds(FETCH, reference, False), clients)
    plain = bed.registry_egress() - before
    for client in clients:
        client.close()
    bed.start()
    clients = [Client(bed, node) for node in bed.nodes]
    drop_caches()
    before = bed.registry_egress()
    ours = together(lambda client: client.seconds(FETCH, reference, True), clients)
    egress, total = bed.registry_egress() - before, layer_urls(bed, settings.image)[1]
    for client in clients:
        client.close()
    bed.close()
    row("herd", "fetch", "one alone, direct", f"{alone:.1f}")
    row("herd", "fetch", "four at once, direct", f"{max(direct):.1f}", "1.00", f"{plain / total:.2f} copies")
    row("herd", "fetch", "four at once, mirror", f"{max(ours):.1f}", f"{max(ours) / max(direct):.2f}",
        f"{egress / total:.2f} copies, {4 * egress / plain:.2f} of one direct: bar 1.10; {max(ours) / alone:.2f} of one alone")


def once(settings):
    bed = Bed(1, [settings.image], config=MIRROR, **LINKS)
    node, reference = bed[1], bed.reference(f"{settings.image}:v1")
    bed.start()
    client = Client(bed, node)

    def mount(_):
        begun = time.time()
        node.mount(f"{settings.image}:v1", "lazy")
        node.wait_complete(f"{settings.image}:v1")
        return time.time() - begun

    drop_caches()
    before = bed.registry_egress()
    filled, pulled = together(lambda job: job(None), [mount, lambda _: client.seconds(FETCH, reference, True)])
    copies = (bed.registry_egress() - before) / bed.image_bytes(f"{settings.image}:v1")
    given = node.bytes_from("registry") / bed.image_bytes(f"{settings.image}:v1")
    client.close()
    bed.close()
    row("once", "fetch", "mount and mirror at once", f"{max(filled, pulled):.1f}", "",
        f"{given:.3f} copies were asked for, {copies:.2f} left the registry, headers and all; bar 1.0")


def main():
    parts = {"cold": cold, "warm": warm, "herd": herd, "once": once}
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("build")
    parser.add_argument("parts", nargs="*", metavar="PART")
    parser.add_argument("--image", default="medium", choices=["small", "medium"])
    parser.add_argument("--nodes", type=int, default=5, help="of warm, the one that has the image counted")
    parser.add_argument("--rounds", type=int, default=3, help="of cold")
    settings = parser.parse_args()
    if unknown := set(settings.parts) - parts.keys():
        parser.error(f"no such part: {', '.join(unknown)}")
    row("part", "ctr", "way", "seconds", "ratio")
    for part in settings.parts or parts:
        parts[part](settings)


if __name__ == "__main__":
    main()
