"""A proxy before a registry that does what registries do on bad days. Runs in the test's process."""
import http.client
import http.server
import os
import socket
import struct
import threading
import time


class Proxy:
    """`rule(method, path, headers)` returns a dict of faults: status, headers, body, redirect, delay (before the header),
    stall_after, cut_after, reset_after, short (bytes that the length says are not there), lengthless, corrupt, whole (the
    Range is ignored). `seen` lists (method, path, headers, status); `given` counts the bytes of bodies."""

    def __init__(self, upstream, rule=lambda method, path, headers: {}, address="127.0.0.1", port=0):
        self.rule, self.seen, self.upstream, self.given = rule, [], upstream, 0
        self.lock = threading.Lock()
        proxy = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *args):
                pass

            def do_GET(self):
                try:
                    proxy.answer(self)
                except (BrokenPipeError, ConnectionError):
                    self.close_connection = True

            do_HEAD = do_GET

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 128

            def handle_error(self, request, client_address):
                pass

        self.server = Server((address, port), Handler)
        self.host = f"{address}:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()

    def answer(self, request):
        fault = self.rule(request.command, request.path, request.headers)
        time.sleep(fault.get("delay", 0))
        if "redirect" in fault or "status" in fault:
            return self.refuse(request, fault)
        host, port = self.upstream.split(":")
        connection = http.client.HTTPConnection(host, int(port), timeout=60)
        # Of equal names one line: skopeo says each media type that it accepts in a line of its own.
        headers = {k: ", ".join(request.headers.get_all(k)) for k in request.headers
                   if k.lower() not in ("connection", "host") and not (k.lower() == "range" and fault.get("whole"))}
        connection.request(request.command, request.path.split("?sig")[0], None, headers)
        response = connection.getresponse()
        self.seen.append((request.command, request.path, dict(request.headers), response.status))
        request.send_response(response.status)
        left = None
        for key, value in response.getheaders():
            if key.lower() == "content-length" and fault.get("lengthless"):
                request.close_connection = True
                continue
            if key.lower() == "content-length" and "short" in fault:
                value = left = max(0, int(value) - fault["short"])
            if key.lower() not in ("connection", "date", "server"):
                request.send_header(key, str(value))
        request.end_headers()
        sent = 0
        while block := response.read(65536)[:left]:
            if fault.get("corrupt"):
                block = bytes([block[0] ^ 1]) + block[1:]
            if "cut_after" in fault and sent + len(block) > fault["cut_after"]:
                request.wfile.write(block[:fault["cut_after"] - sent])
                request.close_connection = True
                request.connection.close()
                return
            if "reset_after" in fault and sent >= fault["reset_after"]:
                return self.reset(request)
            if "stall_after" in fault and sent >= fault["stall_after"]:
                time.sleep(fault.get("stall", 60))
            request.wfile.write(block)
            sent += len(block)
            with self.lock:
                self.given += len(block)
            left = left and left - len(block)

    @staticmethod
    def reset(request):
        request.wfile.flush()
        request.close_connection = True
        request.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        with open(os.devnull, "r+b") as nothing:
            os.dup2(nothing.fileno(), request.connection.fileno())  # the last close, without a FIN before it

    def refuse(self, request, fault):
        status = 307 if "redirect" in fault else fault["status"]
        self.seen.append((request.command, request.path, dict(request.headers), status))
        request.send_response(status)
        if "redirect" in fault:
            request.send_header("Location", fault["redirect"])
        for key, value in fault.get("headers", {}).items():
            request.send_header(key, value)
        body = fault.get("body", b"")
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        if request.command != "HEAD":
            request.wfile.write(body)
