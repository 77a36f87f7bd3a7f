"""The whole operator against an API server: from an object to its children and its status, and back."""

import copy
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.operator.fakes.api_server import ApiError, ApiServer
from tests.operator.fakes.running import (
    Running,
    condition,
    edit,
    eventually,
    is_ready,
    is_ready_now,
    make_class,
    make_service,
    run_operator,
    settle,
)
from tests.operator.fakes.workloads import Workloads, make_report
from vinoserve_operator.kinds import (
    CHILDREN,
    CONFIG_MAP,
    DEPLOYMENT,
    EVENT,
    INFERENCE_SERVICE,
    POD,
    POD_DISRUPTION_BUDGET,
    SERVICE,
)

Object = dict[str, Any]


@pytest.fixture
async def operator(workloads: Workloads, kubeconfig: Path) -> AsyncIterator[Running]:
    async with run_operator(workloads) as running:
        yield running


def template(api: ApiServer) -> Object:
    return api.get(DEPLOYMENT, "default", "resnet")["spec"]["template"]


async def test_a_service_becomes_ready_and_the_status_says_on_what(api: ApiServer, operator: Running) -> None:
    api.put(make_service())
    await eventually(lambda: is_ready_now(api), api)
    assert all(api.get(kind, "default", "resnet") for kind in CHILDREN)
    status = api.get(INFERENCE_SERVICE, "default", "resnet")["status"]
    assert status["runsOn"] == "CPU"
    assert status["url"] == "http://resnet.default.svc:8000/v2/models/resnet"
    assert (status["replicas"], status["readyReplicas"]) == (1, 1)
    assert status["startup"]["compileSeconds"] == 1.235


async def test_an_unchanged_world_is_not_written_to(api: ApiServer, operator: Running) -> None:
    api.put(make_service())
    await eventually(lambda: is_ready_now(api), api)
    await settle(operator, api)
    before = len(api.writes)
    await operator.do(operator.operator.inbox.add_all)
    await settle(operator, api)
    assert api.writes[before:] == []


async def test_a_foreign_change_of_a_child_is_undone_and_an_addition_stays(
    api: ApiServer, operator: Running
) -> None:
    api.put(make_service())
    await eventually(lambda: is_ready_now(api), api)
    found = copy.deepcopy(api.get(SERVICE, "default", "resnet"))
    found["spec"]["selector"] = {"stolen": "yes"}
    found["metadata"]["annotations"]["team"] = "vision"
    api.put(found)
    await eventually(
        lambda: "app.kubernetes.io/instance" in api.get(SERVICE, "default", "resnet")["spec"]["selector"], api
    )
    assert api.get(SERVICE, "default", "resnet")["metadata"]["annotations"]["team"] == "vision"


async def test_replicas_alone_roll_no_pod(api: ApiServer, operator: Running) -> None:
    api.put(make_service())
    await eventually(lambda: is_ready_now(api), api)
    before = template(api)
    edit(api, replicas=3)
    await eventually(lambda: is_ready_now(api) and len(api.gather(POD)) == 3, api)
    assert template(api) == before


async def test_an_edit_made_while_the_status_is_written_is_seen(api: ApiServer, operator: Running) -> None:
    def edit_once(_: str, path: str) -> None:
        if path.endswith("/resnet/status") and not api.silent:
            api.silent = True  # the answer comes before the event
            edit(api, replicas=3)

    api.put(make_service())
    await eventually(lambda: is_ready_now(api), api)
    await settle(operator, api)
    api.faults.refuse = edit_once
    api.put({**make_service(), "status": {}})
    await eventually(lambda: api.silent and is_ready(api), api)
    await settle(operator, api)
    api.silent = False
    async with api.changed:
        api.changed.notify_all()
    await eventually(lambda: len(api.gather(POD)) == 3, api)


async def test_an_edit_rolls_the_pods_and_drops_the_old_config(api: ApiServer, operator: Running) -> None:
    api.put(make_service())
    await eventually(lambda: is_ready_now(api), api)
    old = template(api)["metadata"]["annotations"]["vinoserve.dev/config"]
    edit(api, hints={"performanceMode": "LATENCY"})
    await eventually(lambda: is_ready_now(api), api)
    new = template(api)["metadata"]["annotations"]["vinoserve.dev/config"]
    assert old != new
    await eventually(
        lambda: list(api.get(CONFIG_MAP, "default", "resnet")["data"]) == [f"config-{new}.json"], api
    )


async def test_a_pod_of_the_last_generation_keeps_its_config_and_ready_waits(
    api: ApiServer, workloads: Workloads, operator: Running
) -> None:
    api.put(make_service())
    await eventually(lambda: is_ready_now(api), api)
    old = template(api)["metadata"]["annotations"]["vinoserve.dev/config"]
    api.on_write.clear()  # the rollout is stuck
    edit(api, hints={"performanceMode": "LATENCY"})
    await eventually(lambda: condition(api, "Ready").get("observedGeneration") == 2, api)
    await settle(operator, api)
    assert condition(api, "Ready")["status"] == "False"
    assert condition(api, "Reconciling")["status"] == "True"
    assert f"config-{old}.json" in api.get(CONFIG_MAP, "default", "resnet")["data"]
    api.on_write.append(workloads._on_write)
    workloads.roll(api.get(DEPLOYMENT, "default", "resnet"))
    await eventually(lambda: is_ready_now(api), api)


async def test_a_namespace_is_let_in_by_its_label_and_its_pods_go_on_when_it_is_not_any_more(
    api: ApiServer, operator: Running
) -> None:
    def label(**labels: str) -> None:
        api.put({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "default", "labels": labels}})

    api.put(make_class(allowedNamespaces={"selector": {"matchLabels": {"gpu": "yes"}}}))
    api.put(make_service(targetDevice="GPU"))
    await eventually(lambda: condition(api, "Accepted").get("reason") == "NamespaceNotAllowed", api)
    assert api.get(DEPLOYMENT, "default", "resnet") is None
    label(gpu="yes")
    await eventually(lambda: condition(api, "Accepted").get("status") == "True", api)
    await eventually(lambda: api.get(DEPLOYMENT, "default", "resnet"), api)
    label()
    await eventually(lambda: condition(api, "Accepted").get("reason") == "NamespaceNotAllowed", api)
    assert api.get(DEPLOYMENT, "default", "resnet")["spec"]["replicas"] == 1


async def test_what_cannot_be_rendered_is_told_and_the_pods_go_on_serving(
    api: ApiServer, operator: Running
) -> None:
    api.put(make_service())
    await eventually(lambda: is_ready_now(api), api)
    before = api.get(DEPLOYMENT, "default", "resnet")["spec"]
    edit(api, targetDevice="GPU")
    await eventually(lambda: condition(api, "Accepted").get("status") == "False", api)
    accepted, told = condition(api, "Accepted"), condition(api, "Ready")
    assert accepted["reason"] == told["reason"] == "AcceleratorClassNotFound"
    assert "spec.accelerators" in accepted["message"]
    assert "goes on serving" in told["message"]
    assert api.get(DEPLOYMENT, "default", "resnet")["spec"] == before
    api.put(make_class())
    await eventually(lambda: is_ready_now(api), api)
    limits = template(api)["spec"]["containers"][0]["resources"]["limits"]
    assert limits == {"gpu.intel.com/xe": "1"}


async def test_whatever_is_in_the_spec_stays_that_objects_own_trouble(
    api: ApiServer, operator: Running
) -> None:
    api.put({**make_service("odd"), "spec": {"model": [1, {"a": None}], "replicas": "many"}})
    api.put(make_service())
    await eventually(lambda: is_ready_now(api), api)
    assert condition(api, "Accepted", "odd")["reason"] == "InvalidSpec"
    assert "spec.model" in condition(api, "Accepted", "odd")["message"]


async def test_what_the_api_server_refuses_is_told(api: ApiServer, operator: Running) -> None:
    message = "admission webhook denied the request: no deployments on Sundays"
    api.faults.refuse = lambda method, path: (
        ApiError(403, message) if method == "PATCH" and path.endswith("/deployments/resnet") else None
    )
    api.put(make_service())
    await eventually(lambda: condition(api, "Accepted").get("reason") == "NotRenderable", api)
    assert message in condition(api, "Accepted")["message"]


async def test_a_namesake_of_somebody_else_is_left_alone(api: ApiServer, operator: Running) -> None:
    theirs = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "resnet"},
        "spec": {"selector": {"a": "b"}},
    }
    api.put(theirs)
    api.put(make_service())
    await eventually(lambda: condition(api, "Accepted").get("reason") == "NotRenderable", api)
    assert "Service default/resnet" in condition(api, "Accepted")["message"]
    assert api.get(SERVICE, "default", "resnet")["spec"] == {"selector": {"a": "b"}}


async def test_a_deleted_service_leaves_nothing_and_nothing_is_made_for_it(
    api: ApiServer, operator: Running
) -> None:
    api.put(make_service())
    await eventually(lambda: is_ready_now(api), api)
    found = api.get(INFERENCE_SERVICE, "default", "resnet")
    assert "finalizers" not in found["metadata"]
    assert "annotations" not in found["metadata"]
    api.delete(INFERENCE_SERVICE, "default", "resnet")
    await settle(operator, api)
    assert not any(api.get(kind, "default", "resnet") for kind in CHILDREN)


async def test_nothing_is_made_for_a_service_whose_deletion_was_missed(
    api: ApiServer, operator: Running
) -> None:
    api.put(make_service())
    await eventually(lambda: is_ready_now(api), api)
    await settle(operator, api)
    cluster, queue = operator.operator.cluster, operator.operator.queue
    ref = cluster.gather_refs(INFERENCE_SERVICE)[0]
    known = cluster.get(ref)
    api.delete(INFERENCE_SERVICE, "default", "resnet")
    await settle(operator, api)
    cluster._deleted[INFERENCE_SERVICE].clear()
    cluster.put(INFERENCE_SERVICE, known)  # as if the watch had not told
    await operator.do(lambda: queue.add(ref))
    await settle(operator, api)
    assert not any(api.get(kind, "default", "resnet") for kind in (INFERENCE_SERVICE, *CHILDREN))


async def test_falling_back_with_warn_is_ready_and_says_so(
    api: ApiServer, workloads: Workloads, operator: Running
) -> None:
    workloads.report = lambda _: make_report(targetDevice="AUTO:GPU,CPU", onRequestedDevice=False)
    api.put(make_class())
    api.put(make_service(targetDevice="AUTO:GPU,CPU"))
    await eventually(lambda: is_ready_now(api), api)
    assert (condition(api, "DeviceReady")["status"], condition(api, "DeviceReady")["reason"]) == (
        "False",
        "FellBackToCPU",
    )
    assert "runs on CPU" in condition(api, "Ready")["message"]


async def test_a_pod_that_does_not_say_what_it_runs_on_is_not_taken_for_ready(
    api: ApiServer, workloads: Workloads, operator: Running
) -> None:
    workloads.report = lambda _: None
    api.put(make_service())
    await eventually(lambda: condition(api, "Ready").get("reason") == "NotReporting", api)
    assert condition(api, "Ready")["status"] == "Unknown"
    workloads.report = lambda _: make_report()
    await eventually(lambda: is_ready_now(api), api)


async def test_a_transition_makes_one_event(api: ApiServer, operator: Running) -> None:
    api.put(make_service())
    await eventually(lambda: is_ready_now(api), api)
    await settle(operator, api)
    told = [(e["action"], e["reason"]) for e in api.gather(EVENT)]
    assert len(told) == len(set(told))
    assert set(told) == {("Accepted", "Valid"), ("Ready", "Ready")}


async def test_suspending_takes_the_pods_away_and_nothing_else(api: ApiServer, operator: Running) -> None:
    api.put(make_service(replicas=2))
    await eventually(lambda: is_ready_now(api), api)
    edit(api, suspend=True)
    await eventually(
        lambda: condition(api, "Ready").get("reason") == "Suspended" and not api.gather(POD), api
    )
    await settle(operator, api)
    assert condition(api, "Stalled")["status"] == condition(api, "Reconciling")["status"] == "False"
    assert all(api.get(kind, "default", "resnet") for kind in CHILDREN)


async def test_what_a_spec_calls_for_no_more_is_taken_away(api: ApiServer, operator: Running) -> None:
    theirs = {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {
            "name": "theirs",
            "labels": {"app.kubernetes.io/managed-by": "vinoserve", "app.kubernetes.io/instance": "resnet"},
        },
        "spec": {"maxUnavailable": 0},
    }
    api.put(theirs)
    api.put(make_service(replicas=2))
    await eventually(lambda: is_ready_now(api), api)
    budget = api.get(POD_DISRUPTION_BUDGET, "default", "resnet")
    assert budget["spec"]["maxUnavailable"] == 1
    api.delete(POD_DISRUPTION_BUDGET, "default", "resnet")
    await eventually(lambda: api.get(POD_DISRUPTION_BUDGET, "default", "resnet"), api)
    edit(api, replicas=1)
    await eventually(lambda: not api.get(POD_DISRUPTION_BUDGET, "default", "resnet"), api)
    await settle(operator, api)
    assert [found["metadata"]["name"] for found in api.gather(POD_DISRUPTION_BUDGET)] == ["theirs"]


async def test_a_class_says_what_the_nodes_offer(api: ApiServer, operator: Running) -> None:
    api.put(make_class())

    def class_condition() -> Object:
        found = next(o for k, o in api.objects.items() if k[0].name == "AcceleratorClass")
        return {**(found.get("status") or {}), **((found.get("status") or {}).get("conditions") or [{}])[0]}

    await eventually(lambda: class_condition().get("reason") == "NoNode", api)
    node = {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": "n1"},
        "status": {"allocatable": {"cpu": "8"}},
    }
    api.put(node)
    await eventually(lambda: class_condition().get("reason") == "NoDevice", api)
    api.put({**node, "status": {"allocatable": {"cpu": "8", "gpu.intel.com/xe": "2"}}})
    await eventually(lambda: class_condition().get("status") == "True", api)
    assert (class_condition()["nodes"], class_condition()["allocatable"]) == (1, 2)


async def test_an_operator_of_some_namespaces_watches_those_alone(
    api: ApiServer, workloads: Workloads, kubeconfig: Path
) -> None:
    """Its rights end there: it never asks for what is in all namespaces."""
    beyond: list[str] = []

    def note(_: str, path: str) -> None:
        cluster_wide = ("/nodes", "/namespaces", "/acceleratorclasses", "/deviceclasses", "/resourceslices")
        if "/namespaces/" not in path and not path.endswith(cluster_wide):
            beyond.append(path)

    def replicas(namespace: str) -> object:
        return (api.get(DEPLOYMENT, namespace, "resnet") or {"spec": {}})["spec"].get("replicas")

    api.faults.refuse = note
    for namespace in ("default", "team-a"):
        api.put({**make_service(), "metadata": {"name": "resnet", "namespace": namespace}})
    async with run_operator(workloads, namespaces=("team-a", "team-b")) as operator:
        await eventually(lambda: replicas("team-a") == 1, api)
        edit(api, replicas=2)
        found = api.get(INFERENCE_SERVICE, "team-a", "resnet")
        api.put({**found, "spec": {**found["spec"], "replicas": 2}})
        api.put({**make_service(), "metadata": {"name": "resnet", "namespace": "team-b"}})
        await eventually(lambda: (replicas("team-a"), replicas("team-b")) == (2, 1), api)
        await settle(operator, api)
    assert beyond == []
    assert not api.get(INFERENCE_SERVICE, "default", "resnet").get("status")
