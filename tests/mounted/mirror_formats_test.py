#!/usr/bin/env python3
"""Every form that an image has, through the mirror, by containerd, skopeo and podman: gzip, zstd, zstd:chunked, eStargz (by
ctr-remote), Docker's schema 2, an index of platforms, an artifact about an image. All blobs are compared by digest with what the
registry's documents name."""
import json
import os
import random
import subprocess
import sys
from functools import partial

from mirrored import OCI, Mirrored, WritableRegistry, digest, get, push_blob, push_image, push_manifest
from node import Node, need_fuse
from storage_client import storage_client

DOCKER = "application/vnd.docker"
FORMS = {  # how buildah pushes, and what a layer is then
    "gzip": (["--format", "oci", "--compression-format", "gzip"], f"{OCI}.layer.v1.tar+gzip"),
    "zstd": (["--format", "oci", "--compression-format", "zstd"], f"{OCI}.layer.v1.tar+zstd"),
    "zstd-chunked": (["--format", "oci", "--compression-format", "zstd:chunked"], f"{OCI}.layer.v1.tar+zstd"),
    "docker": (["--format", "v2s2", "--compression-format", "gzip"], f"{DOCKER}.image.rootfs.diff.tar.gzip"),
}
TYPES = {"Accept": f"{OCI}.manifest.v1+json, {OCI}.index.v1+json, {DOCKER}.distribution.manifest.v2+json, "
                   f"{DOCKER}.distribution.manifest.list.v2+json"}


def run(*words):
    done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=120)
    assert done.returncode == 0, (words, done.stderr[-1500:])
    return done.stdout.strip()


def build(work, host):
    """One image a form, of other bytes each: a blob that is known already would be pushed as it is."""
    buildah = ["buildah", "--root", f"{work}/storage", "--runroot", f"{work}/run", "--storage-driver", "vfs"]
    for name, (options, _) in FORMS.items():
        folder = f"{work}/{name}"
        os.makedirs(folder)
        for i in range(30):
            with open(f"{folder}/file{i}", "wb") as f:
                f.write(random.Random(f"{name}{i}").randbytes(20_000) + b"compressible " * 10_000)
        container = run(*buildah, "from", "scratch")
        run(*buildah, "add", "-q", container, folder, "/data")
        run(*buildah, "commit", "-q", "--format", "oci", container, f"localhost/{name}:v1")
        run(*buildah, "push", "-q", "--tls-verify=false", *options, f"localhost/{name}:v1", f"docker://{host}/{name}:v1")


def named(registry, name, reference):
    """All digests that a reference stands for, of documents and of blobs, asked of the registry."""
    document = get(registry.port, f"/v2/{name}/manifests/{reference}", TYPES)[2]
    parsed = json.loads(document)
    found = {digest(document)}
    for one in parsed.get("manifests", []):
        found |= named(registry, name, one["digest"])
    found |= {one["digest"] for one in [parsed.get("config"), *parsed.get("layers", [])] if one}
    return found


def by_skopeo(mirrored, name, reference, target):
    """The digests of all that it stored, `--all` platforms; by the name's first component."""
    run("skopeo", "copy", "-q", "--all", "--src-tls-verify=false",
        f"docker://127.0.0.1:{mirrored.port}/registry.example.com/{name}{reference}", f"dir:{target}")
    return {digest(open(f"{target}/{file}", "rb").read()) for file in os.listdir(target) if file != "version"}


def by_containerd(mirrored, registry, name, reference):
    """By ?ns=. With all platforms."""
    mirrored.containerd.ctr("content", "fetch", "--hosts-dir", mirrored.hosts, "--all-platforms",
                            f"{registry.host}/{name}{reference}")
    stored = mirrored.contents()
    for one in stored:
        assert digest(mirrored.stored(one)) == one, one
    mirrored.forget()
    return stored


def by_podman(mirrored, registry, name, target):
    """It unpacks: what it has is known by the config's digest, which names the digests of what is unpacked."""
    os.makedirs(target)
    manifest = get(registry.port, f"/v2/{name}/manifests/v1", TYPES)[2]
    before = mirrored.registry_bytes()
    storage_client("podman", target, {"name": f"registry.example.com/{name}", "direct": f"{registry.host}/{name}",
                                      "mirror": f"127.0.0.1:{mirrored.port}/registry.example.com/{name}"},
                   [digest(manifest), json.loads(manifest)["config"]["digest"]])
    assert mirrored.registry_bytes() == before, name


def both(mirrored, registry, name, reference, target):
    expected = named(registry, name, reference.lstrip(":@"))
    assert by_containerd(mirrored, registry, name, reference) == expected, name
    before = mirrored.registry_bytes()
    assert by_skopeo(mirrored, name, reference, target) == expected, name
    assert mirrored.registry_bytes() == before, f"{name}: by another name of the registry, the blobs are the same"
    print(f"{name}{reference[:12]}: {len(expected)} things", flush=True)
    return expected


def forms(mirrored, registry, work):
    build(work, registry.host)
    for name, (_, layer_type) in FORMS.items():
        manifest = json.loads(get(mirrored.port, f"/v2/{name}/manifests/v1?ns={registry.host}", TYPES)[2])
        assert [layer["mediaType"] for layer in manifest["layers"]] == [layer_type], manifest
        if name == "zstd-chunked":
            assert any("zstd-chunked" in key for key in manifest["layers"][0]["annotations"]), manifest
        assert len(both(mirrored, registry, name, ":v1", f"{work}/{name}-copied")) == 3
        by_podman(mirrored, registry, name, f"{work}/{name}-podman")


def estargz(mirrored, registry, work):
    """Made of an image of above by ctr-remote, which then pulls it through the mirror, as it does for a lazy snapshotter."""
    remote = partial(run, "ctr-remote", "-a", mirrored.containerd.socket, "images")
    plain, lazy = f"{registry.host}/gzip:v1", f"{registry.host}/estargz:v1"
    mirrored.containerd.ctr("images", "pull", "--plain-http", "--snapshotter", "overlayfs", plain)
    remote("optimize", "--no-optimize", "--oci", plain, lazy)
    mirrored.containerd.ctr("images", "push", "--plain-http", lazy)
    mirrored.forget()
    manifest = json.loads(get(registry.port, "/v2/estargz/manifests/v1", TYPES)[2])
    assert "containerd.io/snapshot/stargz/toc.digest" in manifest["layers"][0]["annotations"], manifest
    remote("rpull", "--snapshotter", "overlayfs", "--hosts-dir", mirrored.hosts, lazy)
    expected = named(registry, "estargz", "v1")
    assert mirrored.contents() == expected, mirrored.contents() ^ expected
    for one in expected:
        assert digest(mirrored.stored(one)) == one, one
    assert mirrored.registry_bytes() >= manifest["layers"][0]["size"], "not through the mirror"
    mirrored.forget()
    assert len(both(mirrored, registry, "estargz", ":v1", f"{work}/estargz-copied")) == 3


def platforms(mirrored, registry, work):
    """Of both kinds: OCI's index and Docker's list."""
    for name, manifest_type, index_type in (
            ("index", f"{OCI}.manifest.v1+json", f"{OCI}.index.v1+json"),
            ("list", f"{DOCKER}.distribution.manifest.v2+json", f"{DOCKER}.distribution.manifest.list.v2+json")):
        docker = name == "list"
        made = []
        for architecture in ("amd64", "arm64", "riscv64"):
            image = push_image(registry.host, name, [random.Random(name + architecture).randbytes(300_000)], tag=architecture,
                               manifest_type=manifest_type,
                               config_type=f"{DOCKER}.container.image.v1+json" if docker else f"{OCI}.config.v1+json",
                               layer_type=f"{DOCKER}.image.rootfs.diff.tar.gzip" if docker else f"{OCI}.layer.v1.tar")
            manifest = get(registry.port, f"/v2/{name}/manifests/{image[0]}", TYPES)[2]
            made.append({"mediaType": manifest_type, "digest": image[0], "size": len(manifest),
                         "platform": {"os": "linux", "architecture": architecture}})
        index = json.dumps({"schemaVersion": 2, "mediaType": index_type, "manifests": made}).encode()
        push_manifest(registry.host, name, "v1", index)
        answer = get(mirrored.port, f"/v2/{name}/manifests/v1?ns={registry.host}", TYPES)
        assert answer[2] == index and answer[1]["Content-Type"] == index_type, answer[1]
        # The config is the same for all: it names amd64, and the layer.
        assert len(both(mirrored, registry, name, ":v1", f"{work}/{name}-copied")) == 10


def artifact(mirrored, registry, work):
    """With a subject. docker-registry 2.8 has no referrers API: clients find it by a tag made of the subject's digest."""
    name = "subject"
    image = push_image(registry.host, name, [random.Random(name).randbytes(100_000)])
    size = len(get(registry.port, f"/v2/{name}/manifests/v1", TYPES)[2])
    document = json.dumps({
        "schemaVersion": 2, "mediaType": f"{OCI}.manifest.v1+json", "artifactType": "application/vnd.example.sbom",
        "config": {"mediaType": "application/vnd.oci.empty.v1+json", **push_blob(registry.host, name, b"{}")},
        "layers": [{"mediaType": "application/spdx+json", **push_blob(registry.host, name, b'{"spdxVersion":"SPDX-2.3"}')}],
        "subject": {"mediaType": f"{OCI}.manifest.v1+json", "digest": image[0], "size": size}}).encode()
    push_manifest(registry.host, name, digest(document), document)
    index = json.dumps({"schemaVersion": 2, "mediaType": f"{OCI}.index.v1+json", "manifests": [
        {"mediaType": f"{OCI}.manifest.v1+json", "digest": digest(document), "size": len(document)}]}).encode()
    tag = image[0].replace(":", "-")
    push_manifest(registry.host, name, tag, index)
    assert get(mirrored.port, f"/v2/{name}/referrers/{image[0]}?ns={registry.host}", TYPES)[0] == 404
    assert get(mirrored.port, f"/v2/{name}/manifests/{tag}?ns={registry.host}", TYPES)[2] == index
    assert by_skopeo(mirrored, name, f"@{digest(document)}", f"{work}/artifact-copied") == named(registry, name, digest(document))
    assert len(both(mirrored, registry, name, f":{tag}", f"{work}/referrers-copied")) == 4
    assert len(both(mirrored, registry, name, ":v1", f"{work}/subject-copied")) == 3


def main():
    need_fuse()
    work = Node()
    registry = WritableRegistry(work.work)
    mirrored = Mirrored(registry, f'[[registry]]\nhost = "registry.example.com"\nmirrors = ["{registry.host}"]\n')
    try:
        platforms(mirrored, registry, work.work)
        artifact(mirrored, registry, work.work)
        forms(mirrored, registry, work.work)
        estargz(mirrored, registry, work.work)
    finally:
        mirrored.close()
        registry.stop()


if __name__ == "__main__":
    sys.exit(main())
