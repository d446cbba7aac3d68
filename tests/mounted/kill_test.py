#!/usr/bin/env python3
"""kill -9 at random moments under load, restart: never a wrong byte in the cache, and the mount comes back."""
import os
import random
import subprocess
import sys
import time

from cache_files import check
from node import Node, Registry, images, need_fuse

KILLS = 50


def main():
    need_fuse()
    folder = images("medium")
    node = Node(quota="150MB")
    registry = Registry(folder, node.work)
    random.seed(20)
    compared = wrong = 0
    reference = f"{registry.host}/medium:v1"
    node.start()
    directory = node.mount(reference)
    for kill in range(KILLS):
        load = [subprocess.Popen(f"while :; do find {directory} -type f | shuf -n 40 --random-source={node.toml} | "
                                 "xargs -d '\\n' cat; done",
                                 shell=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
                for _ in range(2)]
        time.sleep(random.uniform(0.05, 0.6))
        node.kill()
        for process in load:
            os.killpg(process.pid, 9)
            process.wait()
        blocks, bad = check(os.path.join(node.work, "cache"), folder)
        compared, wrong = compared + blocks, wrong + bad
        if kill % 5 == 4:
            subprocess.run(["rm", "-rf", os.path.join(node.work, "cache", "layers")], check=True)  # start from nothing
        node.start()
        assert os.path.exists(os.path.join(directory, "usr/bin")), f"kill {kill}: the mount did not come back\n{node.tail()}"
    print(f"{KILLS} kills, {compared} blocks compared, {wrong} wrong")
    registry.stop()
    assert compared > 10000
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
