"""New pods start from a cache that a Job has filled before: on a claim, and on the node."""

import json
from collections.abc import Callable, Iterator
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
    return put_model(models.write_adder(tmp_path / "relu.onnx"))


@pytest.fixture
def claim(site: Site) -> Iterator[str]:
    """A claim that pods may write, as an admin prepares it: the group of the folder behind it is the pods'."""
    name = f"{site.namespace}-cache"
    folder = site.models / "cache"
    folder.mkdir()
    folder.chmod(0o777)
    size = {"storage": "1Gi"}
    documents = [
        {
            "apiVersion": "v1",
            "kind": "PersistentVolume",
            "metadata": {"name": name},
            "spec": {
                "accessModes": ["ReadWriteMany"],
                "capacity": size,
                "hostPath": {"path": str(folder)},
                "claimRef": {"namespace": site.namespace, "name": "cache"},
            },
        },
        {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {"name": "cache", "namespace": site.namespace},
            "spec": {
                "accessModes": ["ReadWriteMany"],
                "storageClassName": "",
                "volumeName": name,
                "resources": {"requests": size},
            },
        },
    ]
    site.kubectl(
        "apply", "-f", "-", input=json.dumps({"apiVersion": "v1", "kind": "List", "items": documents})
    )
    yield "cache"
    site.kubectl("delete", "vis", "--all", "--timeout=60s")
    site.cluster.kubectl("delete", "pv", name, "--wait=false")


def find_jobs(site: Site) -> list[str]:
    return sorted(site.kubectl("get", "jobs", "-o", "name").split())


def test_new_pods_start_from_the_cache_and_a_bad_model_takes_none_of_the_old_down(
    site: Site, relu: str, claim: str, tmp_path: Path, put_model: Callable[[Path], str]
) -> None:
    spec: dict[str, Any] = {
        "model": {"uri": relu},
        "precompile": True,
        "cache": {"compiled": {"type": "PersistentVolumeClaim", "claimName": claim}},
    }
    site.apply("relu", spec)
    site.wait_condition("relu", "Reconciling", "True", "Precompiling")
    status = site.wait_ready("relu")
    assert status["startup"]["cacheHit"] is True, "the very first pod"
    assert len(find_jobs(site)) == 1
    (pod,) = status["pods"]
    events = site.kubectl("get", "endpointslices", "-o", "json")
    assert pod["name"] in events
    assert "-compile-" not in events, "no Service sends requests to a Job's pod"

    site.kubectl("scale", "vis/relu", "--replicas=2")
    wait_until(lambda: site.status("relu").get("readyReplicas") == 2, "two replicas are ready", 180)
    assert len(find_jobs(site)) == 1, "replicas compile nothing anew"
    site.kubectl("scale", "vis/relu", "--replicas=1")

    site.apply("relu", {**spec, "hints": {"performanceMode": "THROUGHPUT"}})
    assert site.wait_ready("relu")["startup"]["cacheHit"] is True
    before = {one["name"] for one in site.status("relu")["pods"]}

    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"no model at all")
    site.apply("relu", {**spec, "model": {"uri": put_model(broken)}})
    message = site.wait_condition("relu", "Stalled", "True", "ModelInvalid", 180)
    assert "Job relu-compile-" in message
    assert "go on serving" in message or "goes on serving" in message
    assert before <= {one["name"] for one in site.status("relu")["pods"]}
    assert site.infer("relu", ONE)["outputs"][0]["data"] == [0, 1, 3.5, 4]

    site.apply("relu", {**spec, "hints": {"performanceMode": "THROUGHPUT"}})
    status = site.wait_ready("relu")
    assert before == {one["name"] for one in status["pods"]}, "the old pods were what is wanted, all along"


def test_an_idle_pod_gives_its_model_back_and_answers_from_the_cache(
    site: Site, relu: str, claim: str
) -> None:
    site.apply(
        "relu",
        {
            "model": {"uri": relu},
            "idle": {"releaseAfterSeconds": 5},
            "cache": {"compiled": {"type": "PersistentVolumeClaim", "claimName": claim}},
        },
    )
    site.wait_ready("relu")
    site.wait_condition("relu", "Ready", "True", "Idle", 120)
    status = site.status("relu")
    assert status["pods"][0]["releasedAt"] in site.condition("relu", "DeviceReady")[2]
    assert site.condition("relu", "DeviceReady")[:2] == ("True", "OnRequestedDevice")
    assert "Idle" in site.kubectl("get", "vis", "relu")
    assert site.infer("relu", ONE)["outputs"][0]["data"] == [0, 1, 3.5, 4]


@pytest.fixture
def host_path_class(site: Site) -> Iterator[str]:
    """An AcceleratorClass that allows a cache on the node, in a folder that its admin has prepared."""
    folder = site.models / "host"
    folder.mkdir()
    site.cluster.run("chown", "root:65532", folder)
    folder.chmod(0o2770)
    name = site.namespace
    document = {
        "apiVersion": "vinoserve.dev/v1alpha1",
        "kind": "AcceleratorClass",
        "metadata": {"name": name},
        "spec": {
            "deviceType": "GPU",
            "devicePlugin": {"resourceName": "gpu.intel.com/xe"},
            "hostPathCache": str(folder),
        },
    }
    site.cluster.kubectl("apply", "-f", "-", input=json.dumps(document))
    yield name
    site.kubectl("delete", "vis", "--all", "--timeout=60s")
    site.cluster.kubectl("delete", "acceleratorclass", name)


def test_a_cache_on_the_node_is_the_services_own_and_a_job_takes_no_device_away(
    site: Site, relu: str, host_path_class: str
) -> None:
    """The cluster has two GPUs, which the two pods hold."""
    spec: dict[str, Any] = {
        "model": {"uri": relu},
        "accelerators": [{"class": host_path_class, "count": 1}],
        "replicas": 2,
        "precompile": True,
        "cache": {"compiled": {"type": "HostPath"}},
    }
    site.kubectl(
        "label", "namespace", site.namespace, "pod-security.kubernetes.io/enforce=privileged", "--overwrite"
    )
    site.apply("relu", spec)
    assert site.wait_ready("relu")["startup"]["cacheHit"] is True
    own = site.models / "host" / site.namespace / "relu"
    assert list(own.glob("*/*.blob.*")), "below it, by namespace and name"
    assert (own.stat().st_gid, own.stat().st_mode & 0o7777) == (65532, 0o2770)

    changed = {**spec, "hints": {"performanceMode": "THROUGHPUT"}}
    site.apply("relu", changed)
    message = site.wait_condition("relu", "Stalled", "True", "Unschedulable", 120)
    assert "the pods that serve hold the devices" in message
    assert site.infer("relu", ONE)["outputs"][0]["data"] == [0, 1, 3.5, 4]
    site.apply("relu", {**changed, "rollout": {"strategy": "Recreate"}})
    site.wait_ready("relu")

    without = {key: value for key, value in spec.items() if key != "accelerators"}
    site.apply("relu", without)
    message = site.wait_condition("relu", "Accepted", "False", "HostPathNotAllowed")
    assert "take a PersistentVolumeClaim" in message
