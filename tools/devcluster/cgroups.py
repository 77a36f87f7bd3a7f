"""The one cgroup of a cluster, in every hierarchy of the machine: made before kubelet starts, removed by `down`."""

import time
from collections.abc import Iterator
from pathlib import Path

from tools.toolbox.errors import ToolError

ROOT = Path("/sys/fs/cgroup")
#: what kubelet wants of a cgroup v2 host
CONTROLLERS = ("cpu", "cpuset", "io", "memory", "pids", "hugetlb")


def is_v2(root: Path = ROOT) -> bool:
    """Whether the machine has the unified hierarchy alone."""
    return (root / "cgroup.controllers").exists()


def create(name: str, root: Path = ROOT) -> None:
    """The cgroup `name` below the root of each hierarchy, ready to have children."""
    if is_v2(root):
        _enable_controllers(root)
        (root / name).mkdir(exist_ok=True)
        _enable_controllers(root / name)
        return
    for hierarchy in _hierarchies(root):
        group = hierarchy / name
        group.mkdir(exist_ok=True)
        for file in ("cpuset.cpus", "cpuset.mems"):  # empty in a new group: no process could join it
            if (hierarchy / file).exists():
                (group / file).write_text((hierarchy / file).read_text())


def remove(name: str, root: Path = ROOT, seconds: float = 10) -> bool:
    """Remove the cgroup and those below it; they can go once their last process has gone. True when none is left."""
    until = time.monotonic() + seconds
    while True:
        left = [group for group in _groups(name, root) if not _remove_tree(group)]
        if not left or time.monotonic() > until:
            return not left
        time.sleep(0.05)


def _groups(name: str, root: Path) -> list[Path]:
    return [group for group in (root / name, *(h / name for h in _hierarchies(root))) if group.is_dir()]


def _hierarchies(root: Path) -> Iterator[Path]:
    """The folders of the v1 controllers; some are links to a combined one (cpu -> cpu,cpuacct)."""
    return (
        p
        for p in sorted(root.iterdir())
        if p.is_dir() and not p.is_symlink() and (p / "cgroup.procs").exists()
    )


def _remove_tree(group: Path) -> bool:
    """A cgroup is removed by rmdir, children first; the files in it are the kernel's."""
    gone = all([_remove_tree(child) for child in group.iterdir() if child.is_dir()])  # noqa: C419 - each is tried
    try:
        group.rmdir()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return gone


def _enable_controllers(group: Path) -> None:
    """Let children of the group have the controllers that there are."""
    there = (group / "cgroup.controllers").read_text().split()
    if missing := {"cpu", "memory", "pids"} - set(there):
        raise ToolError(
            f"the cgroup controllers {', '.join(sorted(missing))} are not in {group}/cgroup.controllers: "
            "this machine (or the container you are in) keeps them from the cluster"
        )
    try:
        for controller in CONTROLLERS:
            if controller in there:
                (group / "cgroup.subtree_control").write_text(f"+{controller}")
    except OSError as error:
        raise ToolError(
            f"{group}/cgroup.subtree_control can't be written ({error.strerror}): run on the host, not in a container"
        ) from error
