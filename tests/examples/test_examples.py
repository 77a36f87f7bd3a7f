"""The examples at work: each is served by `vinoserve serve` with a small model, on the CPU and on emulated GPUs."""

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import openvino as ov
import pytest
import yaml

from tests.examples.rows import NEEDS_HARDWARE, ROWS, Row
from tests.runtime.rest.process import Served, serving_manifest
from tests.triton_rest import infer
from tools import fakegpu

# What Triton's client does is its own.
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

FOLDER = Path(__file__).parents[2] / "examples"
BY_ITSELF = sorted(name for name, row in ROWS.items() if 0 in row.on)
WITH_GPUS = sorted(name for name, row in ROWS.items() if row.gpus)
#: One example for each target that needs a device which isn't there.
REFUSED = [
    *NEEDS_HARDWARE,
    *("devices/gpu", "devices/second-gpu", "devices/hetero", "devices/multi", "devices/auto-two-gpus"),
    "performance/batch-gpu",
]
PATIENCE = 300.0


def test_every_example_of_a_service_is_here() -> None:
    found = {
        path.relative_to(FOLDER).with_suffix("").as_posix()
        for path in FOLDER.rglob("*.yaml")
        if "kind: InferenceService" in path.read_text()
    }
    assert found == ROWS.keys() | NEEDS_HARDWARE.keys()


def write_service(name: str, model: Path, folder: Path) -> Path:
    """The example as it is, but for where its model comes from."""
    body = yaml.safe_load((FOLDER / f"{name}.yaml").read_text())
    body["metadata"]["name"] = "m"
    body["spec"]["model"]["uri"] = f"file:{model}"
    body["spec"]["model"].pop("digest", None)
    manifest = folder / "service.yaml"
    manifest.write_text(yaml.safe_dump(body))
    return manifest


@contextmanager
def serving(name: str, row: Row, folder: Path, gpus: int) -> Iterator[tuple[Served, Path]]:
    (folder / "model").mkdir()
    model = row.model(folder / "model")
    env = fakegpu.environment(count=gpus) if gpus else {}
    with serving_manifest(write_service(name, model, folder), folder, env) as served:
        yield served, model


def report(served: Served) -> Any:
    return httpx.get(f"http://127.0.0.1:{served.admin_port}/report", timeout=60).json()


def settled(served: Served) -> Any:
    """The report once no device stands in for another."""
    deadline = time.monotonic() + PATIENCE
    said = report(served)
    while any("(" in device for device in said["executionDevices"]):
        assert time.monotonic() < deadline, said
        time.sleep(0.1)
        said = report(served)
    return said


def check(name: str, row: Row, folder: Path, gpus: int) -> None:
    with serving(name, row, folder, gpus) as (served, model):
        said = settled(served)
        assert set(said["executionDevices"]) == row.on[gpus]
        expected = row.reference(ov.Core().read_model(model_file(model)), row.tensors)
        is_file = any(tensor.dtype == np.object_ for tensor in row.tensors.values())
        for binary in (
            (True,) if is_file else (True, False)
        ):  # Triton's client can't put a file's bytes into JSON
            results = infer(served.url, "m", row.tensors, binary=binary)
            compare(results, expected, row.tolerance)


def model_file(path: Path) -> Path:
    """What OpenVINO's own reader takes."""
    if path.name.endswith(".tar.gz"):
        return path.with_name("1")
    return next(path.glob("*.pdmodel")) if path.is_dir() else path


def compare(results: Mapping[str, np.ndarray], expected: list[np.ndarray], tolerance: float) -> None:
    assert len(results) == len(expected)
    for (output, result), reference in zip(results.items(), expected, strict=True):
        assert (result.shape, result.dtype) == (reference.shape, reference.dtype), output
        assert np.isfinite(result).all(), output
        np.testing.assert_allclose(result, reference, rtol=tolerance, atol=tolerance, err_msg=output)


@pytest.mark.parametrize("name", BY_ITSELF)
def test_on_the_cpu(name: str, tmp_path: Path) -> None:
    check(name, ROWS[name], tmp_path, 0)


@pytest.mark.gpu_emulated
@pytest.mark.parametrize("name", WITH_GPUS)
def test_on_gpus(name: str, tmp_path: Path) -> None:
    check(name, ROWS[name], tmp_path, ROWS[name].gpus)


def refusal(name: str, folder: Path, gpus: int) -> dict[str, str]:
    """What the process ends with."""
    row = ROWS.get(name, ROWS["devices/hetero"])
    with pytest.raises(AssertionError) as caught, serving(name, row, folder, gpus):
        pass
    lines = [json.loads(line) for line in str(caught.value).splitlines() if line.startswith("{")]
    return next(line for line in reversed(lines) if "reason" in line)


@pytest.mark.parametrize("name", REFUSED)
def test_without_its_device_it_is_refused_with_the_devices_name(name: str, tmp_path: Path) -> None:
    said = refusal(name, tmp_path, 0)
    assert said["reason"] == "DeviceNotFound"
    assert NEEDS_HARDWARE.get(name, "GPU") in said["event"]


@pytest.mark.gpu_emulated
@pytest.mark.parametrize(("name", "gpus", "named"), [("devices/gpu-tile", 2, "GPU.1.0"), ("devices/npu", 1, "NPU"),
    ("devices/second-gpu", 1, "GPU.1"), ("devices/multi", 1, "GPU.1"), ("devices/auto-two-gpus", 1, "GPU.1")])  # fmt: skip
def test_a_gpu_is_no_substitute_for_what_is_not_there(
    name: str, gpus: int, named: str, tmp_path: Path
) -> None:
    said = refusal(name, tmp_path, gpus)
    assert said["reason"] == "DeviceNotFound"
    assert named in said["event"]
