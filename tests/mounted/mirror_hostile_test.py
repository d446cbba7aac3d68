#!/usr/bin/env python3
"""The mirror's port under load and abuse: five hundred clients at once, headers that drip, requests that nobody should send
(tests/data/refuse_requests). The daemon answers others meanwhile, and gives back what it took."""
import asyncio
import hashlib
import os
import random
import resource
import socket
import sys
import threading
import time

from mirrored import Mirrored, WritableRegistry, get, push_image
from node import SOURCE, Node, need_fuse, wait_for

CLIENTS = 500
DRIPPING = 600  # fewer than the connections that the mirror has at once
BOUND = 60  # seconds for what takes a moment; a header's limit is 10
MUSEUM = os.path.join(SOURCE, "tests/data/refuse_requests")


def status_of(node, key):
    """In kB."""
    for line in open(f"/proc/{node.process.pid}/status"):
        if line.startswith(key + ":"):
            return int(line.split()[1])
    raise AssertionError(key)


def descriptors(node):
    return len(os.listdir(f"/proc/{node.process.pid}/fd"))


async def pull(port, path, size):
    """The hash of a body, read as it comes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: m\r\nConnection: close\r\n\r\n".encode())
    head = await reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 "), head
    hashed, got = hashlib.sha256(), 0
    while block := await reader.read(65536):
        hashed.update(block)
        got += len(block)
    writer.close()
    assert got == size, (got, size)
    return "sha256:" + hashed.hexdigest()


async def pull_at_once(port, path, size):
    return await asyncio.gather(*(pull(port, path, size) for _ in range(CLIENTS)))


def five_hundred_clients(mirrored, registry):
    """Of a blob that has to be fetched first."""
    layer = random.Random(7).randbytes(1_000_000)
    name = push_image(registry.host, "load", [layer])[2]
    ns = f"?ns={registry.host}"
    assert get(mirrored.port, f"/v2/load/manifests/v1{ns}")[0] == 200
    before, brought = descriptors(mirrored.node), mirrored.registry_bytes()
    for _ in range(2):
        got = asyncio.run(asyncio.wait_for(pull_at_once(mirrored.port, f"/v2/load/blobs/{name}{ns}", len(layer)), 110))
        assert got == [name] * CLIENTS
    # Threads, their stacks, two pieces each. Half as much again as was seen.
    peak = status_of(mirrored.node, "VmHWM")
    print(f"peak of memory: {peak / 1000:.0f} MB", flush=True)
    assert peak < 650_000, peak
    wait_for("descriptors given back", lambda: descriptors(mirrored.node) <= before + 16, BOUND)
    cost = mirrored.registry_bytes() - brought
    assert cost < 5 * len(layer), f"the registry gave {cost} bytes for one blob of {len(layer)}"


def connect(port):
    made = socket.create_connection(("127.0.0.1", port), timeout=BOUND)
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return made


def dripping_headers(mirrored):
    """Byte by byte: they are cut off, and nobody else waits for that."""
    before = descriptors(mirrored.node)
    text = b"GET /v2/ HTTP/1.1\r\nHost: m\r\n" + b"X-Drip: y\r\n" * 1000
    lines = [connect(mirrored.port) for _ in range(DRIPPING)]
    left, at, served, end = set(lines), 0, 0, time.time() + 2 * BOUND
    while left and time.time() < end:
        for line in list(left):
            try:
                line.send(text[at:at + 1])
            except OSError:
                left.discard(line)
        at += 1
        assert get(mirrored.port, "/v2/")[0] == 200, "others are served"
        served += len(left) == DRIPPING
        time.sleep(0.3)
    assert not left, f"{len(left)} of {DRIPPING} still drip after {at} bytes"
    assert served > 0, "nobody was served while all dripped"
    for line in lines:
        line.close()
    wait_for("descriptors given back", lambda: descriptors(mirrored.node) <= before + 16, BOUND)


def say(port, request):
    """All of the answer; the connection must end in time."""
    line = connect(port)
    try:
        line.sendall(request)
        line.shutdown(socket.SHUT_WR)
    except OSError:
        pass  # it was refused before its end
    heard, end = b"", time.time() + BOUND
    try:
        while block := line.recv(65536):
            heard += block
            assert time.time() < end, "the answer has no end"
    except ConnectionError:
        pass
    line.close()
    return heard


def museum(mirrored):
    innocent = say(mirrored.port, open(f"{MUSEUM}/innocent.http", "rb").read())
    assert innocent.startswith(b"HTTP/1.1 200 "), innocent
    names = sorted(name for name in os.listdir(MUSEUM) if name.endswith(".http") and name != "innocent.http")
    assert len(names) > 60, names
    wrong = []
    for name in names:
        heard = say(mirrored.port, open(f"{MUSEUM}/{name}", "rb").read())
        refused = heard == b"" or (heard.startswith(b"HTTP/1.1 4") and heard.count(b"HTTP/1.1 ") == 1)
        if not refused or b"root:" in heard or b"c2VjcmV0" in heard:
            wrong.append((name, heard[:300]))
        assert get(mirrored.port, "/v2/")[0] == 200, name
    assert not wrong, wrong
    assert b"smuggled.example.com" not in open(mirrored.node.log, "rb").read()
    print(len(names), "refused", flush=True)


def museum_at_once(mirrored):
    """All of it by many, over and over, while others are served."""
    requests = [open(f"{MUSEUM}/{name}", "rb").read() for name in sorted(os.listdir(MUSEUM)) if name.endswith(".http")]
    before, failed = descriptors(mirrored.node), []

    def one(seed):
        order = requests[:]
        random.Random(seed).shuffle(order)
        try:
            for request in order:
                say(mirrored.port, request[:random.Random(len(request) + seed).randrange(len(request) + 1)])
        except Exception as error:
            failed.append(repr(error))

    threads = [threading.Thread(target=one, args=(seed,)) for seed in range(16)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        assert get(mirrored.port, "/v2/")[0] == 200
        time.sleep(0.2)
    assert not failed, failed
    wait_for("descriptors given back", lambda: descriptors(mirrored.node) <= before + 16, BOUND)


def main():
    """`mirror_hostile_test.py BUILD [load] [drip] [museum]`; without: all."""
    need_fuse()
    chosen = sys.argv[2:] or ["load", "drip", "museum"]
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    work = Node()
    registry = WritableRegistry(work.work)
    mirrored = Mirrored(registry)
    pid = mirrored.node.process.pid
    try:
        for word, part in (("museum", lambda: (museum(mirrored), museum_at_once(mirrored))),
                           ("load", lambda: five_hundred_clients(mirrored, registry)),
                           ("drip", lambda: dripping_headers(mirrored))):
            if word in chosen:
                began = time.time()
                part()
                print(f"{word}: ok, {time.time() - began:.1f} s", flush=True)
        assert mirrored.node.process.poll() is None and mirrored.node.process.pid == pid, "it lives"
    finally:
        mirrored.close()
        registry.stop()


if __name__ == "__main__":
    sys.exit(main())
