"""`vinoserve devices`: what is here, and why the rest isn't, on a terminal, in a pipe and as JSON."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.cli.terminal import run_on_terminal
from tools import fakegpu
from vinoserve_api.device import Device
from vinoserve_runtime.engine import devices, inventory
from vinoserve_runtime.engine.devices import explain_driver

COMMAND = [sys.executable, "-m", "vinoserve_cli", "devices"]


def ask(*arguments: str, **env: str) -> str:
    environment = {**os.environ, **env}
    done = subprocess.run(
        [*COMMAND, *arguments], capture_output=True, text=True, check=True, env=environment, timeout=120
    )
    return done.stdout


def test_what_is_here_and_why_the_rest_is_not() -> None:
    lines = ask().splitlines()
    assert lines[0].startswith("OpenVINO 20")
    assert [line for line in lines if line.startswith("CPU: ")]
    assert [line for line in lines if line.startswith("  capabilities: ") and "FP32" in line]
    assert [line for line in lines if line.startswith("  memory: ") and line.endswith("GiB")]
    assert [line for line in lines if line.startswith("NPU: not visible (")]
    assert not [line for line in lines if "\x1b" in line]


def test_for_programs() -> None:
    found: dict[str, Any] = json.loads(ask("-o", "json"))
    cpu = found["devices"][0]
    assert cpu["device"] == "CPU"
    assert cpu["name"]
    assert cpu["memoryBytes"] > 2**28
    missing = {one["device"]: one for one in found["missing"]}
    assert missing["NPU"]["reason"] in ("DeviceNotFound", "PermissionDenied")
    assert "/dev/accel/accel*" in missing["NPU"]["message"]


@pytest.mark.gpu_emulated
def test_a_gpu_tells_its_driver_memory_and_place() -> None:
    found = json.loads(ask("-o", "json", **fakegpu.environment(count=2)))
    gpus = [one for one in found["devices"] if one["device"] in ("GPU.0", "GPU.1")]
    assert len(gpus) == 2
    for gpu in gpus:
        assert gpu["driver"].count(".") == 2
        assert gpu["executionUnits"] == 96
        assert gpu["pci"] == "0000:00:00.0"
        assert "FP16" in gpu["capabilities"]
    assert [one["device"] for one in found["missing"]] == ["NPU"]


def test_a_table_on_a_terminal() -> None:
    code, out, _ = run_on_terminal(COMMAND)
    assert code == 0
    assert "DEVICE" in out
    assert "┃" in out


def test_without_the_drivers_libraries_their_packages_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(name: str) -> None:
        if name not in here:
            raise OSError(name)

    here: set[str] = set()
    for name in ("OCL_ICD_FILENAMES", "OCL_ICD_VENDORS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(devices.ctypes, "CDLL", load)
    monkeypatch.setattr(devices, "_ICDS", tmp_path)
    assert "package ocl-icd-libopencl1" in str(explain_driver("GPU"))
    assert "package libze1" in str(explain_driver("NPU"))
    here |= {"libOpenCL.so.1", "libze_loader.so.1"}
    assert "package intel-opencl-icd" in str(explain_driver("GPU"))
    assert "package intel-level-zero-npu" in str(explain_driver("NPU"))
    (tmp_path / "intel.icd").write_text("libigdrcl.so")
    here.add("libze_intel_npu.so.1")
    assert explain_driver("GPU") is None
    assert explain_driver("NPU") is None


def test_what_stands_in_the_way_is_said_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inventory, "explain_driver", lambda _: "libOpenCL.so.1 can't be loaded")
    missing = inventory._explain(Device("GPU").kind, ("CPU",))
    assert missing.message.endswith("; besides, libOpenCL.so.1 can't be loaded")
