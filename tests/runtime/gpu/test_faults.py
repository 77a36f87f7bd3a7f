"""A GPU that fails while it serves, with OpenVINO's real plugin: doubted at once, forgiven once, given up in seconds."""

import time
from pathlib import Path

import numpy as np
import pytest

from tests.models import write_adder, write_multiplier
from tests.runtime.configs import make_config
from tests.runtime.lifecycle.process import Runtime, running
from vinoserve_api.contract import RuntimeReport

pytestmark = [pytest.mark.gpu_emulated, pytest.mark.timeout(600)]

X = {"x": ((1, 4), [1, 2, 3, 4])}


@pytest.fixture
def fault(tmp_path: Path) -> Path:
    """As long as it is there, every kernel fails with the OpenCL error code in it."""
    return tmp_path / "fault"


def begin(fault: Path, code: int) -> None:
    part = fault.with_suffix(".part")
    part.write_text(str(code))
    part.rename(fault)


@pytest.mark.parametrize("code", [-2, -5], ids=["CL_DEVICE_NOT_AVAILABLE", "CL_OUT_OF_RESOURCES"])
def test_a_lost_gpu_ends_the_process_within_seconds(
    one_gpu: dict[str, str], tmp_path: Path, fault: Path, ports: tuple[int, int], code: int
) -> None:
    config = make_config(write_adder(tmp_path / "m.xml"), targetDevice="GPU")
    with running(config, tmp_path, env={**one_gpu, "FAKEGPU_FAULT": str(fault)}, ports=ports) as runtime:
        assert runtime.until_ready().infer(**X).status_code == 200
        begin(fault, code)
        started = time.monotonic()
        assert runtime.infer(**X).status_code == 500
        assert runtime.get("/readyz").status_code == 503
        assert runtime.get("/livez").status_code == 200
        status, log = runtime.ended()
        assert time.monotonic() - started < 30
    assert status == 1
    (error,) = [line for line in log if line["level"] == "error"]
    assert error["reason"] == "DeviceLost"
    assert "CL_" in error["event"]
    assert "driver bug" not in error["event"]


def test_a_gpu_that_recovers_is_trusted_again(
    one_gpu: dict[str, str], tmp_path: Path, fault: Path, ports: tuple[int, int]
) -> None:
    config = make_config(write_adder(tmp_path / "m.xml"), targetDevice="GPU")
    with running(config, tmp_path, env={**one_gpu, "FAKEGPU_FAULT": str(fault)}, ports=ports) as runtime:
        runtime.until_ready()
        begin(fault, -2)
        assert runtime.infer(**X).status_code == 500
        fault.unlink()
        assert runtime.until_ready().infer(**X).status_code == 200
        assert runtime.report().engine_errors >= 1
        assert runtime.terminate() == 0


def test_auto_goes_on_with_the_cpu_and_says_so(
    one_gpu: dict[str, str], tmp_path: Path, fault: Path, ports: tuple[int, int]
) -> None:
    config = make_config(write_adder(tmp_path / "m.xml"), targetDevice="AUTO:GPU,CPU")
    with running(config, tmp_path, env={**one_gpu, "FAKEGPU_FAULT": str(fault)}, ports=ports) as runtime:
        runtime.until_ready().until(lambda report: report.on_requested_device is True)
        begin(fault, -2)
        assert runtime.infer(**X).status_code == 200
        report = runtime.until(lambda report: report.on_requested_device is False)
        assert report.execution_devices == ("CPU",)
        assert [w for w in report.warnings if "asked for AUTO:GPU,CPU, but it runs on CPU" in w]
        assert runtime.infer(**X).status_code == 200
        assert runtime.terminate() == 0


def test_parity_shows_what_half_precision_costs_on_the_gpu(
    one_gpu: dict[str, str], tmp_path: Path, ports: tuple[int, int]
) -> None:
    path, exact = write_weights(tmp_path), {"random": 3, "tolerance": {"rtol": 0, "atol": 0.001}}
    config = make_config(path, targetDevice="GPU", parity=exact)
    with running(config, tmp_path, env=one_gpu, ports=ports) as runtime:
        status, log = runtime.ended()
    assert status == 1
    assert log[-1]["reason"] == "ParityMismatch"
    assert "output 'y'" in log[-1]["event"]
    assert "hints.inferencePrecision: f32" in log[-1]["event"]
    config = make_config(path, targetDevice="GPU", parity=exact, hints={"inferencePrecision": "f32"})
    with running(config, tmp_path, env=one_gpu, ports=ports) as runtime:
        report = check_passed(runtime)
        assert report.startup.parity_seconds is not None


def write_weights(folder: Path) -> Path:
    return write_multiplier(folder / "m.xml", np.random.default_rng(1).standard_normal((256, 64)))


def check_passed(runtime: Runtime) -> RuntimeReport:
    report = runtime.until_ready().report()
    assert report.parity is not None
    assert report.parity.passed
    assert report.parity.samples == 3
    assert runtime.terminate() == 0
    return report
