"""Docker's token service, for tests."""
import base64
import http.server
import json
import subprocess
import threading
import time
import urllib.parse


def sh(command, cwd):
    subprocess.run(command, shell=True, cwd=cwd, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class TokenServer:
    """Alice may pull, others may not. `given`: who got a token (whether alice, the User-Agent)."""

    def __init__(self, work):
        sh("openssl req -x509 -newkey rsa:2048 -nodes -days 30 -subj /CN=issuer -keyout token.key -out token.crt", work)
        der = subprocess.check_output(["openssl", "x509", "-in", f"{work}/token.crt", "-outform", "DER"])
        self.asked, self.strangers, self.given = [], 0, {}
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def log_message(self, *args):
                pass

            def do_GET(self):
                query = urllib.parse.parse_qs(urllib.parse.urlparse(self.path).query)
                auth = self.headers.get("Authorization", "")
                alice = auth == "Basic " + base64.b64encode(b"alice:s3cret").decode()
                outer.asked.append((query, alice))
                outer.strangers += not auth
                access = [{"type": "repository", "name": scope.split(":")[1], "actions": ["pull"] if alice else []}
                          for scope in query.get("scope", [])]
                now = int(time.time())
                header = {"typ": "JWT", "alg": "RS256", "x5c": [base64.b64encode(der).decode()]}
                claims = {"iss": "issuer", "sub": "alice", "aud": query["service"][0], "exp": now + 300, "nbf": now - 10,
                          "iat": now, "jti": str(len(outer.asked)), "access": access}
                text = b64(json.dumps(header).encode()) + "." + b64(json.dumps(claims).encode())
                signature = subprocess.run(["openssl", "dgst", "-sha256", "-sign", f"{work}/token.key"],
                                           input=text.encode(), stdout=subprocess.PIPE, check=True).stdout
                token = text + "." + b64(signature)
                outer.given[token] = (alice, self.headers.get("User-Agent", ""))
                body = json.dumps({"token": token, "expires_in": 300}).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def do_POST(self):
                self.send_error(405)  # OAuth 2; clients come back with GET

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        self.url = f"http://127.0.0.1:{server.server_port}/token"
        threading.Thread(target=server.serve_forever, daemon=True).start()

    def section(self, work):
        """Of docker-registry's YAML."""
        return f"auth: {{token: {{realm: '{self.url}', service: reg, issuer: issuer, rootcertbundle: {work}/token.crt}}}}\n"
