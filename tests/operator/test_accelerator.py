"""What an AcceleratorClass' status says of the cluster."""

from typing import Any

import pytest

from tests.operator.fakes.running import make_class, make_dra_class
from vinoserve_api.reading import read_class
from vinoserve_api.v1alpha1 import AcceleratorClassStatus
from vinoserve_operator.status.accelerator import ClassLook, make_class_status, needs_published
from vinoserve_operator.status.dra import Published
from vinoserve_operator.status.groups import explain_groups

Object = dict[str, Any]
NOW = "2026-01-01T00:00:00Z"
GIB = 2**30
MEMORY = "device.capacity['gpu.intel.com'].memory.isGreaterThan(quantity('8Gi'))"
HEALTH = "device.attributes['gpu.intel.com'].health == 'Healthy'"


def make_node(name: str = "n1", units: int = 0, resource: str = "gpu.intel.com/xe", **labels: str) -> Object:
    allocatable = {resource: str(units)} if units else {}
    return {
        "metadata": {
            "name": name,
            "labels": {f"vinoserve.dev/{k.replace('_', '-')}": v for k, v in labels.items()},
        },
        "status": {"allocatable": allocatable},
    }


def make_pod(node: str | None = "n1", phase: str = "Running", **spec: Any) -> Object:
    return {
        "metadata": {"name": "p", "namespace": "default"},
        "spec": {"nodeName": node, **spec},
        "status": {"phase": phase},
    }


def holding(units: int, resource: str = "gpu.intel.com/xe") -> Object:
    return {"containers": [{"resources": {"requests": {resource: str(units)}}}]}


def make_slice(
    *devices: Object, node: str = "n1", driver: str = "gpu.intel.com", generation: int = 1, pool: str = ""
) -> Object:
    spec = {"driver": driver, "nodeName": node, "devices": list(devices)}
    return {"spec": {**spec, "pool": {"name": pool or node, "generation": generation}}}


def make_device(name: str = "d", memory: str = "16Gi", health: str = "Healthy", taint: str = "") -> Object:
    device = {
        "name": name,
        "attributes": {"health": {"string": health}, "model": {"string": "Flex 170"}},
        "capacity": {"memory": {"value": memory}},
    }
    return device | ({"taints": [{"key": "gpu.intel.com/unhealthy", "effect": taint}]} if taint else {})


def make_device_class(expression: str = "device.driver == 'gpu.intel.com'", **spec: str) -> Object:
    selectors = [{"cel": {"expression": expression}}]
    return {"metadata": {"name": "gpu.intel.com"}, "spec": {"selectors": selectors, **spec}}


@pytest.mark.parametrize(
    ("raw", "resource"),
    [
        (make_class(), "gpu.intel.com/xe"),
        (make_dra_class(), "deviceclass/gpu.intel.com"),
        (
            make_class(access="HostPath", hostPath={"paths": ["/dev/dri", "/dev/accel"]}),
            "/dev/dri,/dev/accel",
        ),
    ],
)
def test_what_pods_get_the_device_by_is_told(raw: Object, resource: str) -> None:
    if raw["spec"].get("access") == "HostPath":
        del raw["spec"]["devicePlugin"]
    assert judge(raw).resource == resource


def judge(raw: Object, *nodes: Object, **more: Any) -> AcceleratorClassStatus:
    raw["metadata"]["generation"] = 1
    return make_class_status(ClassLook(raw, read_class(raw), nodes=nodes, now=NOW, **more))


def tell(status: AcceleratorClassStatus, type_: str = "Ready") -> tuple[str, str]:
    return next((c.status, c.reason) for c in status.conditions if c.type == type_)


def message(status: AcceleratorClassStatus, type_: str = "Ready") -> str:
    return next(c.message for c in status.conditions if c.type == type_)


# --- what is offered


def test_units_of_device_plugins_and_what_pods_hold() -> None:
    pods = [
        make_pod(**holding(2)),
        make_pod("n2", **holding(1)),
        make_pod("n3", **holding(1)),
        make_pod(None, **holding(4)),
        make_pod(phase="Failed", **holding(8)),
        make_pod(**holding(1, "npu.intel.com/accel")),
        make_pod(),
    ]
    status = judge(
        make_class(nodeSelector={"vinoserve.dev/zone": "a"}),
        make_node("n1", 2, zone="a"),
        make_node("n2", 4, zone="a"),
        make_node("n3", 4, zone="b"),
        make_node("n4", zone="a"),
        pods=pods,
    )
    assert (status.nodes, status.allocatable, status.allocated) == (2, 6, 3)
    assert tell(status) == ("True", "Available")
    assert message(status) == "2 nodes offer 6 units"


def test_a_device_that_its_plugin_calls_sick_is_told_apart_from_none() -> None:
    half, sick = make_node("n1", 1), make_node("n2")
    for node, units in ((half, 2), (sick, 1)):
        node["status"]["capacity"] = {"gpu.intel.com/xe": str(units)}
    both = judge(make_class(), half, sick)
    assert (both.nodes, both.allocatable, tell(both)) == (1, 1, ("True", "DevicesUnhealthy"))
    assert message(both).startswith("1 node offers 1 unit; unhealthy: 1 of 2 on n1, 1 of 1 on n2. ")
    assert tell(judge(make_class(), sick)) == ("False", "DevicesUnhealthy")


def test_nodes_that_new_pods_do_not_get_to_are_named() -> None:
    nodes = [make_node(f"n{i}", 2) for i in range(3)]
    nodes[0]["spec"] = {"unschedulable": True}
    nodes[1]["status"]["ready"] = False
    some = judge(make_class(), *nodes)
    assert (some.nodes, some.allocatable, tell(some)) == (3, 6, ("True", "NodesUnavailable"))
    assert message(some) == "3 nodes offer 6 units; no new pod gets to n0 (cordoned), n1 (not ready)"
    assert tell(judge(make_class(), *nodes[:2])) == ("False", "NodesUnavailable")
    nodes[2]["status"]["capacity"] = {"gpu.intel.com/xe": "3"}
    assert tell(judge(make_class(), *nodes)) == ("True", "DevicesUnhealthy"), (
        "first what only an admin can mend"
    )


def test_no_node_and_no_device() -> None:
    assert tell(judge(make_class())) == ("False", "NoNode")
    status = judge(make_class(), make_node())
    assert tell(status) == ("False", "NoDevice")
    assert "gpu.intel.com/xe" in message(status)
    assert (status.nodes, status.allocatable, status.allocated) == (0, 0, 0)


def test_host_paths_are_not_counted() -> None:
    raw = make_class(access="HostPath", hostPath={"paths": ["/dev/dri"]})
    del raw["spec"]["devicePlugin"]
    status = judge(raw, make_node(), pods=[make_pod()])
    assert (status.nodes, status.allocatable, status.allocated) == (1, None, None)
    assert tell(status) == ("True", "Available")


def test_the_drivers_are_those_of_the_nodes_that_offer_it() -> None:
    nodes = [
        make_node("n1", 1, **{"gpu.driver": "xe"}),
        make_node("n2", 1, **{"gpu.driver": "i915.xe"}),
        make_node("n3", **{"gpu.driver": "amdgpu"}),
    ]
    assert judge(make_class(), *nodes).drivers == ("i915", "xe")
    npu = make_class(deviceType="NPU", devicePlugin={"resourceName": "npu.intel.com/accel"})
    node = make_node("n1", 1, "npu.intel.com/accel", **{"npu.driver": "intel_vpu", "gpu.driver": "xe"})
    assert judge(npu, node).drivers == ("intel_vpu",)


# --- groups


def test_a_group_that_the_class_lacks_is_told_with_what_to_write() -> None:
    nodes = [make_node("n1", 1, render_gid="992"), make_node("n2", 1, render_gid="109"), make_node("n3", 1)]
    status = judge(make_class(renderGroups=[109]), *nodes)
    assert tell(status, "RenderGroups") == ("False", "GroupMissing")
    told = message(status, "RenderGroups")
    assert "the devices of n1 belong to group 992" in told
    assert "write renderGroups: [109, 992]" in told
    assert tell(status) == ("True", "Available"), "with CDI the pods can open their devices all the same"
    assert status.render_groups == (109,)


def test_gathered_groups_match_and_nodes_without_the_device_do_not_count() -> None:
    raw = make_class()
    del raw["spec"]["renderGroups"]
    status = judge(raw, make_node("n1", 1, render_gid="44.992"))
    assert tell(status, "RenderGroups") == ("True", "GroupsMatch")
    assert status.render_groups == (44, 992)
    fixed = judge(make_class(), make_node("n1", 1, render_gid="109"), make_node("n2", render_gid="992"))
    assert tell(fixed, "RenderGroups") == ("True", "GroupsMatch")


def test_without_labels_nobody_knows() -> None:
    raw = make_class()
    assert tell(judge(raw, make_node("n1", 1)), "RenderGroups") == ("Unknown", "GroupsUnknown")
    del raw["spec"]["renderGroups"]
    assert "no group" in message(judge(raw, make_node("n1", 1)), "RenderGroups")
    assert "nodeAgent.enabled" in message(judge(raw, make_node("n1", 1)), "RenderGroups")
    seen = make_node("n1", 1, **{"gpu.count": "1"})
    assert "the node agent found no group" in message(judge(raw, seen), "RenderGroups")


def test_a_pod_is_told_both_groups() -> None:
    assert explain_groups("n1", (992,), (109, 992)) is None
    assert explain_groups("n1", (), (109,)) is None
    told = explain_groups("n1", (992,), (109,)) or ""
    assert "node n1 has its devices in group 992" in told
    assert "the pod has group 109" in told
    assert "add 992 to renderGroups" in told


# --- Dynamic Resource Allocation


def test_healthy_devices_of_the_class_count() -> None:
    slices = [
        make_slice(make_device("a"), make_device("b")),
        make_slice(make_device("c"), node="n2"),
        make_slice(make_device("d"), node="n3", driver="npu.example.com"),
        make_slice(make_device("e"), node="elsewhere"),
    ]
    published = Published([make_device_class()], slices)
    status = judge(make_dra_class(), make_node("n1"), make_node("n2"), make_node("n3"), published=published)
    assert (status.nodes, status.allocatable) == (2, 3)
    assert tell(status) == ("True", "Available")


def test_a_pool_that_is_published_anew_counts_once() -> None:
    slices = [make_slice(make_device("a")), make_slice(make_device("a"), make_device("b"), generation=2)]
    status = judge(make_dra_class(), make_node(), published=Published([make_device_class()], slices))
    assert status.allocatable == 2


def test_claimed_units_are_counted_by_the_templates_of_the_pods() -> None:
    def template(request: str, count: int) -> Object:
        return {"spec": {"spec": {"devices": {"requests": [{"name": request, "exactly": {"count": count}}]}}}}

    def claiming(name: str) -> Object:
        return {"resourceClaims": [{"name": "accelerators", "resourceClaimTemplateName": name}]}

    templates = {("default", "a"): template("intel-gpu", 2), ("default", "b"): template("other", 1)}
    pods = [make_pod(**claiming("a")), make_pod(**claiming("b")), make_pod(**claiming("gone")), make_pod()]
    status = judge(make_dra_class(), make_node(), pods=pods, templates=templates, published=Published())
    assert status.allocated == 2


@pytest.mark.parametrize(
    ("published", "reason", "said"),
    [
        (Published(), "NoDeviceClass", "there is no DeviceClass gpu.intel.com"),
        (Published(problem="no rights"), "NoDeviceClass", "no rights"),
        (Published([make_device_class()]), "NoDevice", "driver gpu.intel.com"),
    ],
)
def test_what_is_missing_is_named(published: Published, reason: str, said: str) -> None:
    status = judge(make_dra_class(), make_node(), published=published)
    assert tell(status) == ("False", reason)
    assert said in message(status)
    assert status.allocatable == 0


def test_a_device_class_that_names_no_driver_is_not_counted() -> None:
    device_class = make_device_class("device.attributes['gpu.intel.com'].model == 'Flex 170'")
    status = judge(
        make_dra_class(), make_node(), published=Published([device_class], [make_slice(make_device())])
    )
    assert tell(status) == ("True", "Available")
    assert status.allocatable is None


@pytest.mark.parametrize(
    ("selector", "device", "said"),
    [
        (MEMORY, make_device(memory="0"), "asks for memory"),
        ("device.capacity['gpu.intel.com'].memory.compareTo(quantity('8Gi')) >= 0", make_device(memory="0"), "memory 0 of all 1"),
        (HEALTH, make_device(health="Unknown"), "Unknown of all 1"),
    ],
)  # fmt: skip
def test_a_selector_that_never_matches_is_told(selector: str, device: Object, said: str) -> None:
    published = Published([make_device_class()], [make_slice(device)])
    status = judge(make_dra_class("x", "true", selector), make_node(), published=published)
    assert tell(status) == ("False", "SelectorNeverMatches")
    assert message(status).startswith("spec.dra.selectors[1] ")
    assert said in message(status)


@pytest.mark.parametrize(
    "selector",
    [
        "device.attributes['gpu.intel.com'].health != 'Unhealthy'",
        "device.attributes['gpu.intel.com'].health == 'Unknown'",
        f"{HEALTH} || device.attributes['gpu.intel.com'].family == 'Arc'",
        "device.capacity['gpu.intel.com'].memory.isLessThan(quantity('8Gi'))",
        "device.attributes['gpu.intel.com'].model == 'Memory 9'",
    ],
)
def test_selectors_that_may_match_are_left_alone(selector: str) -> None:
    device = make_device(memory="0", health="Unknown")
    status = judge(
        make_dra_class("x", selector),
        make_node(),
        published=Published([make_device_class()], [make_slice(device)]),
    )
    assert tell(status) == ("True", "Available")


def test_one_device_that_tells_its_memory_is_enough() -> None:
    slices = [make_slice(make_device("a", "0"), make_device("b"))]
    status = judge(
        make_dra_class("x", MEMORY), make_node(), published=Published([make_device_class()], slices)
    )
    assert tell(status) == ("True", "Available")


@pytest.mark.parametrize("effect", ["NoExecute", "NoSchedule"])
def test_a_sick_device_is_named(effect: str) -> None:
    slices = [make_slice(make_device("good"), make_device("bad", taint=effect))]
    status = judge(make_dra_class(), make_node(), published=Published([make_device_class()], slices))
    assert tell(status) == ("True", "DevicesTainted")
    assert f"bad on n1 (gpu.intel.com/unhealthy {effect})" in message(status)
    assert status.allocatable == 1
    all_sick = [make_slice(make_device("bad", taint=effect))]
    status = judge(make_dra_class(), make_node(), published=Published([make_device_class()], all_sick))
    assert tell(status) == ("False", "DevicesTainted")
    assert (status.nodes, status.allocatable) == (0, 0)


@pytest.mark.parametrize("resource", ["intel.com/gpu", "deviceclass.resource.kubernetes.io/gpu.intel.com"])
def test_an_extended_resource_may_stand_for_a_device_class(resource: str) -> None:
    raw = make_class(devicePlugin={"resourceName": resource})
    assert needs_published(read_class(raw), [make_node()])
    device_class = make_device_class(extendedResourceName="intel.com/gpu")
    published = Published([device_class], [make_slice(make_device())])
    pods = [make_pod(**holding(1, resource))]
    status = judge(raw, make_node(), published=published, pods=pods)
    assert tell(status) == ("True", "Available")
    assert (status.allocatable, status.allocated) == (1, 1)


def test_only_who_needs_it_asks_what_is_published() -> None:
    assert not needs_published(read_class(make_class()), [make_node(units=1)])
    assert needs_published(read_class(make_dra_class()), [])
