"""podman and buildah as clients of a mirror."""
import os
import shutil
import subprocess

BOUND = 150  # seconds for a pull, whatever happens; clients themselves would wait for ever


class PullFailed(Exception):
    pass


def storage_client(program, place, config, image, again=False):
    """podman and buildah, by registries.conf. They keep layers unpacked, having checked them against the config's diff IDs:
    the image's name is the config's digest. `again`: what was pulled into the same place is forgotten first."""
    with open(f"{place}/registries.conf", "w") as f:
        f.write(f'unqualified-search-registries = []\n[[registry]]\nprefix = "{config["name"]}"\n'
                f'location = "{config["direct"]}"\ninsecure = true\n'
                f'[[registry.mirror]]\nlocation = "{config["mirror"]}"\ninsecure = true\n')
    with open(f"{place}/containers.conf", "w") as f:
        f.write('[engine]\ncgroup_manager = "cgroupfs"\nevents_logger = "file"\nruntime = "runc"\n'
                f'conmon_path = ["{shutil.which("conmon")}"]\n')
    environment = {**os.environ, "CONTAINERS_REGISTRIES_CONF": f"{place}/registries.conf", "TMPDIR": place,
                   "CONTAINERS_CONF": f"{place}/containers.conf"}
    if "auth" in config:
        environment["REGISTRY_AUTH_FILE"] = config["auth"]
    options = ["--root", f"{place}/root", "--runroot", f"{place}/run", "--storage-driver", "vfs"]
    if again:
        subprocess.run([program, *options, "rmi", "-af"], env=environment, timeout=60, check=True, stdout=subprocess.DEVNULL)
    done = subprocess.run([program, *options, "pull", "-q", f"{config['name']}:v1"], env=environment, timeout=BOUND,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if done.returncode:
        raise PullFailed(done.stderr[-1500:])
    assert done.stdout.split()[-1] == image[1].split(":")[1], done.stdout
    done = subprocess.run([program, *options, "images", "--digests", "--no-trunc"], env=environment, timeout=60, check=True,
                          stdout=subprocess.PIPE, text=True)
    assert image[0] in done.stdout, done.stdout
