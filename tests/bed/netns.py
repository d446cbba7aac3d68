"""Network namespaces on a bridge of their own: links with a rate and a delay, which can be cut. Leaves nothing behind."""
import atexit
import ctypes
import fcntl
import glob
import itertools
import json
import os
import shutil
import signal
import subprocess
import tempfile
import threading

LOCKS = "/run/swarmfs-bed"
CLONE_NEWNET = 0x40000000
HUB = "hub"
numbers = itertools.count()


def ip(*words, check=True):
    done = subprocess.run(["ip", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if check and done.returncode:
        raise AssertionError(f"ip {' '.join(words)}: {done.stderr}")
    return done.stdout


def inside(space):
    """What to write before a command: the namespace's network, and nothing else of it."""
    return ["nsenter", f"--net=/run/netns/{space}", "--"]


def within(space, call):
    """What `call` returns on a thread that lives in the namespace; a socket that it makes stays there."""
    result = []

    def run():
        try:
            with open(f"/run/netns/{space}") as handle:
                if ctypes.CDLL(None, use_errno=True).setns(handle.fileno(), CLONE_NEWNET):
                    raise OSError(ctypes.get_errno(), "setns")
            result.append((call(), None))
        except Exception as error:
            result.append((None, error))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    value, error = result[0]
    if error:
        raise error
    return value


def remove_folders(prefix):
    """Temporary folders of that prefix, with what is mounted in them."""
    prefix = os.path.join(tempfile.gettempdir(), prefix)
    for line in reversed(open("/proc/self/mounts").read().splitlines()):
        where = line.split()[1]
        if where.startswith(prefix):
            subprocess.run(["umount", "-l", where], stderr=subprocess.DEVNULL)
    for folder in glob.glob(prefix + "*"):
        shutil.rmtree(folder, ignore_errors=True)


def remove_spaces(tag):
    """The namespaces of a bed, with the processes that live in them."""
    for path in glob.glob(f"/run/netns/{tag}-*"):
        space = os.path.basename(path)
        for pid in ip("netns", "pids", space, check=False).split():
            if int(pid) != os.getpid():
                os.kill(int(pid), signal.SIGKILL)
        ip("netns", "del", space, check=False)


def sweep():
    """Takes away what beds left behind whose process was killed: nobody holds their lock."""
    for path in glob.glob(os.path.join(LOCKS, "*")):
        try:
            with open(path) as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                remove_spaces(os.path.basename(path))
                remove_folders(os.path.basename(path) + "-")
                os.unlink(path)
        except (BlockingIOError, FileNotFoundError):
            pass


class Network:
    """`delay_link`: the program. All of it is gone after close(), at exit, or at the latest when the next one comes."""

    def __init__(self, delay_link):
        self.delay_link, self.links = delay_link, {}
        os.makedirs(LOCKS, exist_ok=True)
        sweep()
        self.tag = f"swbed-{os.getpid():x}-{next(numbers)}"
        self.lock = open(os.path.join(LOCKS, self.tag), "w")
        fcntl.flock(self.lock, fcntl.LOCK_EX)
        atexit.register(self.close)
        ip("netns", "add", self.space(HUB))
        ip("-n", self.space(HUB), "link", "add", "br0", "type", "bridge")
        ip("-n", self.space(HUB), "link", "set", "br0", "up")
        ip("-n", self.space(HUB), "link", "set", "lo", "up")

    def space(self, name):
        return f"{self.tag}-{name}"

    def add(self, name, address, down_mbit=0, up_mbit=0, delay_ms=0, jitter_ms=0, burst_kb=256):
        """A namespace `name` with `address`. Rates: 0 is no limit. The delay counts in each direction, and so much as
        `jitter_ms` more, now and then. So much as `burst_kb` passes at once where nothing passed before."""
        space, port = self.space(name), f"to-{name}"
        ip("netns", "add", space)
        if delay_ms or jitter_ms:
            link = subprocess.Popen([self.delay_link, self.space(HUB), port, space, "eth0", str(delay_ms),
                                     str(jitter_ms)], stdout=subprocess.PIPE)
            self.links[name] = link
            assert link.stdout.readline() == b"ready\n", name
        else:
            ip("-n", self.space(HUB), "link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", space)
        ip("-n", self.space(HUB), "link", "set", port, "master", "br0", "up")
        ip("-n", space, "link", "set", "lo", "up")
        ip("-n", space, "addr", "add", f"{address}/24", "dev", "eth0")
        ip("-n", space, "link", "set", "eth0", "up")
        self.limit(self.space(HUB), port, down_mbit, burst_kb)
        self.limit(space, "eth0", up_mbit, burst_kb)

    @staticmethod
    def limit(space, device, mbit, burst_kb=256):
        if mbit:  # a burst below a GSO packet of 64 KiB makes TCP crawl
            subprocess.run(["tc", "-n", space, "qdisc", "replace", "dev", device, "root", "tbf", "rate", f"{mbit}mbit",
                            "burst", f"{burst_kb}kb", "latency", "50ms"], check=True)

    def cut(self, name):
        """Packets to and from it vanish, as when a cable is pulled somewhere between."""
        ip("-n", self.space(HUB), "link", "set", f"to-{name}", "down")

    def heal(self, name):
        ip("-n", self.space(HUB), "link", "set", f"to-{name}", "up")

    def sent(self, name):
        return self.counters(name)["tx"]["bytes"]

    def received(self, name):
        return self.counters(name)["rx"]["bytes"]

    def counters(self, name):
        return json.loads(ip("-n", self.space(name), "-s", "-j", "link", "show", "eth0"))[0]["stats64"]

    def close(self):
        for link in self.links.values():
            link.kill()
            link.wait()
        self.links = {}
        if not self.lock.closed:
            remove_spaces(self.tag)
            remove_folders(self.tag + "-")
            os.unlink(self.lock.name)
            self.lock.close()
