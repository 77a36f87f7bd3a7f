"""How pods get at accelerators by Dynamic Resource Allocation and host paths, and what services say where they don't."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.operator.fakes.api_server import ApiServer
from tests.operator.fakes.running import (
    condition,
    eventually,
    make_class,
    make_dra_class,
    make_service,
    run_operator,
    settle,
)
from tests.operator.fakes.workloads import Workloads
from tests.operator.test_desired import make, make_inventory, pod_of
from tests.operator.test_status import ended, look, make_pod, read_message, serving, tell
from vinoserve_operator.desired.children import Children
from vinoserve_operator.errors import NotRenderableError
from vinoserve_operator.kinds import (
    ACCELERATOR_CLASS,
    DEPLOYMENT,
    INFERENCE_SERVICE,
    POD,
    RESOURCE_CLAIM_TEMPLATE,
)
from vinoserve_operator.status.pods import PodView

Object = dict[str, Any]
SELECTOR = "device.attributes['gpu.intel.com'].family == 'Arc B-Series'"


def template_of(children: Children) -> Object:
    return next(child for child in children.extras if child["kind"] == "ResourceClaimTemplate")


# --- what is rendered


def test_a_pod_claims_exactly_what_its_target_counts() -> None:
    children = make(make_inventory(make_dra_class("intel-gpu", SELECTOR)), targetDevice="GPU.1")
    template, pod = template_of(children), pod_of(children)
    (request,) = template["spec"]["spec"]["devices"]["requests"]
    assert request == {
        "name": "intel-gpu",
        "exactly": {
            "deviceClassName": "gpu.intel.com",
            "allocationMode": "ExactCount",
            "count": 2,
            "selectors": [{"cel": {"expression": SELECTOR}}],
        },
    }
    name = template["metadata"]["name"]
    assert pod["resourceClaims"] == [{"name": "accelerators", "resourceClaimTemplateName": name}]
    assert pod["containers"][0]["resources"]["claims"] == [{"name": "accelerators"}]
    assert "claims" not in pod["initContainers"][0]["resources"], "what fetches needs no device"
    assert pod["securityContext"]["supplementalGroups"] == [109]
    assert children.deployment["spec"]["strategy"]["rollingUpdate"] == {"maxSurge": 0, "maxUnavailable": 1}


def test_several_ways_in_one_pod() -> None:
    npu = make_class("intel-npu", deviceType="NPU", devicePlugin={"resourceName": "npu.intel.com/accel"})
    children = make(make_inventory(make_dra_class(), npu), targetDevice="HETERO:GPU,NPU,CPU")
    resources = pod_of(children)["containers"][0]["resources"]
    assert resources["claims"] == [{"name": "accelerators"}]
    assert resources["limits"] == resources["requests"] == {"npu.intel.com/accel": "1"}


def test_two_kinds_of_device_are_two_requests_of_one_claim() -> None:
    classes = make_inventory(make_dra_class("arc.example.com"), make_dra_class("flex", default=False))
    accelerators = [{"class": "arc.example.com", "count": 1}, {"class": "flex", "count": 2}]
    children = make(classes, targetDevice="GPU.2", accelerators=accelerators)
    requests = template_of(children)["spec"]["spec"]["devices"]["requests"]
    assert [(r["name"], r["exactly"]["count"]) for r in requests] == [("arc-example-com", 1), ("flex", 2)]
    assert len(pod_of(children)["resourceClaims"]) == 1


def test_the_templates_name_says_what_is_in_it() -> None:
    """Its spec can't be changed."""
    names = {
        template_of(make(make_inventory(one), targetDevice=target))["metadata"]["name"]
        for one, target in (
            (make_dra_class(), "GPU"),
            (make_dra_class(), "GPU"),
            (make_dra_class(), "GPU.1"),
            (make_dra_class("intel-gpu", SELECTOR), "GPU"),
            (make_dra_class(device_class="other.example.com"), "GPU"),
        )
    }
    assert len(names) == 4
    assert all(name.startswith("resnet-") for name in names)


def test_too_few_devices_are_refused_with_dra_too() -> None:
    accelerators = [{"class": "intel-gpu", "count": 1}]
    with pytest.raises(NotRenderableError, match="raise count to 2"):
        make(make_inventory(make_dra_class()), targetDevice="GPU.1", accelerators=accelerators)


NPU = {"deviceType": "NPU", "devicePlugin": {"resourceName": "npu.intel.com/accel"}}
FIXED = {"model": {"uri": "pvc://models/m.onnx", "inputs": [{"name": "x", "shape": [1, 3]}]}}


@pytest.mark.parametrize(
    ("target", "classes"),
    [
        ("GPU", ["gpu"]),
        ("NPU", ["npu"]),
        ("BATCH:GPU(4)", ["gpu"]),
        ("AUTO", ["gpu"]),
        ("AUTO", ["npu", "gpu"]),
        ("AUTO:-GPU", ["npu"]),
        ("AUTO:-GPU.1", ["gpu"]),
        ("AUTO:GPU,CPU", ["gpu"]),
        ("HETERO:GPU,NPU,CPU", ["gpu", "npu"]),
        ("CPU", ["gpu"]),
        ("AUTO:CPU", ["npu"]),
    ],
)
def test_a_class_of_a_type_that_the_target_may_use_is_taken(target: str, classes: list[str]) -> None:
    """And any class where the CPU is used alone: its nodes' folder for the compiled cache may be what is wanted."""
    inventory = make_inventory(make_class("gpu"), make_class("npu", **NPU))
    named = [{"class": name} for name in classes]
    pod = pod_of(make(inventory, targetDevice=target, accelerators=named, **FIXED))
    assert len(pod["containers"][0]["resources"]["limits"]) == len(classes)


@pytest.mark.parametrize(
    ("target", "classes", "told"),
    [
        ("NPU", ["gpu"], ["spec.accelerators[0].class: gpu is of type GPU, which targetDevice NPU doesn't use; "]),
        ("NPU", ["gpu"], ["name a class of type NPU (npu, npu-shared), or change targetDevice"]),
        ("NPU", ["gpu", "flex"], ["[0].class: gpu is of type GPU", "[1].class: flex is of type GPU"]),
        ("GPU", ["npu"], ["npu is of type NPU", "name a class of type GPU (flex, gpu)"]),
        ("GPU", ["gpu", "npu"], ["spec.accelerators[1].class: npu is of type NPU", "use; remove it, or"]),
        ("BATCH:GPU(4)", ["npu"], ["targetDevice BATCH:GPU(4) doesn't use"]),
        ("HETERO:GPU.1,CPU", ["npu"], ["name a class of type GPU (flex, gpu)"]),
        ("MULTI:NPU,CPU", ["gpu"], ["name a class of type NPU"]),
        ("AUTO:GPU,CPU", ["npu"], ["name a class of type GPU"]),
        ("AUTO:-GPU", ["gpu"], ["targetDevice AUTO:-GPU doesn't use; name a class of type NPU"]),
    ],
)  # fmt: skip
def test_a_class_of_a_type_that_the_target_does_not_use_is_refused(
    target: str, classes: list[str], told: list[str]
) -> None:
    closed = make_class("npu-closed", allowedNamespaces={"names": ["other"]}, **NPU)
    gpus, npus = (
        (make_class("gpu"), make_class("flex")),
        (make_class("npu", **NPU), make_class("npu-shared", **NPU)),
    )
    inventory = make_inventory(*gpus, *npus, closed, namespaces={})
    with pytest.raises(NotRenderableError) as error:
        make(inventory, targetDevice=target, accelerators=[{"class": name} for name in classes], **FIXED)
    assert error.value.reason == "NotRenderable"
    for part in told:
        assert part in str(error.value)


@pytest.mark.parametrize(
    ("target", "classes", "told"),
    [
        ("HETERO:GPU,NPU", ["gpu"], "these give 0; add a class of type NPU (npu), or leave accelerators out for the default"),
        ("HETERO:GPU,NPU,CPU", ["npu"], "needs 1 of type GPU in a pod, these give 0; add a class of type GPU (gpu, mounted), or"),
        ("HETERO:NPU,GPU", ["mounted"], "needs 1 of type NPU"),
        ("MULTI:NPU,GPU", ["gpu"], "needs 1 of type NPU"),
    ],
)  # fmt: skip
def test_a_device_that_the_target_cannot_do_without_must_be_given(
    target: str, classes: list[str], told: str
) -> None:
    """The pod would hold the others for ever, and never serve."""
    mounted = make_class("mounted", default=False, access="HostPath", hostPath={"paths": ["/dev/dri"]})
    del mounted["spec"]["devicePlugin"]
    inventory = make_inventory(make_class("gpu"), mounted, make_class("npu", **NPU))
    with pytest.raises(NotRenderableError) as error:
        make(inventory, targetDevice=target, accelerators=[{"class": name} for name in classes], **FIXED)
    assert error.value.reason == "NotRenderable"
    assert str(error.value).startswith("spec.accelerators: targetDevice")
    assert told in str(error.value)


@pytest.mark.parametrize(
    ("target", "classes"),
    [
        ("AUTO:GPU,NPU,CPU", ["gpu"]),
        ("AUTO:NPU,GPU", ["gpu"]),
        ("AUTO:GPU,CPU", []),
        ("AUTO:GPU", []),
        ("AUTO", []),
        ("GPU", []),
        ("GPU.1", []),
        ("HETERO:GPU,CPU", []),
    ],
)
def test_auto_may_be_given_none_of_a_type_and_any_target_none_at_all(target: str, classes: list[str]) -> None:
    """AUTO takes the next device of its list; who gives none at all has other ways."""
    named = [{"class": name} for name in classes]
    pod = pod_of(make(make_inventory(make_class("gpu")), targetDevice=target, accelerators=named, **FIXED))
    assert len(pod["containers"][0]["resources"].get("limits", {})) == len(classes)


def test_where_no_class_of_the_type_is_for_the_namespace_it_says_so() -> None:
    with pytest.raises(NotRenderableError, match=r"type NPU \(there is none for this namespace\), or change"):
        make(make_inventory(make_class("gpu")), targetDevice="NPU", accelerators=[{"class": "gpu"}], **FIXED)


def test_an_extended_resource_of_a_device_class_is_a_resource_as_any() -> None:
    children = make(
        make_inventory(make_class(devicePlugin={"resourceName": "intel.com/gpu"})), targetDevice="GPU"
    )
    assert pod_of(children)["containers"][0]["resources"]["limits"] == {"intel.com/gpu": "1"}
    assert "resourceClaims" not in pod_of(children)
    assert not children.extras


def test_wsl2_finds_its_libraries() -> None:
    raw = make_class(access="HostPath", hostPath={"paths": ["/dev/dxg"], "libraries": ["/usr/lib/wsl"]})
    del raw["spec"]["devicePlugin"]
    serve = pod_of(make(make_inventory(raw), targetDevice="GPU"))["containers"][0]
    assert serve["env"] == [{"name": "LD_LIBRARY_PATH", "value": "/usr/lib/wsl:/usr/lib/wsl/lib"}]
    assert {"name": "library-0", "mountPath": "/usr/lib/wsl", "readOnly": True} in serve["volumeMounts"]
    assert serve["securityContext"]["privileged"]


def test_what_a_node_lacks_is_not_made_there_as_an_empty_folder() -> None:
    paths = {
        "/dev/dxg": "CharDevice",
        "/dev/dri": "Directory",
        "/dev/accel": "Directory",
        "/dev/dri/renderD129": "CharDevice",
        "/dev/accel/accel0": "CharDevice",
        "/dev/mei0": None,
    }
    raw = make_class(access="HostPath", hostPath={"paths": list(paths), "libraries": ["/usr/lib/wsl"]})
    del raw["spec"]["devicePlugin"]
    volumes = pod_of(make(make_inventory(raw), targetDevice="GPU"))["volumes"]
    mounted = [volume["hostPath"] for volume in volumes if "hostPath" in volume]
    assert {one["path"]: one.get("type") for one in mounted} == paths | {"/usr/lib/wsl": "Directory"}


# --- what services say


def test_a_pod_that_no_node_takes_says_what_is_wrong_with_its_class() -> None:
    pod = make_pod()
    pod["status"]["conditions"] = [
        {
            "type": "PodScheduled",
            "status": "False",
            "reason": "Unschedulable",
            "message": "cannot allocate all claims",
        }
    ]
    trouble = "AcceleratorClass intel-gpu: spec.dra.selectors[0] asks for memory"
    one = replace(look(PodView(pod), targetDevice="GPU"), class_troubles=[trouble])
    assert tell(one)["Ready"] == ("False", "Unschedulable")
    message = read_message(one)
    assert "cannot allocate all claims; " + trouble in message
    assert "no accelerator" not in message


@pytest.mark.parametrize(
    ("scheduler", "of_devices"),
    [
        ("1 Insufficient gpu.intel.com/xe", True),
        ("1 cannot allocate all claims", True),
        ("1 Insufficient cpu", False),
    ],
)
def test_a_pod_that_finds_all_devices_taken_says_what_to_do(scheduler: str, *, of_devices: bool) -> None:
    pod = make_pod()
    pod["status"]["conditions"] = [
        {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": scheduler}
    ]
    assert ("no accelerator of its class is free" in read_message(look(PodView(pod)))) is of_devices


def test_a_pod_that_may_not_open_its_device_says_both_groups() -> None:
    pod = make_pod(**serving(state=ended("PermissionDenied")))
    pod["spec"]["securityContext"] = {"supplementalGroups": [109]}
    one = replace(look(PodView(pod), targetDevice="GPU"), node_groups={"n1": [992]})
    assert tell(one)["DeviceReady"] == ("False", "PermissionDenied")
    message = read_message(one, "DeviceReady")
    assert "node n1 has its devices in group 992" in message
    assert "the pod has group 109" in message


# --- a template's life


def names(api: ApiServer) -> set[str]:
    return {template["metadata"]["name"] for template in api.gather(RESOURCE_CLAIM_TEMPLATE)}


async def test_templates_come_and_go_with_the_pods_that_claim_by_them(
    api: ApiServer, workloads: Workloads, kubeconfig: Path
) -> None:
    async with run_operator(workloads) as operator:
        api.put(make_dra_class())
        api.put(make_service(targetDevice="GPU"))
        await eventually(lambda: condition(api, "Ready").get("status") == "True", api)
        (first,) = names(api)

        frozen, workloads.roll = workloads.roll, lambda _: None  # type: ignore[method-assign]
        service = api.get(INFERENCE_SERVICE, "default", "resnet") or {}
        api.put({**service, "spec": {**service["spec"], "targetDevice": "GPU.1"}})
        await eventually(lambda: len(names(api)) == 2, api)
        await settle(operator, api)
        assert first in names(api), "an old pod that dies is made anew from it"

        frozen(api.get(DEPLOYMENT, "default", "resnet") or {})
        await eventually(lambda: len(names(api)) == 1, api)
        assert first not in names(api)
        workloads.roll = frozen  # type: ignore[method-assign]

        second = names(api)
        api.delete(RESOURCE_CLAIM_TEMPLATE, "default", *second)
        await eventually(lambda: names(api) == second, api)

        service = api.get(INFERENCE_SERVICE, "default", "resnet") or {}
        api.put({**service, "spec": {**service["spec"], "targetDevice": "CPU"}})
        await eventually(lambda: not names(api), api)
        assert len(api.gather(POD)) == 1


async def test_the_class_counts_what_pods_claim(
    api: ApiServer, workloads: Workloads, kubeconfig: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vinoserve_operator.reconcile._CLASS_AGAIN_SECONDS", 0.05)
    expression = {"cel": {"expression": "device.driver == 'gpu.intel.com'"}}
    api.put({"kind": "Node", "apiVersion": "v1", "metadata": {"name": "node-1"}, "status": {}})
    api.put(
        {"kind": "DeviceClass", "metadata": {"name": "gpu.intel.com"}, "spec": {"selectors": [expression]}}
    )
    devices = [{"name": "a"}, {"name": "b"}]
    pool = {"name": "node-1", "generation": 1}
    published = {"driver": "gpu.intel.com", "nodeName": "node-1", "pool": pool, "devices": devices}
    api.put({"kind": "ResourceSlice", "metadata": {"name": "s"}, "spec": published})

    def status() -> Object:
        return (api.get(ACCELERATOR_CLASS, "", "intel-gpu") or {}).get("status") or {}

    async with run_operator(workloads):
        api.put(make_dra_class())
        api.put(make_service(targetDevice="GPU"))
        await eventually(lambda: status().get("allocated") == 1, api)
        assert (status()["nodes"], status()["allocatable"]) == (1, 2)
        api.delete(INFERENCE_SERVICE, "default", "resnet")
        await eventually(lambda: status().get("allocated") == 0, api)


async def test_a_service_hears_of_its_classs_trouble(
    api: ApiServer, workloads: Workloads, kubeconfig: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the class is in trouble only after the service's pod has found no place."""
    monkeypatch.setattr("vinoserve_operator.reconcile._CLASS_AGAIN_SECONDS", 0.05)
    workloads.ready = False
    node = {"kind": "Node", "apiVersion": "v1", "metadata": {"name": "node-1"}}
    api.put({**node, "status": {"allocatable": {"gpu.intel.com/xe": "1"}}})
    async with run_operator(workloads) as operator:
        api.put(make_class())
        api.put(make_service(targetDevice="GPU"))
        (pod,) = await eventually(lambda: api.gather(POD), api)
        waiting = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "no"}
        api.put({**pod, "status": {"phase": "Pending", "conditions": [waiting]}})
        await eventually(lambda: condition(api, "Ready").get("reason") == "Unschedulable", api)
        await settle(operator, api)
        assert "AcceleratorClass" not in condition(api, "Ready")["message"]

        api.put({**node, "status": {"allocatable": {"gpu.intel.com/xe": "0"}}})
        said = "AcceleratorClass intel-gpu: no node offers gpu.intel.com/xe"
        await eventually(lambda: said in condition(api, "Ready")["message"], api)
