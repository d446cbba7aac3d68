"""A member of the cluster that speaks the demand lane and says what it likes; and one that asks for what it likes."""
import base64
import hashlib
import http.client
import http.server
import json
import re
import socket
import threading
import time
import urllib.parse

from bed import PORT
from forger import BLOCK, leaves, root_of
from netns import within


class Holding:
    """What a member tells of one layer: the truth. Lies override a method."""

    def __init__(self, data, index, windows):
        self.data, self.index_bytes, self.windows = data, index, windows

    def tree(self):
        return leaves(self.data)

    def root(self):
        return root_of(leaves(self.data))

    def index(self):
        return self.index_bytes

    def claimed_index(self):
        return hashlib.sha256(self.index()).hexdigest()

    def send(self, request, first, last):
        """Answers bytes first…last (inclusive)."""
        self.send_head(request, first, last)
        request.wfile.write(self.data[first:last + 1])

    def send_windows(self, request, first, last):
        """Those bytes of the index's windows."""
        self.send_head(request, first, last)
        request.wfile.write(self.windows[first:last + 1])

    def send_head(self, request, first, last, length=None):
        request.send_response(206)
        request.send_header("Content-Range", f"bytes {first}-{last}/{len(self.data)}")
        if length != "chunked":
            request.send_header("Content-Length", str(last + 1 - first if length is None else length))
        else:
            request.send_header("Transfer-Encoding", "chunked")
        request.end_headers()


class HostileMember:
    """Listens in a namespace of the bed. `holdings`: layer (hex) → Holding. `seen`: (path, query, headers) in order.
    `manifest`: (bytes, digest) for whoever asks."""

    def __init__(self, space, address, forger, holdings, manifest=None):
        self.address, self.forger, self.holdings, self.manifest, self.seen = address, forger, holdings, manifest, []
        self.stopping = threading.Event()
        member, context = self, forger.context(server=True)

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            stopping = self.stopping

            def log_message(self, *args):
                pass

            def do_GET(self):
                try:
                    member.answer(self)
                except OSError:
                    self.close_connection = True

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 128

            def get_request(self):
                connection, where = super().get_request()
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                return context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False), where

            def handle_error(self, request, client_address):
                pass

        self.server = within(space, lambda: Server((address, PORT), Handler))
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def answer(self, request):
        parts = urllib.parse.urlsplit(request.path)
        query = dict(urllib.parse.parse_qsl(parts.query))
        self.seen.append((parts.path, query, dict(request.headers)))
        found = re.fullmatch(r"/v1/layers/([0-9a-f]{64})/(bytes|windows|claim|tree|index)", parts.path)
        if parts.path == "/v1/layers":
            return self.say(request, self.news(query).encode())
        if parts.path == "/v1/manifests" and self.manifest:
            return self.say(request, *self.manifest)
        if not found or found[1] not in self.holdings:
            return self.say(request, b"not here\n", status=404)
        holding = self.holdings[found[1]]
        if found[2] == "claim":
            claim = self.forger.claim(found[1], len(holding.data), holding.root(), holding.claimed_index())
            return self.say(request, claim.encode())
        if found[2] not in ("bytes", "windows"):
            return self.say(request, holding.tree() if found[2] == "tree" else holding.index())
        first, last = map(int, re.fullmatch(r"bytes=(\d+)-(\d+)", request.headers["Range"]).groups())
        if found[2] == "windows":
            return holding.send_windows(request, first, last)
        holding.send(request, first, min(last, len(holding.data) - 1))

    def news(self, query):
        told = {}
        for layer in query.get("layers", "").split(","):
            if layer in self.holdings:
                size = len(self.holdings[layer].data)
                count = -(-size // BLOCK)
                bits = ((1 << count) - 1).to_bytes((count + 7) // 8, "little")
                told[layer] = {"size": size, "wants": False, "sealed": self.holdings[layer].root() is not None,
                               "blocks": base64.b64encode(bits).decode()}
        return json.dumps({"zone": "", "layers": told})

    @staticmethod
    def say(request, body, digest=None, status=200):
        request.send_response(status)
        request.send_header("Content-Length", str(len(body)))
        if digest:
            request.send_header("Swarmfs-Digest", digest)
        request.end_headers()
        request.wfile.write(body)

    def asked(self, what):
        """How often a document of any layer was asked for: "bytes", "windows", "claim", "tree", "index"."""
        return sum(path.endswith("/" + what) for path, _, _ in self.seen)

    def stop(self):
        self.stopping.set()
        self.server.shutdown()
        self.server.server_close()


def flipped(data):
    """With a wrong bit in every block."""
    body = bytearray(data)
    for at in range(0, len(body), BLOCK // 2):
        body[at] ^= 1
    return body


class FlippedBits(Holding):
    """The truth about the root, and bytes with a wrong bit in every block."""

    def send(self, request, first, last):
        self.send_head(request, first, last)
        request.wfile.write(flipped(self.data[first:last + 1]))


class WrongWindows(Holding):
    """The true index, and windows with a wrong bit in every block."""

    def send_windows(self, request, first, last):
        self.send_head(request, first, last)
        request.wfile.write(flipped(self.windows[first:last + 1]))


class NoWindows(Holding):
    """Vouches for an index and has not the windows that belong to it: no lie, but much work for who believed it."""

    def send_windows(self, request, first, last):
        HostileMember.say(request, b"not here\n", status=404)


class Unsealed(Holding):
    """Bytes of a layer that it has no claim for."""

    def root(self):
        return None


class FlippedUnsealed(FlippedBits, Unsealed):
    """Wrong bytes that no tree can prove wrong before the layer is whole."""


class ShortBody(Holding):
    """Promises all, hangs up after half."""

    def send(self, request, first, last):
        self.send_head(request, first, last)
        request.wfile.write(self.data[first:first + (last + 1 - first) // 2])
        request.close_connection = True


class EmptyBody(Holding):
    """Says yes and gives nothing."""

    def send(self, request, first, last):
        self.send_head(request, first, last, 0)


class EndlessBody(Holding):
    """Right at first, and then more than was asked for, for as long as somebody takes it."""
    sent = 0

    def send(self, request, first, last):
        self.send_head(request, first, last, "chunked")
        body, deadline = self.data[first:last + 1], time.time() + 20
        while time.time() < deadline:
            request.wfile.write(b"%x\r\n%s\r\n" % (len(body), body))
            self.sent += len(body)
            body = bytes(1 << 20)


class Stall(Holding):
    """Answers with a header and some bytes, and never goes on."""

    def send(self, request, first, last):
        self.send_head(request, first, last)
        request.wfile.write(self.data[first:first + min(1000, last + 1 - first)])
        request.wfile.flush()
        request.stopping.wait(60)


class Silence(Holding):
    """Takes the request and says nothing at all."""

    def send(self, request, first, last):
        request.stopping.wait(60)


class WrongTree(Holding):
    """A hash tree that does not make the claimed root."""

    def tree(self):
        made = bytearray(leaves(self.data))
        made[5] ^= 1
        return bytes(made)


class FalseRoot(Holding):
    """Signs a root that is not the layer's, with a tree that fits it; the bytes are the layer's."""

    def tree(self):
        return leaves(bytes([self.data[0] ^ 1]) + self.data[1:])

    def root(self):
        return root_of(self.tree())


class FalseLayer(Holding):
    """A lie from beginning to end: a signed root, a tree that fits it and bytes that fit the tree, of another layer of
    the same size. Only the layer's digest gives it away, when all of it is there."""

    def __init__(self, data, index, windows):
        middle = len(data) // 2  # the tail of the archive still makes sense
        super().__init__(data[:middle] + bytes([data[middle] ^ 0x10]) + data[middle + 1:], index, windows)


class SwappedIndex(Holding):
    """An index that is not the one it claims."""

    def claimed_index(self):
        return hashlib.sha256(b"another").hexdigest()


class DamagedIndex(Holding):
    """An index that cannot be read, claimed as such."""

    def index(self):
        return self.index_bytes[:-40] + bytes(40)


class UnknownIndex(Holding):
    """An index of a version that nobody knows: no lie, and of no use."""

    def index(self):
        return b"swfsidx9" + bytes(1000)


class ForeignIndex(Holding):
    """Another layer's index, claimed as this one's."""
    other = None  # set by the test

    def index(self):
        return self.other


class Asker:
    """Asks nodes over the demand lane. `context`: whose TLS; `space`: the namespace it asks from."""

    def __init__(self, space, context):
        self.space, self.context = space, context

    def get(self, node, path, query=None, headers=None, byte_range=None, method="GET"):
        """(status, body, headers); OSError where there is no connection to speak of."""
        connection = http.client.HTTPSConnection(node.address, PORT, timeout=30, context=self.context)
        within(self.space, connection.connect)
        headers = dict(headers or {})
        if byte_range:
            headers["Range"] = f"bytes={byte_range[0]}-{byte_range[1]}"
        if query:
            path += "?" + urllib.parse.urlencode(query)
        try:
            connection.request(method, path, headers=headers)
            response = connection.getresponse()
            return response.status, response.read(), dict(response.getheaders())
        finally:
            connection.close()
