"""Where things are: the programs of a build, the files and addresses of a cluster."""

import re
from dataclasses import dataclass
from pathlib import Path

from tools.toolbox.cache import cache_root, make_key
from tools.toolbox.errors import ToolError

NODE = "node1"
NODE_IP = "10.99.0.1"
API_PORT = 6443
SERVICE_CIDR = "10.0.0.0/16"
SERVICE_IP = "10.0.0.1"  # of the Service `kubernetes`
POD_CIDR = "10.244.0.0/24"
PAUSE_IMAGE = "localhost/pause:1"
BUSYBOX_IMAGE = "localhost/busybox:1"
#: inside the cluster's mount namespace, where /run is its own
CONTAINERD_SOCKET = "/run/containerd/containerd.sock"

#: folders that the cluster covers with its own, so nothing of a build or a state may be below them
COVERED = (Path("/run"), Path("/var/lib"), Path("/var/log"), Path("/dev"), Path("/proc"), Path("/sys"))


@dataclass(frozen=True)
class Build:
    """One build of the pinned programs."""

    root: Path

    @property
    def bin(self) -> Path:
        return self.root / "bin"

    @property
    def cni(self) -> Path:
        return self.root / "cni"

    @property
    def clients(self) -> Path:
        """kubectl and helm alone, for a user's PATH."""
        return self.root / "clients"

    @property
    def debian(self) -> Path:
        """runc, nft and busybox with their libraries, unpacked."""
        return self.root / "debian"

    @property
    def images(self) -> Path:
        return self.root / "images"

    @property
    def complete(self) -> Path:
        """There once every step is done."""
        return self.root / "complete"


@dataclass(frozen=True)
class Cluster:
    """One cluster's name and the folder with everything it keeps; `down` removes the folder."""

    name: str
    state: Path

    @property
    def pki(self) -> Path:
        return self.state / "pki"

    @property
    def etc(self) -> Path:
        return self.state / "etc"

    @property
    def logs(self) -> Path:
        return self.state / "log"

    @property
    def kubeconfig(self) -> Path:
        return self.pki / "admin.kubeconfig"

    @property
    def record(self) -> Path:
        """What `up` started: see record.Record."""
        return self.state / "record.json"

    @property
    def sick_gpus(self) -> Path:
        """A line `card0` in this file makes that GPU sick."""
        return self.state / "unhealthy-gpus"

    @property
    def cgroup(self) -> str:
        """Another cache folder may have a cluster of the same name."""
        return f"devcluster-{self.name}-{make_key(str(self.state))[:6]}"


def make_cluster(name: str) -> Cluster:
    """The cluster of that name below the cache folder."""
    if not re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?", name):
        raise ToolError(
            f"--name {name}: write at most 32 lower-case letters, digits and hyphens, e.g. vinoserve-test"
        )
    root = cache_root()
    if any(root.is_relative_to(folder) for folder in COVERED):
        raise ToolError(
            f"the cache folder {root} is below one that the cluster covers with its own ({', '.join(map(str, COVERED))}): "
            "set VINOSERVE_CACHE to another one"
        )
    return Cluster(name, root / "devcluster" / "clusters" / name)
