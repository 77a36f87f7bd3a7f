"""What a change takes down: nothing that serves, but for the one pod whose device its successor needs."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests import models
from tests.cluster_fixture import DevCluster
from tests.e2e.conftest import CHART, SYSTEM, Site
from tests.e2e.waiting import wait_until

pytestmark = pytest.mark.cluster

ONE = [{"name": "x", "datatype": "FP32", "shape": [1, 4], "data": [-1, 0, 2.5, 3]}]
WRONG, WRONG_TOO = ("sha256:" + digit * 64 for digit in "01")


@pytest.fixture
def relu(tmp_path: Path, put_model: Callable[[Path], str]) -> str:
    return put_model(models.write_adder(tmp_path / "relu.onnx"))


def pods(site: Site, name: str) -> dict[str, bool]:
    """Whether each is ready, by name."""
    return {pod["name"]: pod["ready"] for pod in site.status(name).get("pods", [])}


def serves(site: Site, name: str) -> bool:
    return list(site.infer(name, ONE)["outputs"][0]["data"]) == [0, 1, 3.5, 4]


def test_a_bad_generation_leaves_the_good_pods_serving(site: Site, relu: str) -> None:
    good = {"model": {"uri": relu}, "replicas": 2}
    site.apply("relu", good)
    site.wait_ready("relu")
    before = pods(site, "relu")
    site.apply("relu", {"model": {"uri": relu, "digest": WRONG}, "replicas": 2})
    message = site.wait_condition("relu", "Ready", "False", "DigestMismatch")
    assert "2 pods go on serving" in message
    present = pods(site, "relu")
    assert before.items() <= present.items()
    assert len(present) == 3, "one new pod, beside the old ones"
    assert serves(site, "relu")

    site.apply("relu", good)
    site.wait_ready("relu")
    assert pods(site, "relu") == before, "back to what was is no rollout"


def test_exclusive_devices_are_never_asked_for_twice(site: Site, relu: str) -> None:
    """Two GPUs, and two pods that hold one each (and compute on the CPU)."""
    good: dict[str, Any] = {
        "model": {"uri": relu},
        "accelerators": [{"class": "intel-gpu", "count": 1}],
        "replicas": 2,
    }
    site.apply("holder", good)
    site.wait_ready("holder")
    before = set(pods(site, "holder"))
    site.apply("holder", {**good, "model": {"uri": relu, "digest": WRONG}})
    message = site.wait_condition("holder", "Ready", "False", "DigestMismatch")
    assert "1 pod goes on serving" in message
    present = pods(site, "holder")
    assert len(present) == 2
    assert len(before & present.keys()) == 1
    assert serves(site, "holder")

    site.apply("holder", good)
    site.wait_ready("holder")
    site.kubectl("scale", "vis/holder", "--replicas=3")
    message = site.wait_condition("holder", "Ready", "False", "Unschedulable")
    assert "Insufficient gpu.intel.com/xe" in message
    assert "2 pods go on serving" in message
    site.kubectl("scale", "vis/holder", "--replicas=1")
    site.wait_condition("holder", "Ready", "True", "Ready")

    site.apply("holder", {**good, "replicas": 1, "model": {"uri": relu, "digest": WRONG_TOO}})
    message = site.wait_condition("holder", "Ready", "False", "DigestMismatch")
    assert "the old pods went first" in message


def test_other_settings_and_a_new_operator_touch_no_pod(installed: DevCluster, site: Site, relu: str) -> None:
    site.apply("relu", {"model": {"uri": relu}, "replicas": 2, "rollout": {"minReadySeconds": 1}})
    site.wait_ready("relu")
    before, deployment = pods(site, "relu"), site.get("deployment", "relu")["metadata"]["generation"]
    operators = {pod["metadata"]["uid"] for pod in installed.get("pods", "-n", SYSTEM)["items"]}

    def set_level(level: str) -> None:
        changed = ("--reuse-values", "--set", f"logLevel={level}")
        installed.helm("upgrade", "vinoserve", CHART, "-n", SYSTEM, "--wait", *changed, timeout=300)

    set_level("debug")
    try:
        wait_until(
            lambda: operators.isdisjoint(
                pod["metadata"]["uid"] for pod in installed.get("pods", "-n", SYSTEM)["items"]
            ),
            "another operator works",
        )
        site.kubectl("scale", "vis/relu", "--replicas=3")  # which shows that it works
        wait_until(lambda: list(pods(site, "relu").values()) == [True] * 3, "three pods")
        assert before.items() <= pods(site, "relu").items()
        assert site.get("deployment", "relu")["metadata"]["generation"] == deployment + 1
    finally:
        set_level("info")
