"""Each way to fail has its own reason in `kubectl get vis`."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests import models
from tests.e2e.conftest import Site

pytestmark = pytest.mark.cluster


@pytest.fixture
def relu(tmp_path: Path, put_model: Callable[[Path], str]) -> str:
    return put_model(models.write_adder(tmp_path / "relu.onnx"))


def test_wrong_digest(site: Site, relu: str) -> None:
    site.apply("wrong", {"model": {"uri": relu, "digest": "sha256:" + "0" * 64}})
    message = site.wait_condition("wrong", "Ready", "False", "DigestMismatch")
    assert "0" * 64 in message
    assert "DigestMismatch" in site.kubectl("get", "vis", "wrong")


def test_missing_model(site: Site) -> None:
    site.apply("missing", {"model": {"uri": "pvc://models/nothing.onnx"}})
    message = site.wait_condition("missing", "Ready", "False", "ModelNotFound")
    assert "nothing.onnx" in message


def test_missing_device(site: Site, relu: str) -> None:
    site.apply("blind", {"model": {"uri": relu}, "targetDevice": "GPU", "accelerators": []})
    site.wait_condition("blind", "Ready", "False", "DeviceNotFound")
    assert site.condition("blind", "DeviceReady")[:2] == ("False", "DeviceNotFound")


def test_no_unit_left(site: Site, relu: str) -> None:
    site.apply(
        "greedy",
        {
            "model": {"uri": relu},
            "targetDevice": "GPU",
            "accelerators": [{"class": "intel-gpu", "count": 60}],
        },
    )
    message = site.wait_condition("greedy", "Ready", "False", "Unschedulable")
    assert "gpu.intel.com/xe" in message


def test_unsupported_operator(site: Site, tmp_path: Path, put_model: Callable[[Path], str]) -> None:
    inverse = models.write_inverse(tmp_path / "inverse.xml")
    for part in inverse.parent.glob("inverse.*"):
        put_model(part)
    site.apply(
        "inverse",
        {
            "model": {"uri": "pvc://models/inverse.xml"},
            "targetDevice": "GPU",
            "podTemplate": site.emulated_gpu,
        },
    )
    message = site.wait_condition("inverse", "Ready", "False", "UnsupportedOperator", 600)
    assert "Inverse" in message
    assert "HETERO:GPU,CPU" in message


def test_auto_without_a_gpu_is_never_silently_ready(site: Site, relu: str) -> None:
    auto = {"model": {"uri": relu}, "targetDevice": "AUTO:GPU,CPU", "accelerators": []}
    site.apply("strict", {**auto, "onFallback": "Fail"})
    site.apply("lenient", auto)
    site.wait_condition("strict", "Ready", "False", "DeviceNotFound")
    site.wait_ready("lenient")
    assert site.condition("lenient", "DeviceReady")[:2] == ("False", "FellBackToCPU")
    assert site.status("lenient")["executionDevices"] == ["CPU"]
