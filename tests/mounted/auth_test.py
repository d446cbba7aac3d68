#!/usr/bin/env python3
"""Private registries: basic auth from auth.json, bearer tokens with scope, TLS with a CA of one's own."""
import base64
import hashlib
import json
import os
import sys
import urllib.request

from node import Node, Registry, SWARMFS, free_port, images, need_fuse, wait_for
from token_server import TokenServer, sh


def catalog_knows(node, open_host, expected):
    """Which repositories are public, as the registries themselves say, and what proves a pull of each."""
    def get(path):
        request = urllib.request.Request(f"http://{open_host}/v2/small/{path}",
                                         headers={"Accept": "application/vnd.oci.image.manifest.v1+json"})
        return urllib.request.urlopen(request).read()

    manifest = get("manifests/v1")
    config = get("blobs/" + json.loads(manifest)["config"]["digest"])
    secret = hashlib.sha256(b"swarmfs-pull-proof-1" + manifest + config).hexdigest()

    def known(host):
        name = (host + "/small").replace("/", "%2F").replace(":", "%3A")
        path = os.path.join(node.work, "cache/docs/repository", name)
        return json.load(open(path)) if os.path.exists(path) else {"manifests": []}

    for host, public in expected.items():
        wait_for(f"the catalog on {host}", lambda: "public" in known(host) and "secret" in known(host)["manifests"][0])
        assert known(host)["public"]["is"] == public, (host, known(host))
        assert known(host)["manifests"][0]["manifest"].encode() == manifest
        assert known(host)["manifests"][0]["secret"] == secret, host
        print(host, "is", "public" if public else "closed")


def main():
    need_fuse()
    folder = images("small")
    node = Node()
    auth = os.path.join(node.work, "auth.json")
    tls = os.path.join(node.work, "tls")
    os.makedirs(tls)
    sh("htpasswd -Bbc htpasswd alice s3cret", node.work)
    tokens = TokenServer(node.work)
    basic = Registry(folder, node.work, auth=f"auth: {{htpasswd: {{realm: r, path: {node.work}/htpasswd}}}}\n")
    token = Registry(folder, node.work, auth=tokens.section(node.work))
    sh("openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30 -subj /CN=ca -keyout ca.key "
       "-out ca.crt -addext basicConstraints=critical,CA:TRUE && openssl req -newkey ec -pkeyopt "
       "ec_paramgen_curve:prime256v1 -nodes -subj /CN=localhost -keyout srv.key -out srv.csr && printf "
       "'subjectAltName=DNS:localhost,IP:127.0.0.1' > san && openssl x509 -req -in srv.csr -CA ca.crt -CAkey ca.key "
       "-CAcreateserial -days 30 -out srv.crt -extfile san", tls)
    open_to_all = Registry(folder, node.work)
    secure = Registry(folder, node.work, port=free_port(), http=f", tls: {{certificate: {tls}/srv.crt, key: {tls}/srv.key}}")

    def credentials(password):
        login = base64.b64encode(f"alice:{password}".encode()).decode()
        json.dump({"auths": {host: {"auth": login} for host in (basic.host, token.host, open_to_all.host)}}, open(auth, "w"))

    sh(f"{SWARMFS} cluster init --output {node.work}/token", node.work)
    config = (f'[credentials]\nfiles = ["{auth}"]\n'
              f'[cluster]\ntoken_file = "{node.work}/token"\nlisten = ["127.0.0.1:{free_port()}"]\ndht = false\n'
              f'[[registry]]\nhost = "localhost:{secure.port}"\nplain_http = false\n')
    credentials("wrong")
    node.configure(config=config)
    node.start()
    directory = os.path.join(node.work, "refused")
    os.makedirs(directory)
    for host in (basic.host, token.host):
        failed = node.run("mount", f"{host}/small:v1", directory, check=False)
        print("refused:", failed.stderr.strip())
        assert failed.returncode == 1 and host in failed.stderr, failed
        assert "s3cret" not in failed.stderr and "wrong" not in failed.stderr
    failed = node.run("mount", f"localhost:{secure.port}/small:v1", directory, check=False)
    print("refused:", failed.stderr.strip())
    assert failed.returncode == 1 and "certificate" in failed.stderr, failed

    # SIGHUP takes over credentials, the CA and the cache's limits.
    credentials("s3cret")
    assert node.json("status")["cache"]["quota"] == 20_000_000_000
    node.configure("7GB", config + f'ca_file = "{tls}/ca.crt"\n')
    node.process.send_signal(1)
    wait_for("the new quota", lambda: node.json("status")["cache"]["quota"] == 7_000_000_000)
    assert node.metrics()["swarmfs_cache_quota_bytes"] == 7e9
    for host in (basic.host, token.host, open_to_all.host, f"localhost:{secure.port}"):
        mounted = node.mount(f"{host}/small:v1")
        assert open(os.path.join(mounted, "app/app.py")).read().startswith("import json"), host
        node.umount(mounted)
        node.run("evict")
        print(host, "ok")
    assert ({"service": ["reg"], "scope": ["repository:small:pull"]}, True) in tokens.asked, tokens.asked[-1]
    catalog_knows(node, open_to_all.host, {basic.host: False, token.host: False, open_to_all.host: True,
                                           f"localhost:{secure.port}": True})
    assert tokens.strangers > 0, "nobody asked as nobody"
    log = open(node.log).read()
    assert "s3cret" not in log and "Bearer" not in log
    for registry in (basic, token, open_to_all, secure):
        registry.stop()


if __name__ == "__main__":
    sys.exit(main())
