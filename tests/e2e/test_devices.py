"""The three ways to a device, as a pod sees them, and what services and classes say where a device can't be had.

The pods compute on their CPU: the devices only have nodes here. So what is looked at is which nodes a pod has, and what keeps it
from opening them.
"""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import models
from tests.cluster_fixture import DevCluster
from tests.e2e.conftest import CHART, SYSTEM, Site, open_site
from tests.e2e.node_devices import (
    apply_class,
    look_into,
    node_group,
    node_program,
    on_node,
    wait_allocatable,
    wait_class,
)
from tests.e2e.waiting import wait_until

pytestmark = pytest.mark.cluster

RENDER = 992
OPENS = "ENXIO"  # nobody is behind the node, but cgroup and permissions let through


@pytest.fixture(scope="module")
def team(installed: DevCluster, model_folder: Path) -> Iterator[Site]:
    """One namespace for all of these tests: taking one away takes longer than most of them."""
    with open_site(installed, model_folder) as opened:
        models.write_adder(opened.models / "relu.onnx").chmod(0o644)
        yield opened


@pytest.fixture
def site(team: Site) -> Iterator[Site]:
    """Without pods before and after a test: they hold devices."""
    yield team
    remove(team)


@pytest.fixture
def relu() -> str:
    return "pvc://models/relu.onnx"


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("node")


@pytest.fixture(scope="module")
def render_group(installed: DevCluster) -> Iterator[int]:
    with node_group(installed, RENDER):
        yield RENDER


@pytest.fixture
def make_class(installed: DevCluster) -> Iterator[Callable[..., str]]:
    """Applies an AcceleratorClass that goes with the test; gives its name."""
    made: list[str] = []

    def make(name: str, **spec: Any) -> str:
        apply_class(installed, name, **spec)
        made.append(name)
        return name

    yield make
    for name in made:
        installed.kubectl("delete", "acceleratorclass", name, "--ignore-not-found")


def apply(site: Site, name: str, uri: str, *classes: str, **spec: Any) -> None:
    accelerators = [{"class": one, "count": 1} for one in classes]
    site.apply(name, {"model": {"uri": uri}, "accelerators": accelerators, **spec})


def remove(site: Site) -> None:
    """All services, and wait for their pods to give their devices back."""
    site.kubectl("delete", "vis", "--all", "--timeout=60s")
    wait_until(lambda: not site.kubectl("get", "pods", "-o", "name"), "no pod is left", 90)


def pods_of(site: Site, name: str) -> list[str]:
    return [pod["name"] for pod in site.wait_ready(name)["pods"]]


def render_nodes(seen: dict[str, Any]) -> dict[str, Any]:
    return {path: node for path, node in seen["nodes"].items() if "renderD" in path}


# --- device plugin


def test_an_exclusive_gpu_is_one_pods_own_and_a_full_node_says_so(
    site: Site, relu: str, render_group: int
) -> None:
    """By CDI, containerd gives the nodes to the container's user."""
    apply(site, "own", relu, "intel-gpu", replicas=2)
    seen = [look_into(site, pod) for pod in pods_of(site, "own")]
    nodes = [render_nodes(one) for one in seen]
    assert sorted(path for one in nodes for path in one) == ["/dev/dri/renderD128", "/dev/dri/renderD129"]
    for one in nodes:
        (node,) = one.values()
        assert (node["uid"], node["gid"], node["error"]) == (65532, 65532, OPENS)

    def allocated() -> object:
        return site.cluster.get("acceleratorclass", "intel-gpu")["status"].get("allocated")

    wait_until(lambda: allocated() == 2, "the class counts what pods hold", 60, lambda: str(allocated()))
    site.kubectl("scale", "vis/own", "--replicas=3")
    message = site.wait_condition("own", "Ready", "False", "Unschedulable", 60)
    assert "Insufficient gpu.intel.com/xe" in message


def test_without_cdi_only_the_render_group_opens_a_shared_gpu(
    site: Site, relu: str, render_group: int, logs: Path, make_class: Callable[..., str]
) -> None:
    resource = "gpu.intel.com/i915"
    plugin = {"resourceName": resource}
    make_class("shared", devicePlugin=plugin, renderGroups=[render_group], exclusive=False)
    make_class("other-distribution", devicePlugin=plugin, renderGroups=[109], exclusive=False)
    options = ("-resource", resource, "-shared-dev-num", "2", "-cdi", "")
    with node_program(site.cluster, logs / "i915.log", "gpu-plugin", *options):
        wait_allocatable(site.cluster, resource, 4)
        site.cluster.kubectl(
            "label", "node", "node1", f"vinoserve.dev/render-gid={render_group}", "--overwrite"
        )
        try:
            told = wait_class(site.cluster, "other-distribution", "RenderGroups", "False", "GroupMissing")
            assert "write renderGroups: [109, 992]" in told
            wait_class(site.cluster, "shared", "RenderGroups", "True", "GroupsMatch")

            apply(site, "shared", relu, "shared", replicas=3)
            apply(site, "refused", relu, "other-distribution", targetDevice="GPU")
            for pod in pods_of(site, "shared"):
                seen = look_into(site, pod)
                (node,) = render_nodes(seen).values()
                assert (seen["uid"], render_group in seen["groups"]) == (65532, True)
                assert (node["uid"], node["gid"], node["mode"], node["error"]) == (
                    0,
                    render_group,
                    "0o660",
                    OPENS,
                )

            message = site.wait_condition("refused", "DeviceReady", "False", "PermissionDenied", 90)
            assert "node node1 has its devices in group 992" in message
            assert "the pod has group 109" in message
            assert "add 992 to renderGroups" in message
        finally:
            site.cluster.kubectl("label", "node", "node1", "vinoserve.dev/render-gid-")
    wait_allocatable(site.cluster, resource, 0)


def test_an_npu_and_several_accelerators_in_one_pod(
    site: Site, relu: str, render_group: int, logs: Path, make_class: Callable[..., str]
) -> None:
    on_node(site.cluster, "mkdir", "-p", "/dev/accel")
    on_node(site.cluster, "mknod", "-m", "660", "/dev/accel/accel0", "c", "261", "0")
    resource = "npu.intel.com/accel"
    options = ("-resource", resource, "-devices", "/dev/accel")
    try:
        with (
            node_program(site.cluster, logs / "npu.log", "gpu-plugin", *options),
            dra_driver(site, logs),
        ):
            wait_allocatable(site.cluster, resource, 1)
            make_class("claimed", access="DRA", dra={"deviceClassName": "gpu.intel.com"})
            wait_class(site.cluster, "claimed", "Ready", "True", "Available")
            apply(site, "both", relu, "claimed", "intel-npu")
            (pod,) = pods_of(site, "both")
            nodes = look_into(site, pod)["nodes"]
            assert nodes["/dev/accel/accel0"]["error"] == OPENS
            assert len(render_nodes({"nodes": nodes})) == 1
    finally:
        on_node(site.cluster, "rm", "-r", "/dev/accel")


# --- Dynamic Resource Allocation

MEMORY = "device.capacity['gpu.intel.com'].memory.isGreaterThan(quantity('8Gi'))"
MODEL = "device.attributes['gpu.intel.com'].model == 'Flex 170'"


class dra_driver:  # noqa: N801  # a context
    """The driver with its DeviceClass; services go before it does, for only it takes claims back."""

    def __init__(self, site: Site, logs: Path, *options: str) -> None:
        self._site = site
        self._cluster = cluster = site.cluster
        kubeconfig = str(cluster.kubeconfig)
        command = ("gpu-dra", "-kubeconfig", kubeconfig, "-node", "node1", *options)
        self._program = node_program(cluster, logs / "dra.log", *command)

    def __enter__(self) -> None:
        device_class = {
            "apiVersion": "resource.k8s.io/v1",
            "kind": "DeviceClass",
            "metadata": {"name": "gpu.intel.com"},
            "spec": {
                "selectors": [{"cel": {"expression": "device.driver == 'gpu.intel.com'"}}],
                "extendedResourceName": "intel.com/gpu",
            },
        }
        self._cluster.kubectl("apply", "-f", "-", input=json.dumps(device_class))
        self._program.__enter__()
        wait_until(lambda: bool(self._cluster.get("resourceslices")["items"]), "devices are published", 60)

    def __exit__(self, *error: object) -> None:
        remove(self._site)
        self._program.__exit__(None, None, None)
        self._cluster.kubectl("delete", "resourceslices", "--all", "--wait=false")
        self._cluster.kubectl("delete", "deviceclass", "gpu.intel.com", "--ignore-not-found")


def test_devices_are_claimed_by_selectors_and_a_sick_one_is_told(
    site: Site, relu: str, render_group: int, logs: Path, make_class: Callable[..., str]
) -> None:
    sick = site.cluster.kubeconfig.parents[1] / "sick-by-test"
    dra = {"deviceClassName": "gpu.intel.com", "selectors": [MEMORY, MODEL]}
    make_class("flex", access="DRA", dra=dra)
    make_class("extended", devicePlugin={"resourceName": "intel.com/gpu"})
    with dra_driver(site, logs, "-unhealthy", str(sick)):
        wait_class(site.cluster, "flex", "Ready", "True", "Available")
        apply(site, "claims", relu, "flex")
        (pod,) = pods_of(site, "claims")
        ((path, node),) = render_nodes(look_into(site, pod)).items()
        assert (node["uid"], node["error"]) == (65532, OPENS)

        apply(site, "extended", relu, "extended")
        (other,) = pods_of(site, "extended")
        ((other_path, _),) = render_nodes(look_into(site, other)).items()
        assert other_path != path
        assert wait_class(site.cluster, "extended", "Ready", "True", "Available") == "1 node offers 2 units"

        sick.write_text("card0\n" if path.endswith("128") else "card1\n")
        try:
            told = wait_class(site.cluster, "flex", "Ready", "True", "DevicesTainted")
            assert "0x56c0 on node1 (gpu.intel.com/unhealthy NoExecute)" in told
            message = site.wait_condition("claims", "Ready", "False", "Unschedulable", 90)
            wait_until(
                lambda: "the driver taints" in site.condition("claims", "Ready")[2],
                "the service says what is wrong with its class",
                60,
                lambda: message,
            )
            assert pod not in site.kubectl("get", "pods", "-o", "name"), "NoExecute takes the pod off"
        finally:
            sick.unlink()
        (again,) = pods_of(site, "claims")
        assert again != pod


def test_a_driver_that_tells_neither_memory_nor_health_is_told(
    site: Site, relu: str, logs: Path, make_class: Callable[..., str]
) -> None:
    dra = {"deviceClassName": "gpu.intel.com", "selectors": [MEMORY]}
    make_class("by-memory", access="DRA", dra=dra)
    with dra_driver(site, logs, "-memory", "0", "-health", "Unknown"):
        told = wait_class(site.cluster, "by-memory", "Ready", "False", "SelectorNeverMatches")
        assert "memory 0 of all 2 devices" in told
        apply(site, "waits", relu, "by-memory")
        message = site.wait_condition("waits", "Ready", "False", "Unschedulable", 60)
        assert "cannot allocate all claims" in message
        assert "AcceleratorClass by-memory: spec.dra.selectors[0] asks for memory" in message


def test_what_the_api_server_says_of_a_selector_reaches_the_user(
    site: Site, relu: str, make_class: Callable[..., str]
) -> None:
    make_class(
        "broken", access="DRA", dra={"deviceClassName": "gpu.intel.com", "selectors": ["device.memory >"]}
    )
    apply(site, "broken", relu, "broken")
    message = site.wait_condition("broken", "Accepted", "False", "NotRenderable", 60)
    assert "cel.expression" in message


# --- host paths


def test_host_paths_take_a_namespace_that_admits_privileged_pods(
    site: Site, relu: str, render_group: int, make_class: Callable[..., str]
) -> None:
    make_class("host", access="HostPath", hostPath={"paths": ["/dev/dri"]}, renderGroups=[render_group])
    apply(site, "host", relu, "host")
    message = site.wait_condition("host", "Ready", "False", "PodsForbidden", 60)
    assert "privileged" in message
    privileged, restricted = (
        f"pod-security.kubernetes.io/enforce={one}" for one in ("privileged", "restricted")
    )
    site.cluster.kubectl("label", "namespace", site.namespace, privileged, "--overwrite")
    site.kubectl("delete", "replicaset", "--all")  # which waits ever longer between its tries
    try:
        (pod,) = pods_of(site, "host")
        seen = look_into(site, pod)
    finally:
        site.cluster.kubectl("label", "namespace", site.namespace, restricted, "--overwrite")
    assert seen["uid"] == 65532
    assert {node["error"] for node in render_nodes(seen).values()} == {OPENS}
    assert len(render_nodes(seen)) == 2


# --- the node agent

PATCH = """
import json, ssl, sys, urllib.error, urllib.request
account = "/var/run/secrets/kubernetes.io/serviceaccount/"
context = ssl.create_default_context(cafile=account + "ca.crt")
for node, patch in json.load(sys.stdin):
    request = urllib.request.Request(
        "https://kubernetes.default.svc/api/v1/nodes/" + node, json.dumps(patch).encode(),
        {"Authorization": "Bearer " + open(account + "token").read(), "Content-Type": "application/merge-patch+json"},
        method="PATCH")
    try:
        urllib.request.urlopen(request, context=context)
        print("done")
    except urllib.error.HTTPError as error:
        print(json.load(error)["message"])
"""


def test_the_node_agent_labels_its_own_node_and_may_do_nothing_else(
    installed: DevCluster, render_group: int
) -> None:
    def upgrade(*values: str) -> None:
        installed.helm(
            "upgrade", "vinoserve", CHART, "-n", SYSTEM, "--reuse-values", "--wait", "--set", ",".join(values)
        )

    def labels() -> dict[str, str]:
        found: dict[str, str] = installed.get("node", "node1")["metadata"]["labels"]
        return {
            name.removeprefix("vinoserve.dev/"): v
            for name, v in found.items()
            if name.startswith("vinoserve")
        }

    upgrade("nodeAgent.enabled=true", "nodeAgent.intervalSeconds=1")
    try:
        wanted = {
            "render-gid": str(render_group),
            "gpu.count": "2",
            "gpu.driver": "xe",
            "gpu.pci-id": "56c0",
            "gpu.model": "Flex-170",
            "gpu.memory-mib": "16384",
            "gpu.tiles": "1",
        }
        wait_until(lambda: labels() == wanted, "the node is labelled", 60, lambda: str(labels()))
        on_node(installed, "chgrp", "44", "/dev/dri/renderD129")
        wait_until(lambda: labels()["render-gid"] == "44.992", "both groups", 60, lambda: str(labels()))
        on_node(installed, "chgrp", str(render_group), "/dev/dri/renderD129")
        wait_until(lambda: labels() == wanted, "one group again", 60, lambda: str(labels()))
        status = installed.get("acceleratorclass", "intel-gpu")["status"]
        assert status["drivers"] == ["xe"]

        other = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "other"}}
        installed.kubectl("apply", "-f", "-", input=json.dumps(other))
        try:
            selected = ("-n", SYSTEM, "get", "pods", "-l", "app.kubernetes.io/name=vinoserve-node-agent")
            pods = installed.kubectl(
                *selected, "--field-selector=status.phase=Running", "-o", "name"
            ).stdout.split()
            tries = [
                ("node1", {"metadata": {"labels": {"vinoserve.dev/gpu.tiles": "1"}}}),
                ("other", {"metadata": {"labels": {"vinoserve.dev/gpu.tiles": "1"}}}),
                ("node1", {"metadata": {"labels": {"node-role.kubernetes.io/control-plane": ""}}}),
                ("node1", {"metadata": {"labels": {"kubernetes.io/os": None}}}),
                ("node1", {"metadata": {"annotations": {"a": "b"}}}),
                ("node1", {"spec": {"taints": [{"key": "a", "effect": "NoExecute"}]}}),
            ]
            command = ("-n", SYSTEM, "exec", "-i", pods[0], "--", "python3", "-c", PATCH)
            answers = installed.kubectl(*command, input=json.dumps(tries)).stdout.splitlines()
        finally:
            installed.kubectl("delete", "node", "other")
        assert answers[0] == "done"
        assert "its own node alone, which is node1, not other" in answers[1]
        assert all("labels below vinoserve.dev/ alone" in answer for answer in answers[2:4])
        assert all("a node's labels alone" in answer for answer in answers[4:])
    finally:
        upgrade("nodeAgent.enabled=false")
        for name in labels():
            installed.kubectl("label", "node", "node1", f"vinoserve.dev/{name}-")
