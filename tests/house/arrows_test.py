#!/usr/bin/env python3
"""Which room may include what: ours and third-party. The table is the law; src/README.md explains it."""
import os
import re
import sys

ROOMS = {
    "util": "", "cluster": "util", "io": "util", "http": "util", "oci": "util", "layer": "util", "chunk": "util",
    "cache": "chunk io util", "registry": "oci http chunk util", "fetch": "chunk util",
    "swarm": "cluster http chunk util",
    "content": "fetch layer chunk util", "image": "content fetch layer oci chunk util",
    "fuse": "image content fetch layer chunk util", "control": "util",
    "mirror": "fetch http oci chunk util",
    "containerd": "oci chunk util",
    "daemon": "control containerd mirror fuse image swarm content fetch registry cache http oci layer chunk cluster util",
    # cli makes and shows tokens without a daemon; doctor pulls as a container runtime does.
    "cli": "cluster http oci util",
}
# A library enters through the rooms named here; fmt may be used anywhere.
LIBRARIES = {
    r"liburing\.h": "io", r"curl/": "http", r"boost/": "http", r"(zlib|zstd)": "layer", r"fuse_|fuse\.h|fuse3": "fuse",
    # http: TLS of the peer server, and the name in a peer's certificate, which curl does not tell.
    r"spdlog/|prometheus/": "util", r"openssl/": "util cluster http", r"systemd/": "daemon", r"CLI/": "cli",
    # cli: the files of container runtimes (swarmfs configure).
    r"toml\+\+/": "daemon cli",
    r"libtorrent/": "swarm",
    r"(grpc|grpcpp|google|containerd_api)/": "containerd",
    # daemon: the catalog's documents.
    r"nlohmann/": "cluster oci registry control image swarm mirror daemon cli", r"fmt/": " ".join(ROOMS),
}
# nlohmann's header is large: of the headers only cli's, a program of its own, may bring it in.
HEAVY_IN_HEADERS = {"nlohmann/": "cli"}

source = sys.argv[1]
wrong = []
seen = 0
for folder, _, files in os.walk(os.path.join(source, "src")):
    room = os.path.relpath(folder, os.path.join(source, "src")).split(os.sep)[0]
    for name in files:
        if not name.endswith((".h", ".cpp")):
            continue
        path = os.path.join(folder, name)
        text = open(path).read()
        where = os.path.relpath(path, source)
        if room not in ROOMS:
            wrong.append(f"{where}: room {room} is not in the table")
            continue
        for own in re.findall(r'^#include "([^"]+)"', text, re.M):
            seen += 1
            target = own.split("/")[0]
            if target != room and target not in ROOMS[room].split():
                wrong.append(f"{where}: {room} may not include {own}")
        for system in re.findall(r"^#include <([^>]+)>", text, re.M):
            seen += 1
            for pattern, rooms in LIBRARIES.items():
                if re.match(pattern, system) and room not in rooms.split():
                    wrong.append(f"{where}: {room} may not include <{system}>")
            for heavy, allowed in HEAVY_IN_HEADERS.items():
                if name.endswith(".h") and system.startswith(heavy) and room not in allowed.split():
                    wrong.append(f"{where}: no <{system}> in a header")
        lines = text.count("\n")
        if lines > 600:
            wrong.append(f"{where}: {lines} lines; find the seam")
print("\n".join(wrong) or f"{seen} includes, all along the arrows")
assert seen > 300
sys.exit(1 if wrong else 0)
