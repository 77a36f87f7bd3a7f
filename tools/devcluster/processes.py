"""The processes of a cluster, found by what the kernel says of them."""

import contextlib
import os
from pathlib import Path

from tools.devcluster.layout import Cluster
from tools.devcluster.record import Record, is_init, read_netns

#: in the environment of what `run` starts, so that `down` knows it
MARK = "VINOSERVE_DEVCLUSTER"


def find_init(cluster: Cluster) -> list[int]:
    """Process 1 by its command line, also one whose number an interrupted `up` did not write down.

    `unshare`, its parent, ends by itself: it must live to take leave of it.
    """
    return [pid for pid in list_pids() if is_init(pid, cluster)]


def find_members(cluster: Cluster, record: Record | None) -> list[int]:
    """What `run` started on the host and is still there.

    While the cluster lives its network namespace tells; once it is dead that number may be another's, so the mark in
    the environment has to say so too.
    """
    alive = record is not None and record.is_alive(cluster)
    mark = f"{MARK}={cluster.state}".encode()
    members = []
    for pid in list_pids():
        with contextlib.suppress(OSError):
            same = record is not None and read_netns(pid) == record.netns
            if (alive and same) or mark in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"):
                members.append(pid)
    return [pid for pid in members if pid != os.getpid()]


def list_pids() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]


def is_running(pid: int) -> bool:
    """Whether the process is there and not merely waiting for its parent to take notice."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
