"""Why a device can't be had: no node, no permission, no driver."""

import os
import stat
from pathlib import Path

import pytest

from vinoserve_api.conditions import FailureReason
from vinoserve_api.device import Device, parse_target
from vinoserve_runtime.engine import devices as devices_module
from vinoserve_runtime.engine.devices import DeviceNodes, explain_missing, is_available

GPU = Device("GPU")


@pytest.fixture
def dev(tmp_path: Path) -> Path:
    (tmp_path / "dri").mkdir()
    return tmp_path


def test_without_a_node_the_container_has_no_device(tmp_path: Path) -> None:
    error = explain_missing(GPU, ["CPU"], tmp_path)
    assert error.reason == FailureReason.DEVICE_NOT_FOUND
    assert "dri/renderD*" in str(error)
    assert "OpenVINO sees CPU" in str(error)


def test_a_node_of_another_group_names_the_group_to_add(dev: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    node = dev / "dri/renderD128"
    node.touch(0o660)
    gid = node.stat().st_gid
    monkeypatch.setattr(devices_module.os, "access", lambda *_: False)  # root may open everything
    error = explain_missing(GPU, ["CPU"], dev)
    assert error.reason == FailureReason.PERMISSION_DENIED
    for word in (
        str(node),
        f"group {gid}",
        stat.filemode(node.stat().st_mode),
        f"uid {os.getuid()}",
        "renderGroups",
    ):
        assert word in str(error)
    assert f"vinoserve.dev/render-gid={gid}" in str(error)


def test_a_node_that_opens_without_a_device_lacks_a_driver(dev: Path) -> None:
    (dev / "dri/renderD128").touch()
    error = explain_missing(GPU, ["CPU"], dev)
    assert error.reason == FailureReason.DEVICE_NOT_FOUND
    assert "OpenCL driver" in str(error)


def test_a_second_gpu_that_is_not_there_is_told_from_a_missing_driver(dev: Path) -> None:
    (dev / "dri/renderD128").touch()
    error = explain_missing(Device("GPU", 1), ["CPU", "GPU"], dev)
    assert "GPU.1 is not here: OpenVINO sees CPU, GPU" in str(error)


def test_wsl_has_a_node_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "dxg").touch()
    assert "dxg can be opened" in str(explain_missing(GPU, ["CPU"], tmp_path))


@pytest.mark.parametrize(
    ("device", "available", "here"),
    [
        ("GPU", ["CPU", "GPU"], True),
        ("GPU", ["CPU", "GPU.0", "GPU.1"], True),
        ("GPU.0", ["CPU", "GPU"], True),
        ("GPU.1", ["CPU", "GPU"], False),
        ("GPU.1", ["CPU", "GPU.0", "GPU.1"], True),
        ("GPU.1.0", ["CPU", "GPU.0", "GPU.1"], True),
        ("NPU", ["CPU", "NPU.3720"], True),
        ("NPU", ["CPU"], False),
        ("CPU", ["CPU"], True),
    ],
)
def test_which_names_mean_the_same_device(device: str, available: list[str], here: bool) -> None:
    assert is_available(parse_target(device).devices[0], available) is here


def test_a_node_that_goes_away_is_noticed(dev: Path) -> None:
    node = dev / "dri/renderD128"
    node.touch()
    nodes = DeviceNodes(["GPU", "CPU"], dev)
    assert nodes.find_lost() is None
    node.unlink()
    assert nodes.find_lost() == f"{node} can't be opened any more: No such file or directory"
    assert DeviceNodes(["GPU"], dev).find_lost() is None  # emulated, or never there
