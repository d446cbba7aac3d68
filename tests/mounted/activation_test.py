#!/usr/bin/env python3
"""The service manager keeps the daemon's sockets, as swarmfs.socket says: a restart, clean or by kill -9, refuses no client. Who
asks while no daemon runs is answered by the next one; and what is kept but not configured is named."""
import http.client
import os
import socket
import subprocess
import sys
import threading

from node import Node, Registry, SWARMFSD, free_port, images, need_fuse, wait_for

# Replaces itself with the daemon: its sockets, and who they are for, as sd_listen_fds(3) says it.
EXEC = ("import os, sys\n"
        "fds = [int(fd) for fd in sys.argv[1].split(',')]\n"
        "high = [os.dup2(fd, 100 + i) for i, fd in enumerate(fds)]\n"
        "for i, fd in enumerate(high): os.dup2(fd, 3 + i)\n"
        "os.closerange(3 + len(fds), 200)\n"
        "os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(fds)), LISTEN_FDNAMES=':'.join(['swarmfs.socket'] * "
        "len(fds)))\n"
        "os.execv(sys.argv[2], sys.argv[2:])\n")


class Activated(Node):
    """The test is its service manager."""

    def __init__(self):
        super().__init__()
        self.mirror, self.metrics_address, self.stray = (socket.create_server(("127.0.0.1", 0)) for _ in range(3))
        self.control = socket.socket(socket.AF_UNIX)
        self.control.bind(self.socket)
        self.control.listen(64)
        self.sockets = [self.control, self.mirror, self.metrics_address]
        self.configure(config=f'[mirror]\nlisten = "{address(self.mirror)}"\n[metrics]\naddress = '
                              f'"{address(self.metrics_address)}"\n')

    def start(self):
        fds = [s.fileno() for s in self.sockets]
        self.process = subprocess.Popen([sys.executable, "-c", EXEC, ",".join(map(str, fds)), SWARMFSD, "--config", self.toml],
                                        pass_fds=fds, stderr=open(self.log, "ab"))

    def close(self):
        super().close()
        for s in [*self.sockets, self.stray]:
            s.close()


def address(listener):
    return "127.0.0.1:%d" % listener.getsockname()[1]


class Asking(threading.Thread):
    """One request, from now on."""

    def __init__(self, where, path):
        super().__init__()
        self.where, self.path, self.status, self.body, self.error = where, path, None, b"", None
        self.connected = threading.Event()
        self.start()

    def run(self):
        try:
            connection = http.client.HTTPConnection("swarmfsd", timeout=120)
            if self.where.startswith("/"):
                connection.sock = socket.socket(socket.AF_UNIX)
                connection.sock.settimeout(120)
                connection.sock.connect(self.where)
            else:
                host, port = self.where.split(":")
                connection.sock = socket.create_connection((host, int(port)), 120)
            self.connected.set()
            connection.request("GET", self.path)
            answer = connection.getresponse()
            self.status, self.body = answer.status, answer.read()
        except OSError as error:
            self.error = error
        finally:
            self.connected.set()

    def answered(self):
        self.join(180)
        assert self.error is None and self.status == 200, (self.where, self.path, self.error, self.status)
        return self.body


def ask_everywhere(node):
    asked = [Asking(node.socket, "/v1/status"), Asking(address(node.mirror), "/v2/"),
             Asking(address(node.metrics_address), "/metrics")]
    for one in asked:
        assert one.connected.wait(60)
    return asked


def answers(asked):
    status, mirror, metrics = (one.answered() for one in asked)
    assert b'"version"' in status and mirror == b"{}" and b"swarmfs_cache_bytes" in metrics, (status, mirror, metrics[:200])


def main():
    need_fuse()
    node = Activated()
    registry = Registry(images("small"), node.work)
    small = f"{registry.host}/small:v1"

    # Before there is a daemon at all.
    waiting = ask_everywhere(node)
    assert all(one.status is None for one in waiting)
    node.start()
    answers(waiting)
    directory = node.mount(small)
    text = open(f"{directory}/app/app.py").read()

    for stop in (node.kill, node.terminate):
        stop()
        waiting = ask_everywhere(node)
        pull = Asking(address(node.mirror), f"/v2/small/manifests/v1?ns={registry.host}")
        assert pull.connected.wait(60)
        assert os.path.exists(node.socket), "a clean end took away the path of a socket that is not its own"
        node.start()
        answers(waiting)
        assert b"layers" in pull.answered()
        assert open(f"{directory}/app/app.py").read() == text
        print(stop.__name__, "refused nobody", flush=True)

    # Clients that come all the time, each with a connection of its own, are all answered over clean restarts: who is between
    # connect and answer when the daemon ends may see that end, and no more than these.
    refused = []

    def knock(done):
        while not done.is_set():
            one = Asking(address(node.mirror), "/v2/")
            one.join(180)
            if isinstance(one.error, ConnectionRefusedError) or one.is_alive():
                refused.append(one.error)

    done = threading.Event()
    knocking = [threading.Thread(target=knock, args=(done,)) for _ in range(4)]
    for thread in knocking:
        thread.start()
    for _ in range(2):
        assert node.terminate(60) == 0
        node.start()
        wait_for("the next daemon", node.answers, 60)
    done.set()
    for thread in knocking:
        thread.join(240)
    assert not refused, refused

    # A socket that the configuration does not name.
    node.terminate(60)
    node.sockets.append(node.stray)
    node.start()
    wait_for("the next daemon", node.answers, 60)
    said = f"listens on {address(node.stray)}, which the configuration does not name"
    wait_for(said, lambda: said in open(node.log).read(), 60)
    stray = Asking(address(node.stray), "/")
    stray.join(180)
    assert isinstance(stray.error, ConnectionRefusedError), stray.error
    assert open(f"{directory}/app/app.py").read() == text

    # Without a service manager everything is as ever: a port that is free at once after the end, a path that is gone.
    plain = Node(config=f'[mirror]\nlisten = "127.0.0.1:{free_port()}"\n')
    Node.start(plain)
    assert plain.terminate(60) == 0 and not os.path.exists(plain.socket)
    Node.start(plain)
    registry.stop()


if __name__ == "__main__":
    sys.exit(main())
