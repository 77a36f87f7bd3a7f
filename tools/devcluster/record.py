"""What `up` was asked for and what it started: the one file by which later commands find the cluster."""

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path

from tools.devcluster.layout import Cluster


@dataclass(frozen=True)
class Record:
    """`pid` is process 1 of the cluster as the host sees it, `netns` its network namespace; both 0 while it starts."""

    build: str
    gpus: int
    gpu_driver: str
    gpu_gid: int | None
    gpu_dra: bool = False
    npus: int = 0
    pid: int = 0
    netns: int = 0

    @staticmethod
    def read(cluster: Cluster) -> "Record":
        return Record(**json.loads(cluster.record.read_text()))

    @staticmethod
    def find(cluster: Cluster) -> "Record | None":
        """The record, or None where there is none (never up, or a `down` that was interrupted late)."""
        try:
            return Record.read(cluster)
        except (FileNotFoundError, json.JSONDecodeError):
            return None

    def write(self, cluster: Cluster) -> None:
        part = cluster.record.with_suffix(".part")
        part.write_text(json.dumps(dataclasses.asdict(self)))
        part.rename(cluster.record)

    def is_alive(self, cluster: Cluster) -> bool:
        """Whether process 1 is there."""
        return self.pid > 0 and is_init(self.pid, cluster)

    @property
    def gpu_text(self) -> str:
        npus = f" and {self.npus} npu.intel.com/accel" if self.npus else ""
        if not self.gpus:
            return "no GPUs" + npus
        group = "" if self.gpu_gid is None else f" of group {self.gpu_gid}"
        dra = ", also by DRA" if self.gpu_dra else ""
        return f"{self.gpus} gpu.intel.com/{self.gpu_driver}{group}{dra}{npus}"

    def has_same_options(self, other: "Record") -> bool:
        keys = ("gpus", "npus", *(("gpu_driver", "gpu_gid", "gpu_dra") if self.gpus else ()))
        return all(getattr(self, key) == getattr(other, key) for key in keys)


def is_init(pid: int, cluster: Cluster) -> bool:
    """Whether a process is the cluster's process 1: by its command line, to which `unshare`, its parent, has more before."""
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    return command[1:] == [b"-m", b"tools.devcluster.init", str(cluster.state).encode(), b""]


def read_netns(pid: int) -> int:
    """The number of a process's network namespace."""
    return Path(f"/proc/{pid}/ns/net").stat().st_ino
