"""One node for a test: a docker-registry over the cached images, a swarmfsd, its client. Real parts only."""
import atexit
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

BUILD = os.environ.get("SWARMFS_BUILD_DIR") or sys.argv[1]
SWARMFSD = os.path.join(BUILD, "src/daemon/swarmfsd")
SWARMFS = os.path.join(BUILD, "src/cli/swarmfs")
SOURCE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SKIP = 77


def skip(why):
    print("SKIP:", why)
    sys.exit(SKIP)


def need_fuse():
    if os.geteuid() != 0 or not os.path.exists("/dev/fuse"):
        skip("needs root and /dev/fuse")


def images(*names):
    """The registry folder that holds these images."""
    done = subprocess.run([os.path.join(SOURCE, "tests/images/build"), *names], stdout=subprocess.PIPE, text=True)
    if done.returncode:
        sys.exit("tests/images/build failed")
    return done.stdout.strip()


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_for(what, condition, seconds=20):
    end = time.time() + seconds
    while time.time() < end:
        if condition():
            return
        time.sleep(0.05)
    raise AssertionError(f"{what}: not within {seconds} s")


def end(process, seconds=20):
    """Asks it to end, and sees to it."""
    process.terminate()
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(20)


def listens(port):
    with socket.socket() as s:
        return s.connect_ex(("127.0.0.1", port)) == 0


class Registry:
    """docker-registry on a port of `address`; `http` and `auth` are extra sections of its YAML."""

    def __init__(self, folder, work, port=None, http="", auth="", address="127.0.0.1"):
        self.port, self.address = port or free_port(), address
        self.host = f"{address}:{self.port}"
        self.config = os.path.join(work, f"registry-{self.port}.yml")
        with open(self.config, "w") as f:
            f.write(f"version: 0.1\nlog: {{level: error, accesslog: {{disabled: true}}}}\n"
                    f"storage: {{filesystem: {{rootdirectory: {folder}}}, maintenance: {{readonly: {{enabled: true}}}}}}\n"
                    f"http: {{addr: '{self.host}'{http}}}\n{auth}")
        self.process = None
        self.start()

    def command(self):
        return ["docker-registry", "serve", self.config]

    def answers(self):
        return listens(self.port)

    def start(self):
        self.process = subprocess.Popen(self.command(), stdout=subprocess.DEVNULL, stderr=open(self.config + ".log", "ab"))
        wait_for("docker-registry", self.answers)

    def stop(self):
        if self.process:
            self.process.kill()
            self.process.wait()
            self.process = None


class Node:
    """A daemon with a folder of its own. `config`: more TOML."""
    prefix = "swarmfs-test-"  # of the folder's name

    def __init__(self, quota="20GB", config=""):
        self.work = tempfile.mkdtemp(prefix=self.prefix)
        self.tree = os.path.join(self.work, "tree")
        self.socket = os.path.join(self.work, "control.sock")
        self.log = os.path.join(self.work, "daemon.log")
        self.toml = os.path.join(self.work, "swarmfs.toml")
        self.mounts = []
        self.process = None
        self.configure(quota, config)
        atexit.register(self.close)

    def configure(self, quota="20GB", config=""):
        with open(self.toml, "w") as f:
            f.write(f'[cache]\ndirectory = "{self.work}/cache"\nquota = "{quota}"\n'
                    f'[control]\nsocket = "{self.socket}"\n[log]\nlevel = "debug"\n{config}\n')
            if "[mount]" not in config:
                f.write(f'[mount]\npoint = "{self.tree}"\n')

    def command(self):
        return [SWARMFSD, "--config", self.toml]

    def start(self):
        self.process = subprocess.Popen(self.command(), stderr=open(self.log, "ab"))
        wait_for("swarmfsd", lambda: self.process.poll() is not None or self.answers())
        if self.process.poll() is not None:
            sys.exit("swarmfsd ended:\n" + open(self.log, errors="replace").read()[-3000:])

    def answers(self):
        return self.run("status", check=False).returncode == 0

    def run(self, *words, check=True, timeout=120):
        done = subprocess.run([SWARMFS, words[0], "--socket", self.socket, *words[1:]], text=True, timeout=timeout,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        if check and done.returncode:
            raise AssertionError(f"swarmfs {' '.join(words)}: {done.stderr}\n{self.tail()}")
        return done

    def json(self, *words):
        return json.loads(self.run(words[0], "--json", *words[1:]).stdout)

    def mount(self, reference, name=None, *options):
        directory = os.path.join(self.work, name or f"mnt{len(self.mounts)}")
        os.makedirs(directory, exist_ok=True)
        self.run("mount", *options, reference, directory)
        self.mounts.append(directory)
        return directory

    def umount(self, directory):
        self.run("umount", directory)
        self.mounts.remove(directory)

    def metrics(self):
        out = subprocess.run(["curl", "-s", "--unix-socket", self.socket, "http://x/metrics"], check=True,
                             stdout=subprocess.PIPE, text=True).stdout
        made = {}
        for line in out.splitlines():
            if line and not line.startswith("#"):
                name, value = line.rsplit(" ", 1)
                made[name] = float(value)
        return made

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def terminate(self, seconds=20):
        self.process.terminate()
        return self.process.wait(seconds)

    def tail(self):
        return open(self.log, errors="replace").read()[-4000:] if os.path.exists(self.log) else ""

    def close(self):
        if self.process and self.process.poll() is None:
            end(self.process, 15)
        for line in reversed(open("/proc/self/mounts").read().splitlines()):
            where = line.split()[1]
            if where.startswith(self.work):
                subprocess.run(["umount", "-l", where], stderr=subprocess.DEVNULL)
        shutil.rmtree(self.work, ignore_errors=True)
