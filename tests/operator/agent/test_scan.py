"""What the node agent makes of a machine."""

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.operator.agent.machine import Machine, write
from vinoserve_api.nodes import NODE_LABELS, join_values, read_gids
from vinoserve_cli.__main__ import main
from vinoserve_operator.agent.labels import make_labels
from vinoserve_operator.agent.scan import Hardware, scan

GIB = 2**30


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


@pytest.fixture(autouse=True)
def gid() -> Iterator[int]:
    """The group of the nodes: root's own is none to give to pods."""
    own = os.getegid()
    if own == 0:
        os.setegid(992)
    yield own or 992
    os.setegid(own)


def scan_labels(machine: Machine) -> dict[str, str]:
    labels = make_labels(scan(machine.dev, machine.sys))
    return {name.removeprefix("vinoserve.dev/"): value for name, value in labels.items()}


def test_a_machine_without_accelerators_has_no_labels(machine: Machine) -> None:
    assert scan(machine.dev, machine.sys) == Hardware()
    assert scan_labels(machine) == {}


def test_xe_tells_memory_by_tile(machine: Machine, gid: int) -> None:
    device, _ = machine.add_gpu(0, "0x0bd5", "xe")
    for tile in (0, 1):
        write(device / f"tile{tile}/physical_vram_size_bytes", str(64 * GIB))
        (device / f"tile{tile}/gt{tile}/freq0").mkdir(parents=True)
    gpu = scan(machine.dev, machine.sys).gpus[0]
    assert (gpu.node, gpu.address, gpu.driver) == ("dri/renderD128", "0000:03:00.0", "xe")
    assert (gpu.memory_bytes, gpu.tiles) == (128 * GIB, 2)
    assert scan_labels(machine) == {
        "render-gid": str(gid),
        "gpu.count": "1",
        "gpu.driver": "xe",
        "gpu.pci-id": "0bd5",
        "gpu.model": "Max-1550",
        "gpu.memory-mib": "131072",
        "gpu.tiles": "2",
    }


def test_xe_without_memory_of_its_own_says_none(machine: Machine) -> None:
    """An integrated GPU, and kernels that no longer have the file."""
    device, _ = machine.add_gpu(0, "0x64a0", "xe")
    (device / "tile0/gt0").mkdir(parents=True)
    assert "gpu.memory-mib" not in scan_labels(machine)
    assert scan_labels(machine)["gpu.tiles"] == "1"


def test_intels_build_of_i915_tells_memory_by_card_and_tiles_by_address_range(machine: Machine) -> None:
    _, card = machine.add_gpu(0, "0x0bda", "i915")
    write(card / "lmem_total_bytes", str(48 * GIB))
    for gt in (0, 1):
        write(card / f"gt/gt{gt}/addr_range", "0x1000")
    labels = scan_labels(machine)
    assert (labels["gpu.driver"], labels["gpu.memory-mib"], labels["gpu.tiles"]) == ("i915", "49152", "2")


def test_the_media_engine_of_linux_i915_is_no_tile(machine: Machine) -> None:
    _, card = machine.add_gpu(0, "0x7d55", "i915")
    for gt in (0, 1):
        (card / f"gt/gt{gt}").mkdir(parents=True)
    assert scan_labels(machine)["gpu.tiles"] == "1"


def test_gpus_of_two_kinds_share_the_labels(machine: Machine) -> None:
    machine.add_gpu(0, "0x7d67", "i915")
    device, _ = machine.add_gpu(1, "0xe20b", "xe")
    write(device / "tile0/physical_vram_size_bytes", str(12 * GIB))
    labels = scan_labels(machine)
    assert labels["gpu.count"] == "2"
    assert labels["gpu.driver"] == "i915.xe"
    assert labels["gpu.pci-id"] == "7d67.e20b"
    assert labels["gpu.model"] == "Arc-B580.Arrow-Lake-S"
    assert "gpu.memory-mib" not in labels, "a pod may get the one that has none"


def test_other_vendors_and_gpus_without_a_render_node_are_not_counted(machine: Machine) -> None:
    machine.add_gpu(0, "0x2000", "ast", vendor="0x1a03")
    device, _ = machine.add_gpu(1)
    (device / "drm/renderD129").rename(device / "drm/control64")
    machine.add_gpu(2)
    hardware = scan(machine.dev, machine.sys)
    assert [gpu.node for gpu in hardware.gpus] == ["dri/renderD130"]


def test_a_gpu_that_is_split_counts_by_its_parts(machine: Machine) -> None:
    device, _ = machine.add_gpu(0)
    write(device / "sriov_numvfs", "2")
    machine.add_gpu(1)
    machine.add_gpu(2)
    assert scan_labels(machine)["gpu.count"] == "2"


def test_a_gpu_of_an_unknown_name_has_an_id_all_the_same(machine: Machine) -> None:
    machine.add_gpu(0, "0xFFFE")
    labels = scan_labels(machine)
    assert labels["gpu.pci-id"] == "fffe"
    assert "gpu.model" not in labels


def test_npus(machine: Machine, gid: int) -> None:
    machine.add_npu()
    assert scan_labels(machine) == {
        "render-gid": str(gid),
        "npu.count": "1",
        "npu.driver": "intel_vpu",
        "npu.pci-id": "7d1d",
        "npu.model": "Meteor-Lake",
    }


@pytest.mark.skipif(os.getuid() != 0, reason="only root gives files to groups it isn't in")
def test_nodes_of_several_groups(machine: Machine) -> None:
    machine.add_gpu(0)
    machine.add_npu()
    os.chown(machine.dev / "accel/accel0", -1, 44)
    label = scan_labels(machine)["render-gid"]
    assert label == "44.992"
    assert read_gids(label) == (44, 992)


@pytest.mark.parametrize("mode", [0o666, 0o600], ids=["anyone", "root alone"])
def test_a_node_that_no_group_opens_has_no_gid(machine: Machine, mode: int) -> None:
    machine.add_gpu(0, mode=mode)
    labels = scan_labels(machine)
    assert "render-gid" not in labels
    assert labels["gpu.count"] == "1"


def test_a_node_that_is_missing_is_counted_without_a_gid(machine: Machine) -> None:
    """The kernel has it, udev hasn't made it yet."""
    machine.add_gpu(0)
    (machine.dev / "dri/renderD128").unlink()
    assert scan_labels(machine)["gpu.count"] == "1"
    assert "render-gid" not in scan_labels(machine)


def test_what_cannot_be_read_is_not_known(machine: Machine) -> None:
    device, _ = machine.add_gpu(0)
    (device / "driver").unlink()
    (device / "device").write_bytes(b"\xff\xfe")
    (device / "sriov_numvfs").unlink()
    write(device / "tile0/physical_vram_size_bytes", "much")
    labels = scan_labels(machine)
    assert labels.keys() == {"render-gid", "gpu.count", "gpu.tiles"}


@given(st.lists(st.text(max_size=30), max_size=8))
def test_values_are_valid_for_labels(values: list[str]) -> None:
    text = join_values(values)
    assert text is None or re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?", text)


@given(st.text(max_size=63))
def test_any_label_can_be_read_for_gids(text: str) -> None:
    assert all(0 < gid < 2**32 - 1 for gid in read_gids(text))


def test_labels_are_those_that_the_agent_may_take_away(machine: Machine) -> None:
    device, _ = machine.add_gpu(0)
    write(device / "tile0/physical_vram_size_bytes", str(GIB))
    machine.add_npu()
    assert make_labels(scan(machine.dev, machine.sys)).keys() == NODE_LABELS


def test_the_command_prints_what_it_finds(machine: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    machine.add_gpu(0)
    assert main(["agent", "--print", "--dev", str(machine.dev), "--sys", str(machine.sys)]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["gpus"][0]["address"] == "0000:03:00.0"
    assert found["npus"] == []
    assert found["labels"]["vinoserve.dev/gpu.pci-id"] == "56c0"


def test_an_interval_is_whole_seconds(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["agent", "--interval", "0"])
    assert "'0' is no time; write a number of seconds from 1 on" in capsys.readouterr().err
