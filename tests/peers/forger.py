"""Certificates and claims for members that are no nodes of ours: everything follows from the cluster's token (design.md
section 4), so whoever has it can do this. Ed25519 by the openssl program."""
import base64
import hashlib
import hmac
import json
import os
import ssl
import subprocess
import tempfile
import time

BLOCK = 16384
ED25519 = bytes.fromhex("302e020100300506032b657004220420")  # PKCS #8 before the 32 bytes of a seed


def openssl(*words, stdin=b""):
    return subprocess.run(["openssl", *words], input=stdin, check=True, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE).stdout


def derive(token_file, purpose):
    """cluster::derive of the first token."""
    text = next(line.strip() for line in open(token_file) if line.strip() and not line.startswith("#"))
    encoded = text.split(":")[1]
    secret = base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4))[:32]
    extracted = hmac.digest(b"swarmfs-cluster-1", secret, "sha256")
    return hmac.digest(extracted, purpose + b"\x01", "sha256")


def public_der(key):
    return openssl("pkey", "-in", key, "-pubout", "-outform", "DER")


class Forger:
    """A member of the cluster of `token_file`, with a key of its own; `certificate`, `key` and `ca` are files."""

    def __init__(self, work, token_file):
        os.makedirs(work)
        self.key, self.certificate = os.path.join(work, "node.key"), os.path.join(work, "node.pem")
        ca_key, ca, request, extensions = (os.path.join(work, n) for n in ("ca.key", "ca.pem", "node.csr", "extensions"))
        openssl("pkey", "-inform", "DER", "-out", ca_key, stdin=ED25519 + derive(token_file, b"ca key"))
        name = "swarmfs cluster " + hashlib.sha256(public_der(ca_key)).hexdigest()[:16]
        openssl("req", "-x509", "-new", "-key", ca_key, "-subj", "/CN=" + name, "-days", "9", "-out", ca)
        openssl("genpkey", "-algorithm", "ED25519", "-out", self.key)
        self.node_id = hashlib.sha256(public_der(self.key)).hexdigest()[:32]
        openssl("req", "-new", "-key", self.key, "-subj", "/CN=" + self.node_id, "-out", request)
        with open(extensions, "w") as f:
            f.write("basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\n"
                    "extendedKeyUsage=serverAuth,clientAuth\nsubjectAltName=DNS:*,DNS:swarmfs\n"
                    "subjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid:always\n")
        openssl("x509", "-req", "-in", request, "-CA", ca, "-CAkey", ca_key, "-set_serial", str(time.time_ns()),
                "-days", "1", "-extfile", extensions, "-out", self.certificate)
        self.ca = ca

    def context(self, server):
        """TLS 1.3 as this member; the other side is believed whatever it shows."""
        made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if server else ssl.PROTOCOL_TLS_CLIENT)
        made.minimum_version = ssl.TLSVersion.TLSv1_3
        made.check_hostname = False
        made.verify_mode = ssl.CERT_NONE
        made.load_cert_chain(self.certificate, self.key)
        return made

    def claim(self, layer, size, root, index):
        """JSON of cluster::Claim, signed by this member; digests in hex."""
        now = int(time.time())
        text = (f"swarmfs-claim-1\nlayer sha256:{layer}\nsize {size}\nroot sha256:{root}\nindex sha256:{index}\n"
                f"signed_at {now}\n")
        with tempfile.NamedTemporaryFile("w", dir=os.path.dirname(self.key)) as f:  # Ed25519 wants a file, for its length
            f.write(text)
            f.flush()
            signature = openssl("pkeyutl", "-sign", "-rawin", "-inkey", self.key, "-in", f.name)
        return json.dumps({"version": 1, "layer": "sha256:" + layer, "size": size, "root": "sha256:" + root,
                           "index": "sha256:" + index, "signed_at": now, "certificate": open(self.certificate).read(),
                           "signature": base64.b64encode(signature).decode()})


def leaves(data):
    return b"".join(hashlib.sha256(data[at:at + BLOCK]).digest() for at in range(0, len(data), BLOCK))


def root_of(leaf_bytes):
    """BEP 52: leaves of zeros up to a power of two."""
    nodes = [leaf_bytes[at:at + 32] for at in range(0, len(leaf_bytes), 32)]
    padding = bytes(32)
    while len(nodes) > 1:
        if len(nodes) % 2:
            nodes.append(padding)
        nodes = [hashlib.sha256(nodes[i] + nodes[i + 1]).digest() for i in range(0, len(nodes), 2)]
        padding = hashlib.sha256(padding + padding).digest()
    return nodes[0].hex()
