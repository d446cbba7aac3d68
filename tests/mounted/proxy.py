"""A proxy before a registry that does what registries do on bad days. Runs in the test's process."""
import http.client
import http.server
import threading
import time


class Proxy:
    """`rule(method, path, headers)` returns a dict of faults: status, headers, redirect, stall_after, cut_after,
    corrupt, whole (the Range is ignored). `seen` lists (method, path, headers, status)."""

    def __init__(self, upstream, rule=lambda method, path, headers: {}):
        self.rule, self.seen, self.upstream = rule, [], upstream
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

        self.server = Server(("127.0.0.1", 0), Handler)
        self.host = f"127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def answer(self, request):
        fault = self.rule(request.command, request.path, request.headers)
        if "redirect" in fault or "status" in fault:
            return self.refuse(request, fault)
        host, port = self.upstream.split(":")
        connection = http.client.HTTPConnection(host, int(port), timeout=60)
        headers = {k: v for k, v in request.headers.items()
                   if k.lower() not in ("connection", "host") and not (k.lower() == "range" and fault.get("whole"))}
        connection.request(request.command, request.path.split("?sig")[0], None, headers)
        response = connection.getresponse()
        self.seen.append((request.command, request.path, dict(request.headers), response.status))
        request.send_response(response.status)
        for key, value in response.getheaders():
            if key.lower() not in ("connection", "date", "server"):
                request.send_header(key, value)
        request.end_headers()
        sent = 0
        while block := response.read(65536):
            if fault.get("corrupt"):
                block = bytes([block[0] ^ 1]) + block[1:]
            if "cut_after" in fault and sent + len(block) > fault["cut_after"]:
                request.wfile.write(block[:fault["cut_after"] - sent])
                request.close_connection = True
                request.connection.close()
                return
            if "stall_after" in fault and sent >= fault["stall_after"]:
                time.sleep(fault.get("stall", 60))
            request.wfile.write(block)
            sent += len(block)

    def refuse(self, request, fault):
        status = 307 if "redirect" in fault else fault["status"]
        self.seen.append((request.command, request.path, dict(request.headers), status))
        request.send_response(status)
        if "redirect" in fault:
            request.send_header("Location", fault["redirect"])
        for key, value in fault.get("headers", {}).items():
            request.send_header(key, value)
        request.send_header("Content-Length", "0")
        request.end_headers()
