"""Reads the chunk cache from outside and compares every present block with the registry's own files."""
import glob
import os
import struct

BLOCK = 16384
HEADER = struct.Struct("<8s32sQQQ32s")


def blob_path(registry_folder, hex_digest):
    return os.path.join(registry_folder, "docker/registry/v2/blobs/sha256", hex_digest[:2], hex_digest, "data")


def windows_of(cache, hex_digest):
    """The windows that belong to a layer's index."""
    name, = glob.glob(os.path.join(cache, "docs", "windows", hex_digest + ".*"))
    _, root, size = os.path.basename(name).split(".")
    if size == "0":
        return b""
    with open(os.path.join(cache, "layers", root + ".windows.bytes"), "rb") as f:
        return f.read(int(size))


def check(cache, registry_folder):
    """(blocks compared, blocks wrong) over all layers kept as bytes."""
    compared = wrong = 0
    for bits_path in glob.glob(os.path.join(cache, "layers", "*.bits")):
        name = os.path.basename(bits_path)[:-5]
        raw = open(bits_path, "rb").read()
        if name.endswith((".space", ".windows")) or len(raw) < HEADER.size:
            continue
        magic, _, _, size, _, _ = HEADER.unpack_from(raw)
        assert magic == b"swfsbit1", bits_path
        bits = raw[HEADER.size:]
        with open(bits_path[:-5] + ".bytes", "rb") as ours, open(blob_path(registry_folder, name), "rb") as theirs:
            for block in range((size + BLOCK - 1) // BLOCK):
                if not bits[block // 8] >> block % 8 & 1:
                    continue
                length = min(BLOCK, size - block * BLOCK)
                ours.seek(block * BLOCK)
                theirs.seek(block * BLOCK)
                compared += 1
                wrong += ours.read(length) != theirs.read(length)
    return compared, wrong
