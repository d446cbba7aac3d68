#!/usr/bin/env python3
"""The pull side of the OCI distribution specification as its conformance suite asks for it (conformance/01_pull_test.go,
03_discovery_test.go), from a mirror before docker-registry, and what clients rely on beside it. Both names that an upstream
has at a mirror: ?ns= (registry proxying), and the first component of the name."""
import http.client
import json
import sys
import urllib.parse

from mirrored import OCI, Mirrored, WritableRegistry, digest, get, push_image, push_manifest
from node import Node, need_fuse
from proxy import Proxy

CODES = ("BLOB_UNKNOWN", "BLOB_UPLOAD_INVALID", "BLOB_UPLOAD_UNKNOWN", "DIGEST_INVALID", "MANIFEST_BLOB_UNKNOWN",
         "MANIFEST_INVALID", "MANIFEST_UNKNOWN", "NAME_INVALID", "NAME_UNKNOWN", "SIZE_INVALID", "UNAUTHORIZED", "DENIED",
         "UNSUPPORTED", "TOOMANYREQUESTS", "RANGE_INVALID", "TAG_INVALID", "MANIFEST_UNVERIFIED", "PAGINATION_NUMBER_INVALID")
NOWHERE = "sha256:" + "0" * 64
LAYER = bytes(range(256)) * 3000


class Place:
    """A repository as a client of the mirror sees it."""

    def __init__(self, port, host, name, by_prefix):
        self.port, self.by_prefix = port, by_prefix
        self.before = f"/v2/{host}/{name}/" if by_prefix else f"/v2/{name}/"
        self.ns = None if by_prefix else host

    def __call__(self, path, headers=None, method="GET"):
        if self.ns:
            path += ("&" if "?" in path else "?") + "ns=" + self.ns
        return get(self.port, self.before + path, headers, method)


def refuses(place, path, statuses, method="GET", headers=None):
    status, headers, body = place(path, headers, method)
    assert status in statuses, (method, path, status, body)
    if method == "HEAD":
        assert body == b"", path
        return
    assert headers["Content-Type"].startswith("application/json"), (path, headers)
    errors = json.loads(body)["errors"]
    assert errors and all(one["code"] in CODES and isinstance(one.get("message", ""), str) for one in errors), (path, body)


def gives(place, path, body, media_type=None, headers=None):
    """By HEAD and GET the same, and all headers that clients look for."""
    for method in ("HEAD", "GET"):
        status, answer, got = place(path, headers, method)
        assert status == 200, (method, path, status, got)
        assert answer["Docker-Content-Digest"] == digest(body), (path, answer)
        assert answer["ETag"] == f'"{digest(body)}"', (path, answer)
        assert answer["Content-Length"] == str(len(body)), (path, answer)
        assert answer["Docker-Distribution-Api-Version"] == "registry/2.0", (path, answer)
        assert "OCI-Namespace" in answer and "Content-Encoding" not in answer, (path, answer)
        assert media_type is None or answer["Content-Type"] == media_type, (path, answer)
        assert got == (b"" if method == "HEAD" else body), path


def blobs(place, image):
    """HEAD and GET, of what is there and of what is not. Before any manifest named it too."""
    for name, body in image["blobs"].items():
        gives(place, f"blobs/{name}", body)
    for method in ("GET", "HEAD"):
        refuses(place, f"blobs/{NOWHERE}", (404,), method)
        for malformed in ("blobs/sha256:abc", "blobs/v1", "blobs/sha512:" + "0" * 64, "blobs/sha256:" + "G" * 64):
            refuses(place, malformed, (400, 404), method)


def manifests(place, image):
    for reference in ("v1", image["digest"]):
        gives(place, f"manifests/{reference}", image["manifest"], f"{OCI}.manifest.v1+json")
    for method in ("GET", "HEAD"):
        for absent in ("manifests/.INVALID_MANIFEST_NAME", "manifests/sha256:totallywrong"):
            refuses(place, absent, (400, 404), method)
        for absent in ("manifests/none", f"manifests/{NOWHERE}"):
            refuses(place, absent, (404,), method)


def negotiation(place, image):
    """Accept: one line, several, with parameters, absent; what is not accepted is not given."""
    kind = f"{OCI}.manifest.v1+json"
    for accept in (kind, "*/*", "application/*", f"text/html, {kind};q=0.1", f"{OCI}.index.v1+json, {kind}"):
        assert place("manifests/v1", {"Accept": accept})[2] == image["manifest"], accept
    refuses(place, "manifests/v1", (404, 406), headers={"Accept": "application/vnd.docker.distribution.manifest.v2+json"})
    connection = http.client.HTTPConnection("127.0.0.1", place.port, timeout=60)
    connection.putrequest("GET", place.before + "manifests/v1" + (f"?ns={place.ns}" if place.ns else ""))
    for accept in ("application/vnd.docker.distribution.manifest.v2+json", kind):
        connection.putheader("Accept", accept)
    connection.endheaders()
    assert connection.getresponse().read() == image["manifest"], "two lines"


def conditions(place, image):
    for path, name in (("manifests/v1", image["digest"]), (f"manifests/{image['digest']}", image["digest"]),
                       (f"blobs/{digest(LAYER)}", digest(LAYER))):
        for condition in (f'"{name}"', f'W/"{name}"', f'"x", "{name}"', "*"):
            for method in ("GET", "HEAD"):
                status, headers, body = place(path, {"If-None-Match": condition}, method)
                assert (status, body) == (304, b""), (path, condition, status)
                assert headers["ETag"] == f'"{name}"' and "Content-Length" not in headers, headers
        assert place(path, {"If-None-Match": f'"{NOWHERE}"'})[0] == 200, path


def ranges(place):
    path, size, etag = f"blobs/{digest(LAYER)}", len(LAYER), f'"{digest(LAYER)}"'
    for header, start, end in (("bytes=0-0", 0, 1), ("bytes=5-9", 5, 10), ("bytes=0-", 0, size), (f"bytes={size - 1}-", size - 1, size),
                               ("bytes=-1", size - 1, size), (f"bytes=-{size * 2}", 0, size), (f"bytes=9-{size * 9}", 9, size),
                               ("bytes=16380-16390", 16380, 16391)):
        status, headers, body = place(path, {"Range": header})
        assert status == 206 and body == LAYER[start:end], (header, status, len(body))
        assert headers["Content-Range"] == f"bytes {start}-{end - 1}/{size}", (header, headers)
        assert headers["Content-Length"] == str(end - start) and headers["Accept-Ranges"] == "bytes", (header, headers)
        assert headers["Docker-Content-Digest"] == digest(LAYER), "of the whole"
    for header in (f"bytes={size}-", f"bytes={size}-{size + 5}", "bytes=-0", f"bytes={2**64}-"):
        status, headers, body = place(path, {"Range": header})
        assert status == 416 and headers["Content-Range"] == f"bytes */{size}", (header, status, headers)
        assert json.loads(body)["errors"][0]["code"] in CODES, body
    # What is no range, or several, is as if it were not there (RFC 9110 section 14.2).
    for header in ("bytes=9-5", "lines=1-2", "bytes=a-b", "bytes=", "bytes=-", "bytes=1-2,5-6"):
        status, _, body = place(path, {"Range": header})
        assert (status, body) == (200, LAYER), (header, status)
    assert place(path, {"Range": "bytes=5-9", "If-Range": etag})[0] == 206
    assert place(path, {"Range": "bytes=5-9", "If-Range": '"other"'})[2] == LAYER
    status, headers, _ = place(path, {"Range": "bytes=5-9"}, "HEAD")
    assert status == 200 and headers["Content-Length"] == str(size), "a range is of a GET alone"


def tags(place, registry, name):
    def direct(query):
        return get(registry.port, f"/v2/{name}/tags/list{query}")[2]

    assert json.loads(place("tags/list")[2])["tags"] == ["v1", "v2", "v3"]
    for query in ("?n=1", "?n=2&last=v1", "?last=v2", "?n=0", "?n=100"):
        status, headers, body = place("tags/list" + query)
        assert status == 200 and json.loads(body) == json.loads(direct(query)), (query, body)
    absent = Place(place.port, registry.host, "no/such", place.by_prefix)
    refuses(absent, "tags/list", (404,))


def referrers(place, image):
    """docker-registry 2.8 has no referrers API, which 404 says: then clients look for a tag made of the digest. (An empty index
    would say that there are none.)"""
    status, _, _ = place(f"referrers/{image['digest']}")
    assert status == 404, status
    fallback = image["digest"].replace(":", "-")
    index = place(f"manifests/{fallback}")[2]
    found = json.loads(index)["manifests"]
    assert [one["digest"] for one in found] == [image["artifact"]], index
    artifact = place(f"manifests/{image['artifact']}")[2]
    assert digest(artifact) == image["artifact"]
    assert json.loads(artifact)["subject"]["digest"] == image["digest"]
    blob = json.loads(artifact)["layers"][0]["digest"]
    assert digest(place(f"blobs/{blob}")[2]) == blob


def referrers_api(mirrored, registry, name, image, by_prefix):
    """A registry that has it: what it says is passed on, with how it was filtered, and page by page."""
    kinds = ("application/vnd.example.sbom+json", "application/vnd.example.signature")
    known = [{"mediaType": f"{OCI}.manifest.v1+json", "digest": digest(kind.encode()), "size": 7, "artifactType": kind}
             for kind in kinds]
    filters, down = [True], []

    def answer(method, path, headers):
        asked = urllib.parse.urlparse(path)
        query = urllib.parse.parse_qs(asked.query)
        if down or "/referrers/" not in path:
            return {"delay": 6 * len(down)}
        found = [one for one in known if asked.path.endswith(image["digest"])]
        said = {"Content-Type": f"{OCI}.index.v1+json"}
        if filters[0] and "artifactType" in query:
            found = [one for one in found if one["artifactType"] in query["artifactType"]]
            said["OCI-Filters-Applied"] = "artifactType"
        if len(found) > 1 and "last" not in query:
            found = found[:1]
            said["Link"] = f'<{asked.path}?{asked.query}{"&" if asked.query else ""}last=1>; rel="next"'
        elif len(found) > 1:
            found = found[1:]
        index = {"schemaVersion": 2, "mediaType": f"{OCI}.index.v1+json", "manifests": found}
        return {"status": 200, "headers": said, "body": json.dumps(index).encode()}

    def gives_found(path, expected, filtered):
        status, headers, body = get(mirrored.port, path)
        assert status == 200 and headers["Content-Type"] == f"{OCI}.index.v1+json", (path, status, headers)
        assert json.loads(body)["manifests"] == expected, (path, body)
        assert headers.get("OCI-Filters-Applied") == ("artifactType" if filtered else None), (path, headers)
        return headers.get("Link")

    proxy = Proxy(registry.host, answer)
    before = f"/v2/{proxy.host}/{name}" if by_prefix else f"/v2/{name}"
    ns = "" if by_prefix else f"ns={proxy.host}"
    path = f"{before}/referrers/{image['digest']}?{ns}"
    link = gives_found(path, known[:1], False)
    assert gives_found(link[1:link.index(">")], known[1:], False) is None, link
    for kind, expected in zip(kinds, known):
        for quoted in (kind, urllib.parse.quote(kind, safe="")):
            gives_found(f"{path}&artifactType={quoted.replace('+', '%2B')}", [expected], True)
    gives_found(f"{path}&artifactType=application/none", [], True)
    gives_found(f"{before}/referrers/{NOWHERE}?{ns}", [], False)  # nothing about it is no 404
    filters[0] = False
    link = gives_found(f"{path}&artifactType=application/none", known[:1], False)
    gives_found(link[1:link.index(">")], known[1:], False)
    down.append(True)
    status, _, body = get(mirrored.port, path)
    # 404 would say that it has no such API.
    assert status == 503 and b"errors" in body, (status, body)
    proxy.stop()


def methods(place):
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        refuses(place, "manifests/v1", (405,), method)
        refuses(place, "blobs/uploads/", (405,), method)


def push(registry, name):
    names = push_image(registry.host, name, [LAYER])
    manifest = get(registry.port, f"/v2/{name}/manifests/v1")[2]
    for tag in ("v2", "v3"):
        push_manifest(registry.host, name, tag, manifest)
    image = {"digest": names[0], "manifest": manifest,
             "blobs": {one: get(registry.port, f"/v2/{name}/blobs/{one}")[2] for one in names[1:]}}
    return image


def attach(registry, name, image):
    """An artifact about the image, by the tag schema."""
    layers = push_image(registry.host, name, [b"a signature"], tag="temporary")
    document = json.loads(get(registry.port, f"/v2/{name}/manifests/temporary")[2])
    document["artifactType"] = "application/vnd.example.signature"
    document["subject"] = {"mediaType": document["mediaType"], "digest": image["digest"], "size": len(image["manifest"])}
    artifact = json.dumps(document).encode()
    push_manifest(registry.host, name, digest(artifact), artifact)
    index = json.dumps({"schemaVersion": 2, "mediaType": f"{OCI}.index.v1+json", "manifests": [
        {"mediaType": document["mediaType"], "digest": digest(artifact), "size": len(artifact),
         "artifactType": document["artifactType"]}]}).encode()
    push_manifest(registry.host, name, image["digest"].replace(":", "-"), index)
    assert layers[0] != digest(artifact)
    image["artifact"] = digest(artifact)


def main():
    need_fuse()
    work = Node()
    registry = WritableRegistry(work.work)
    mirrored = Mirrored(registry)
    try:
        assert get(mirrored.port, "/v2/")[0] == 200
        for name, by_prefix in (("conformance/ns", False), ("conformance/prefix", True)):
            image = push(registry, name)
            place = Place(mirrored.port, registry.host, name, by_prefix)
            tags(place, registry, name)
            attach(registry, name, image)
            blobs(place, image)
            manifests(place, image)
            blobs(place, image)
            negotiation(place, image)
            conditions(place, image)
            ranges(place)
            referrers(place, image)
            referrers_api(mirrored, registry, name, image, by_prefix)
            methods(place)
            print(name, "ok", flush=True)
    finally:
        mirrored.close()
        registry.stop()


if __name__ == "__main__":
    sys.exit(main())
