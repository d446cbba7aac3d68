"""A member of a cluster by certificate files that says it has every layer, and gives garbage."""
import base64
import json
import os
import re
import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlparse

BLOCK = 16384


class Liar:
    """`blob_path`: of a blob, by its hex digest. `served`: how many ranges it gave."""

    def __init__(self, port, authority, name, blob_path):
        self.blob_path, self.served = blob_path, 0
        liar = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def do_GET(self):
                liar.answer(self)

        self.server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.server.daemon_threads, self.server.handle_error = True, lambda *_: None
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.load_cert_chain(*authority.issue(name))
        context.load_verify_locations(authority.certificate)
        context.verify_mode = ssl.CERT_REQUIRED
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True, do_handshake_on_connect=False)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def answer(self, request):
        url = urlparse(request.path)
        query = {key: values[0] for key, values in parse_qs(url.query).items()}
        if url.path == "/v1/layers":
            digests = [d for d in query.get("layers", "").split(",") if d and os.path.exists(self.blob_path(d))]
            news = {"zone": "", "layers": {digest: self.news(digest) for digest in digests}}
            return self.send(request, 200, json.dumps(news).encode())
        match = re.fullmatch(r"/v1/layers/([0-9a-f]{64})/bytes", url.path)
        if not match:
            return self.send(request, 404, b"no\n")
        first, last = map(int, re.fullmatch(r"bytes=(\d+)-(\d+)", request.headers["Range"]).groups())
        self.served += 1
        self.give(request, self.blob_path(match.group(1)), first, last + 1)

    def news(self, digest):
        count = (os.path.getsize(self.blob_path(digest)) + BLOCK - 1) // BLOCK
        bits = bytearray(b"\xff" * ((count + 7) // 8))
        if count % 8:
            bits[-1] = (1 << count % 8) - 1
        return {"size": os.path.getsize(self.blob_path(digest)), "wants": False, "sealed": False,
                "blocks": base64.b64encode(bytes(bits)).decode()}

    @staticmethod
    def give(request, path, first, end):
        request.send_response(206)
        request.send_header("Content-Range", f"bytes {first}-{end - 1}/{os.path.getsize(path)}")
        request.send_header("Content-Length", str(end - first))
        request.end_headers()
        try:
            request.wfile.write(os.urandom(end - first))
        except OSError:
            request.close_connection = True

    @staticmethod
    def send(request, status, body):
        request.send_response(status)
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)

    def close(self):
        self.server.shutdown()
        self.server.server_close()
