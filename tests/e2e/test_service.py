"""The life of a service, as its owner sees it: apply, Ready, infer, edit, scale, delete."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests import models
from tests.e2e.conftest import Site
from tests.e2e.waiting import wait_until

pytestmark = pytest.mark.cluster

ONE = [{"name": "x", "datatype": "FP32", "shape": [1, 4], "data": [-1, 0, 2.5, 3]}]


@pytest.fixture
def relu(tmp_path: Path, put_model: Callable[[Path], str]) -> str:
    """y = relu(x + 1), x: f32 [1, 4]"""
    return put_model(models.write_adder(tmp_path / "relu.onnx"))


def data(answer: dict[str, Any]) -> list[float]:
    return list(answer["outputs"][0]["data"])


def test_apply_ready_infer_edit_delete(site: Site, relu: str) -> None:
    site.apply("relu", {"model": {"uri": relu}, "resources": {"limits": {"memory": "512Mi"}}})
    status = site.wait_ready("relu")
    assert status["executionDevices"] == ["CPU"]
    assert status["model"]["digest"].startswith("sha256:")
    assert status["observedGeneration"] == 1
    assert status["startup"]["compileSeconds"] > 0
    assert data(site.infer("relu", ONE)) == [0, 1, 3.5, 4]
    first = {pod["name"] for pod in status["pods"]}

    site.apply(
        "relu", {"model": {"uri": relu, "name": "again"}, "resources": {"limits": {"memory": "512Mi"}}}
    )
    status = site.wait_ready("relu")
    assert status["observedGeneration"] == 2, "Ready must never speak of an older generation"
    assert first.isdisjoint(pod["name"] for pod in status["pods"])
    assert data(site.infer("relu", ONE, served="again")) == [0, 1, 3.5, 4]

    site.kubectl("delete", "vis", "relu", "--timeout=60s")
    wait_until(
        lambda: "relu" not in site.kubectl("get", "deployments,services,configmaps,pods", "-o", "name"),
        "the children are gone",
        120,
        lambda: site.kubectl("get", "all,configmaps"),
    )


def test_scaling_keeps_the_running_pods(site: Site, relu: str) -> None:
    site.apply("relu", {"model": {"uri": relu}})
    first = site.wait_ready("relu")["pods"][0]["name"]
    site.kubectl("scale", "vis/relu", "--replicas=2")
    wait_until(
        lambda: site.status("relu").get("readyReplicas") == 2,
        "two replicas are ready",
        180,
        lambda: site.kubectl("describe", "vis", "relu"),
    )
    assert first in {pod["name"] for pod in site.status("relu")["pods"]}
    site.kubectl("patch", "vis", "relu", "--type=merge", "-p", '{"spec": {"suspend": true}}')
    site.wait_condition("relu", "Ready", "False", "Suspended")
    wait_until(lambda: site.status("relu").get("replicas", 0) == 0, "no pod is left", 120)


def test_what_kubectl_get_shows(site: Site, relu: str) -> None:
    site.apply("relu", {"model": {"uri": relu}})
    site.wait_ready("relu")
    header, row = site.kubectl("get", "vis", "-o", "wide").splitlines()
    assert header.split() == [
        "NAME", "READY", "REASON", "MODEL", "DEVICE", "RUNS-ON", "REPLICAS", "READY-REPLICAS", "AGE", "URL",
    ]  # fmt: skip
    assert row.split()[:8] == ["relu", "True", "Ready", relu, "CPU", "CPU", "1", "1"]
    described = site.kubectl("describe", "vis", "relu")
    assert "Events:" in described
    assert described.rstrip().count("Ready") > 1


def test_a_gpu_from_the_device_plugin(site: Site, relu: str) -> None:
    site.apply("on-gpu", {"model": {"uri": relu}, "targetDevice": "GPU", "podTemplate": site.emulated_gpu})
    status = site.wait_ready("on-gpu", 600)
    assert status["executionDevices"] == ["GPU.0"]
    assert "emulated" in status["deviceNames"][0]
    assert "GPU.0" in site.kubectl("get", "vis", "on-gpu")
    assert data(site.infer("on-gpu", ONE)) == [0, 1, 3.5, 4]
    pods = json.loads(site.kubectl("get", "pods", "-o", "json"))["items"]
    assert [pod["spec"]["containers"][0]["resources"]["limits"]["gpu.intel.com/xe"] for pod in pods] == ["1"]


def test_an_invalid_edit_leaves_the_good_pods_serving(site: Site, relu: str) -> None:
    site.apply("relu", {"model": {"uri": relu}})
    pods = site.wait_ready("relu")["pods"]
    site.apply("relu", {"model": {"uri": relu}, "accelerators": [{"class": "nosuch", "count": 1}]})
    message = site.wait_condition("relu", "Accepted", "False", "AcceleratorClassNotFound")
    assert "nosuch" in message
    assert "intel-gpu" in message
    assert data(site.infer("relu", ONE)) == [0, 1, 3.5, 4]
    assert [pod["name"] for pod in site.status("relu")["pods"]] == [pod["name"] for pod in pods]
