"""Pods follow the load: on CPU with metrics-server, on the queue with Prometheus and KEDA."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests import models
from tests.cluster_fixture import DevCluster
from tests.e2e.autoscalers import PROMETHEUS, run_autoscalers
from tests.e2e.conftest import Site
from tests.e2e.waiting import wait_until
from tools.servers.autoscalers import build_autoscalers

pytestmark = pytest.mark.cluster

ONE = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 4], "data": [1, 2, 3, 4]}]}
CLIENT = """
import sys, threading, urllib.request

def ask_for_ever():
    while True:
        request = urllib.request.Request(sys.argv[1], sys.argv[2].encode(), {"Content-Type": "application/json"})
        try:
            urllib.request.urlopen(request, timeout=60).read()
        except OSError:  # a pod that goes while it is asked
            pass

for _ in range(int(sys.argv[3])):
    threading.Thread(target=ask_for_ever).start()
"""
FAST = {"scaleUp": {"stabilizationWindowSeconds": 0}, "scaleDown": {"stabilizationWindowSeconds": 0}}


@pytest.fixture(scope="module")
def autoscalers(
    installed: DevCluster, prometheus_binary: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[None]:
    folder = tmp_path_factory.mktemp("autoscalers")
    with run_autoscalers(installed, build_autoscalers(), prometheus_binary, folder):
        yield


@pytest.fixture
def slow(tmp_path: Path, put_model: Callable[[Path], str]) -> str:
    """x: f32 [1, 4]; some 30 ms of a core for each request."""
    file = models.write_slow(tmp_path / "slow.xml")
    put_model(file.with_suffix(".bin"))
    return put_model(file)


@contextmanager
def load(site: Site, name: str, clients: int) -> Iterator[None]:
    """So many requests at any time, each on a connection of its own."""
    address = site.kubectl("get", "service", name, "-o", "jsonpath={.spec.clusterIP}")
    url = f"http://{address}:8000/v2/models/{name}/infer"
    command = site.cluster.argv(sys.executable, "-c", CLIENT, url, json.dumps(ONE), str(clients))
    with subprocess.Popen(command) as process:
        try:
            yield
        finally:
            process.kill()


def wait_replicas(site: Site, name: str, is_right: Callable[[int], bool], what: str, autoscaler: str) -> None:
    """Asked for by the autoscaler, and there."""

    def reached() -> bool:
        found = site.get("vis", name)
        wanted, there = found["spec"]["replicas"], found["status"].get("readyReplicas", 0)
        return is_right(wanted) and wanted == there == found["status"]["replicas"]

    wait_until(
        reached,
        f"{what} of {name}",
        120,
        lambda: site.kubectl("describe", "vis", name) + site.kubectl("describe", "hpa", autoscaler),
    )


def pods(site: Site, name: str) -> set[str]:
    return {pod["name"] for pod in site.status(name)["pods"]}


def make_scaled_object(name: str, query: str, threshold: str) -> dict[str, Any]:
    target = {"apiVersion": "vinoserve.dev/v1alpha1", "kind": "InferenceService", "name": name}
    metadata = {"serverAddress": PROMETHEUS, "query": query, "threshold": threshold}
    return {
        "apiVersion": "keda.sh/v1alpha1",
        "kind": "ScaledObject",
        "metadata": {"name": name},
        "spec": {
            "scaleTargetRef": target,
            "minReplicaCount": 1,
            "maxReplicaCount": 3,
            "advanced": {"horizontalPodAutoscalerConfig": {"behavior": FAST}},
            "triggers": [{"type": "prometheus", "metadata": metadata}],
        },
    }


def test_on_cpu_with_metrics_server(site: Site, slow: str, autoscalers: None) -> None:
    cpu = {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 60}}
    spec = {
        "model": {"uri": slow},
        "resources": {"requests": {"cpu": "200m"}, "limits": {"cpu": "500m"}},
        "autoscaling": {
            "maxReplicas": 3,
            "metrics": [{"type": "Resource", "resource": cpu}],
            "behavior": FAST,
        },
    }
    site.apply("busy", spec)
    first = site.wait_ready("busy")["pods"][0]["name"]
    site.wait_condition("busy", "ScalingActive", "True", "Scaling", 120)
    with load(site, "busy", 2):
        wait_replicas(site, "busy", lambda wanted: wanted > 1, "more pods", "busy")
        assert first in pods(site, "busy"), "those that are there stay"
    wait_replicas(site, "busy", lambda wanted: wanted == 1, "one pod again", "busy")

    second = make_scaled_object("busy", "vector(1)", "1")
    site.kubectl("apply", "-f", "-", input=json.dumps(second))
    message = site.wait_condition("busy", "ScalingActive", "False", "AnotherAutoscaler", 120)
    assert "keda-hpa-busy" in message
    site.kubectl("delete", "scaledobject", "busy", "--timeout=60s")

    site.kubectl("patch", "vis", "busy", "--type=merge", "-p", '{"spec": {"suspend": true}}')
    site.wait_condition("busy", "ScalingActive", "False", "Suspended")
    wait_until(lambda: not site.kubectl("get", "hpa", "-o", "name"), "the autoscaler is gone")
    site.kubectl("delete", "vis", "busy", "--timeout=60s")


def test_on_the_queue_with_prometheus_and_keda(site: Site, slow: str, autoscalers: None) -> None:
    site.apply("queued", {"model": {"uri": slow}, "hints": {"numRequests": 1}})
    first = site.wait_ready("queued")["pods"][0]["name"]
    query = f'sum(vinoserve_queue_length{{namespace="{site.namespace}"}})'
    site.kubectl("apply", "-f", "-", input=json.dumps(make_scaled_object("queued", query, "2")))
    autoscaler = "keda-hpa-queued"
    with load(site, "queued", 8):
        wait_replicas(site, "queued", lambda wanted: wanted > 1, "more pods", autoscaler)
        assert first in pods(site, "queued")
    wait_replicas(site, "queued", lambda wanted: wanted == 1, "one pod again", autoscaler)
    assert site.condition("queued", "Ready")[0] == "True"
    site.kubectl("delete", "scaledobject", "queued", "--timeout=60s")
