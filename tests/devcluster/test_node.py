"""What the cluster finds and leaves on the machine: cgroups, device nodes, processes."""

import dataclasses
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from tools.devcluster import cgroups, gpus
from tools.devcluster.layout import Cluster
from tools.devcluster.processes import find_members, is_running
from tools.devcluster.record import Record
from tools.toolbox.errors import ToolError


def test_cgroup_v1_has_one_group_in_each_hierarchy(tmp_path: Path) -> None:
    for hierarchy in ("memory", "cpuset", "cpu,cpuacct"):
        (tmp_path / hierarchy).mkdir()
        (tmp_path / hierarchy / "cgroup.procs").touch()
    (tmp_path / "cpu").symlink_to("cpu,cpuacct")
    (tmp_path / "cpuset/cpuset.cpus").write_text("0-1\n")
    (tmp_path / "cpuset/cpuset.mems").write_text("0\n")
    cgroups.create("mine", tmp_path)
    assert sorted(p.parent.name for p in tmp_path.glob("*/mine") if not p.parent.is_symlink()) == [
        "cpu,cpuacct",
        "cpuset",
        "memory",
    ]
    assert (tmp_path / "cpuset/mine/cpuset.cpus").read_text() == "0-1\n"


def test_cgroup_v2_lets_children_have_the_controllers(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    for group in (tmp_path, tmp_path / "mine"):  # the kernel makes these files
        (group / "cgroup.controllers").write_text("cpu io memory pids\n")
    cgroups.create("mine", tmp_path)
    assert (tmp_path / "cgroup.subtree_control").read_text() == "+pids"
    assert (tmp_path / "mine/cgroup.subtree_control").read_text() == "+pids"


def test_cgroup_v2_without_memory_says_so(tmp_path: Path) -> None:
    (tmp_path / "cgroup.controllers").write_text("cpu pids\n")
    with pytest.raises(ToolError, match="memory"):
        cgroups.create("mine", tmp_path)


def test_cgroups_are_removed_with_their_children(tmp_path: Path) -> None:
    for hierarchy in ("memory", "pids"):
        (tmp_path / hierarchy / "mine/kubepods/pod1").mkdir(parents=True)
        (tmp_path / hierarchy / "cgroup.procs").touch()
        (tmp_path / hierarchy / "others").mkdir()
    assert cgroups.remove("mine", tmp_path)
    assert cgroups.remove("mine", tmp_path), "nothing left to remove is no failure"
    assert sorted(p.name for p in tmp_path.glob("*/*") if p.is_dir()) == ["others", "others"]


def test_a_busy_cgroup_is_reported(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/file").touch()  # rmdir refuses, as it does while a process is in the group
    assert not cgroups.remove("mine", tmp_path, seconds=0.1)


@pytest.mark.skipif(os.geteuid() != 0, reason="device nodes need root")
@pytest.mark.parametrize(("gid", "mode"), [(None, 0o666), (992, 0o660)])
def test_gpu_nodes_are_numbered_like_real_ones(tmp_path: Path, gid: int | None, mode: int) -> None:
    dev, sysclass = tmp_path / "dev", tmp_path / "class"
    sysclass.mkdir()
    gpus.write_gpus(2, "xe", gid, dev, sysclass)
    render = (dev / "dri/renderD129").stat()
    assert (os.major(render.st_rdev), os.minor(render.st_rdev)) == (226, 129)
    assert stat.S_IMODE(render.st_mode) == mode
    assert render.st_gid == (gid or 0)
    assert sorted(p.name for p in (dev / "dri/by-path").iterdir()) == [
        f"pci-0000:0{slot}:00.0-{kind}" for slot in (3, 4) for kind in ("card", "render")
    ]
    card = sysclass / "drm/card1"
    assert (card / "dev").read_text() == "226:1\n"
    assert (card / "device/vendor").read_text() == "0x8086\n"
    assert (card / "device/driver").readlink().name == "xe"


@pytest.mark.skipif(os.geteuid() != 0, reason="device nodes need root")
def test_npu_nodes_are_like_real_ones(tmp_path: Path) -> None:
    dev, sysclass = tmp_path / "dev", tmp_path / "class"
    dev.mkdir()
    sysclass.mkdir()
    gpus.write_npus(1, 992, dev, sysclass)
    node = (dev / "accel/accel0").stat()
    assert (os.major(node.st_rdev), node.st_gid, stat.S_IMODE(node.st_mode)) == (261, 992, 0o660)
    assert (sysclass / "accel/accel0/device/driver").readlink().name == "intel_vpu"


def test_down_finds_what_run_started_although_the_cluster_died(tmp_path: Path) -> None:
    cluster = Cluster("try", tmp_path)
    env = {**os.environ, "VINOSERVE_DEVCLUSTER": str(tmp_path)}
    stranger, ours = (
        subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, env=e) for e in (None, env)
    )
    try:
        netns = Path("/proc/self/ns/net").stat().st_ino
        record = dataclasses.replace(Record("", 0, "xe", None), pid=2**22, netns=netns)
        assert find_members(cluster, record) == [ours.pid]
    finally:
        for process in (stranger, ours):
            process.communicate(b"\n")
    assert not is_running(ours.pid)


def test_record_survives_being_cut_off(tmp_path: Path) -> None:
    cluster = Cluster("try", tmp_path)
    record = Record("/b", 2, "xe", 992, pid=7, netns=8)
    record.write(cluster)
    assert Record.find(cluster) == record
    cluster.record.write_text('{"build": ')
    assert Record.find(cluster) is None
    assert not record.is_alive(cluster), "another process has the number"
