#!/usr/bin/env python3
"""The code is formatted, the unit file verifies silently, the sample configuration is accepted, --help helps."""
import glob
import os
import shutil
import subprocess
import sys
import tempfile

source, build = sys.argv[1:3]
swarmfsd, swarmfs = os.path.join(build, "src/daemon/swarmfsd"), os.path.join(build, "src/cli/swarmfs")
run = lambda *words: subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

if shutil.which("clang-format"):
    code = [f for room in ("src", "tests", "bench") for f in glob.glob(os.path.join(source, room, "**/*"), recursive=True)
            if f.endswith((".h", ".cpp"))]
    done = run("clang-format", "--dry-run", "-Werror", *code)
    assert done.returncode == 0, done.stdout[-2000:]
if shutil.which("systemd-analyze"):
    with tempfile.TemporaryDirectory() as folder:
        unit = os.path.join(folder, "swarmfs.service")
        text = open(os.path.join(source, "packaging/swarmfs.service")).read()
        open(unit, "w").write(text.replace("/usr/local/sbin/swarmfsd", swarmfsd))
        socket_unit = shutil.copy(os.path.join(source, "packaging/swarmfs.socket"), folder)
        done = run("systemd-analyze", "verify", unit, socket_unit)
        assert done.returncode == 0 and done.stdout.strip() == "", done.stdout
done = run(swarmfsd, "--check", "--config", os.path.join(source, "packaging/swarmfs.toml"))
assert done.returncode == 0 and done.stdout == "", done.stdout
with tempfile.NamedTemporaryFile("w", suffix=".toml") as bad:
    bad.write("[cache]\n\nquota = 7.5\n")
    bad.flush()
    done = run(swarmfsd, "--check", "--config", bad.name)
    assert done.returncode == 1 and f"{bad.name}:3:" in done.stdout, done.stdout
for command in ("mount", "umount", "pull", "status", "explain", "ls", "peers", "evict", "configure", "doctor"):
    done = run(swarmfs, command, "--help")
    assert done.returncode == 0 and "--json" in done.stdout, (command, done.stdout)
with tempfile.TemporaryDirectory() as folder:
    token = os.path.join(folder, "token")
    assert run(swarmfs, "cluster", "init", "--output", token).returncode == 0
    assert os.stat(token).st_mode & 0o777 == 0o600
    done = run(swarmfs, "cluster", "show", token)
    assert done.returncode == 0 and "CA sha256:" in done.stdout, done.stdout
    assert open(token).read().strip().split(":")[1] not in done.stdout, "the secret is shown"
    done = run(swarmfs, "cluster", "init", "--output", token)
    assert done.returncode == 1 and "exists" in done.stdout, done.stdout
socket = "/nonexistent/socket"
for words in (["--socket", socket, "status"], ["status", "--socket", socket], ["--json", "--socket", socket, "status"]):
    done = subprocess.run([swarmfs, *words], stderr=subprocess.PIPE, text=True, env={"SWARMFS_SOCKET": "/elsewhere"})
    assert done.returncode == 1 and f"on {socket}:" in done.stderr, (words, done)
with tempfile.TemporaryDirectory() as folder:
    helper = os.path.join(folder, "mount.swarmfs")
    os.symlink(os.path.abspath(swarmfs), helper)
    done = run(helper, "--help")
    assert done.returncode == 0 and "/etc/fstab" in done.stdout and "nosuid" in done.stdout, done.stdout
    assert run(helper, "one").returncode == 1
assert run(swarmfs, "--version").stdout.startswith("swarmfs 0."), "version"
assert run(swarmfs, "nonsense").returncode == 2
done = run(swarmfs, "status", "--socket", "/nonexistent/socket")
assert done.returncode == 1 and "/nonexistent/socket" in done.stdout, done.stdout
print("packaging is true")
