"""A mirror with clients, and a registry that can be pushed to."""
import hashlib
import http.client
import io
import json
import os
import tarfile

from containerd import Containerd, write_hosts
from node import Node, Registry, free_port

OCI = "application/vnd.oci.image"
TYPES = ("application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json, "
         "application/vnd.docker.distribution.manifest.v2+json")


def get(port, path, headers=None, method="GET"):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request(method, path, headers={"Accept": TYPES, **(headers or {})})
    answer = connection.getresponse()
    return answer.status, dict(answer.getheaders()), answer.read()


def put(host, path, body, media_type=None, method="PUT"):
    connection = http.client.HTTPConnection(*host.split(":"), timeout=60)
    connection.request(method, path, body, {"Content-Type": media_type} if media_type else {})
    answer = connection.getresponse()
    answer.read()
    assert answer.status in (201, 202), (path, answer.status)
    return answer.getheader("Location")


def digest(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


class Mirrored:
    """A node with a mirror, and a containerd that asks it first. Its name for the registry is `host`."""

    def __init__(self, registry, config=""):
        self.port = free_port()
        self.node = Node(config=f'[mirror]\nlisten = "127.0.0.1:{self.port}"\n{config}')
        self.hosts = os.path.join(self.node.work, "hosts")
        self.add_host(registry.host)
        self.node.start()
        self.containerd = Containerd(self.node.work)

    def close(self):
        self.containerd.stop()
        self.node.close()

    def add_host(self, host):
        write_hosts(self.hosts, host, f"127.0.0.1:{self.port}")

    def pull(self, reference, *options, check=True):
        return self.containerd.ctr("images", "pull", "--hosts-dir", self.hosts, "--snapshotter", "overlayfs", *options,
                                   reference, check=check)

    def fetch(self, reference, *options, timeout=300):
        """Without unpacking."""
        return self.containerd.ctr("content", "fetch", "--hosts-dir", self.hosts, *options, reference, check=False,
                                   timeout=timeout)

    def forget(self):
        """containerd has nothing any more."""
        ctr = self.containerd.ctr
        for name in ctr("images", "ls", "-q").stdout.split():
            ctr("images", "rm", "--sync", name)
        for name in ctr("content", "ls", "-q").stdout.split():
            ctr("content", "rm", name, check=False)
        for _ in range(10):
            names = [line.split()[0] for line in ctr("snapshots", "--snapshotter", "overlayfs", "ls").stdout.splitlines()[1:]]
            for name in names:
                ctr("snapshots", "--snapshotter", "overlayfs", "rm", name, check=False)

    def contents(self):
        return set(self.containerd.ctr("content", "ls", "-q").stdout.split())

    def stored(self, name):
        """The bytes of a digest, as containerd has them on its disk."""
        return open(f"{self.containerd.blobs}/{name.split(':')[1]}", "rb").read()

    def registry_bytes(self):
        return sum(v for k, v in self.node.metrics().items()
                   if k.startswith("swarmfs_bytes_total") and 'source="registry"' in k)

def push_blob(host, name, data):
    """Its descriptor, without a media type."""
    where = put(host, f"/v2/{name}/blobs/uploads/", None, method="POST")
    where = where[where.index("/v2/"):]
    put(host, where + ("&" if "?" in where else "?") + "digest=" + digest(data), data, "application/octet-stream")
    return {"digest": digest(data), "size": len(data)}


def push_manifest(host, name, reference, document):
    """Of the type that it states."""
    put(host, f"/v2/{name}/manifests/{reference}", document, json.loads(document)["mediaType"])


def push_image(host, name, layers, config_type=f"{OCI}.config.v1+json", manifest_type=f"{OCI}.manifest.v1+json",
               layer_type=f"{OCI}.layer.v1.tar", tag="v1", architecture="amd64"):
    """An image of layers that nobody unpacks. All its digests, the manifest's first."""
    config = json.dumps({"architecture": architecture, "os": "linux", "config": {},
                         "rootfs": {"type": "layers", "diff_ids": [digest(layer) for layer in layers]}}).encode()
    manifest = json.dumps({
        "schemaVersion": 2, "mediaType": manifest_type, "config": {"mediaType": config_type, **push_blob(host, name, config)},
        "layers": [{"mediaType": layer_type, **push_blob(host, name, layer)} for layer in layers]}).encode()
    push_manifest(host, name, tag, manifest)
    return [digest(manifest), digest(config), *map(digest, layers)]


def push_index(host, name):
    """An image for two platforms, "v1": its index, and the digests of their manifests."""
    made = []
    for architecture in ("amd64", "arm64"):
        layer = io.BytesIO()
        with tarfile.open(fileobj=layer, mode="w") as tar:
            tar.addfile(tarfile.TarInfo(architecture))
        push_image(host, name, [layer.getvalue()], tag=architecture, architecture=architecture)
        document = get(int(host.split(":")[1]), f"/v2/{name}/manifests/{architecture}")[2]
        made.append({"mediaType": f"{OCI}.manifest.v1+json", "digest": digest(document), "size": len(document),
                     "platform": {"os": "linux", "architecture": architecture}})
    index = json.dumps({"schemaVersion": 2, "mediaType": f"{OCI}.index.v1+json", "manifests": made}).encode()
    push_manifest(host, name, "v1", index)
    return index, [one["digest"] for one in made]


class WritableRegistry(Registry):
    def __init__(self, work):
        folder = os.path.join(work, "pushed")
        os.makedirs(folder)
        super().__init__(folder, work)
        self.stop()
        text = open(self.config).read().replace(", maintenance: {readonly: {enabled: true}}", "")
        open(self.config, "w").write(text)
        self.start()
