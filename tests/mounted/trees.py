"""What a tree holds, and how two trees differ."""
import hashlib
import os
import stat


def content_hash(path):
    made = hashlib.sha256()
    with open(path, "rb") as f:
        while block := f.read(1 << 20):
            made.update(block)
    return made.hexdigest()


def describe(path):
    status = os.lstat(path)
    mode = status.st_mode
    made = {"mode": mode, "owner": (status.st_uid, status.st_gid), "mtime": status.st_mtime_ns,
            "xattrs": {k: os.getxattr(path, k, follow_symlinks=False) for k in os.listxattr(path, follow_symlinks=False)
                       if not k.startswith("trusted.overlay")}}
    if not stat.S_ISDIR(mode):
        made["nlink"] = status.st_nlink
    if stat.S_ISREG(mode):
        made["size"] = status.st_size
        made["content"] = content_hash(path)
    if stat.S_ISLNK(mode):
        made["target"] = os.readlink(path)
    if stat.S_ISCHR(mode) or stat.S_ISBLK(mode):
        made["device"] = status.st_rdev
    return made


def walk(root):
    """Relative path (bytes) → description."""
    root = os.fsencode(root)
    made = {b".": describe(root)}
    made[b"."].pop("mtime")  # an image whose layers do not name the root leaves it to the unpacker
    for folder, folders, files in os.walk(root):
        for name in folders + files:
            path = os.path.join(folder, name)
            made[os.path.relpath(path, root)] = describe(path)
    return made


def differences(ours, theirs):
    made = []
    for path in sorted(ours.keys() | theirs.keys()):
        if path not in ours or path not in theirs:
            made.append(f"{path!r}: only in {'ours' if path in ours else 'theirs'}")
            continue
        for key in sorted(ours[path].keys() | theirs[path].keys()):
            if ours[path].get(key) != theirs[path].get(key):
                made.append(f"{path!r}: {key}: ours {ours[path].get(key)!r}, theirs {theirs[path].get(key)!r}")
    return made
