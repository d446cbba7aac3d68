#!/usr/bin/env python3
"""A stock client gets a whole layer from our session by the torrent that we make of it, and gives it whole to another one
of ours.
    stock_client_test.py STOCK_PEER     (needs python3-libtorrent)"""
import hashlib
import os
import subprocess
import sys
import tempfile
import time

DEBIAN_PYTHON = "/usr/bin/python3"  # the module is of Debian's, whatever PATH says
try:
    import libtorrent
except ImportError:
    if os.path.realpath(sys.executable) == os.path.realpath(DEBIAN_PYTHON) or not os.path.exists(DEBIAN_PYTHON):
        print("skipped: no python3-libtorrent")
        sys.exit(77)
    os.execv(DEBIAN_PYTHON, [DEBIAN_PYTHON, *sys.argv])

PATIENCE = 60
OURS, OURS_TOO, THEIRS = "127.0.0.71", "127.0.0.72", "127.0.0.73"


class StockPeer(subprocess.Popen):
    """Of ours: tests/torrent/stock_peer.cpp."""

    def __init__(self, *words):
        super().__init__([sys.argv[1], *map(str, words)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.port = int(self.stdout.readline())

    def digest(self):
        return self.stdout.readline().strip()

    def end(self):
        self.communicate("")
        assert self.returncode == 0, self.returncode


def wait_for(what, condition):
    until = time.time() + PATIENCE
    while not condition():
        assert time.time() < until, f"{what}: not within {PATIENCE} s"
        time.sleep(0.05)


def main():
    client = libtorrent.session({
        "listen_interfaces": f"{THEIRS}:0", "outgoing_interfaces": THEIRS, "enable_dht": False, "enable_lsd": False,
        "enable_upnp": False, "enable_natpmp": False})
    with tempfile.TemporaryDirectory() as folder:
        metainfo = os.path.join(folder, "layer.torrent")
        seed = StockPeer("serve", OURS, metainfo)
        digest = seed.digest()
        torrent = libtorrent.torrent_info(metainfo)
        assert torrent.name() == digest, (torrent.name(), digest)
        handle = client.add_torrent({"ti": torrent, "save_path": folder})
        handle.connect_peer((OURS, seed.port))
        wait_for("the stock client to have the layer", lambda: handle.status().is_seeding)
        seed.end()
        with open(os.path.join(folder, digest), "rb") as f:
            content = f.read()
        assert "sha256:" + hashlib.sha256(content).hexdigest() == digest

        wait_for("the stock client to listen", lambda: client.listen_port() != 0)
        node = StockPeer("fetch", OURS_TOO, THEIRS, client.listen_port())
        assert node.digest() == digest
        wait_for("the stock client to have given it", lambda: handle.status().all_time_upload >= len(content))
        node.end()
        print(f"{len(content)} bytes each way with libtorrent {libtorrent.__version__}")


main()
