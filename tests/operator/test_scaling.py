"""Autoscaling: what is rendered, what an autoscaler's life does to a service, and what its owner is told."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.operator.fakes.api_server import ApiServer
from tests.operator.fakes.running import (
    Running,
    condition,
    edit,
    eventually,
    make_class,
    make_service,
    run_operator,
    settle,
)
from tests.operator.fakes.workloads import Workloads, make_report
from vinoserve_api.conditions import AcceptedReason
from vinoserve_api.reading import read_class, read_service
from vinoserve_operator.cluster import Cluster
from vinoserve_operator.desired.children import Children, make_children
from vinoserve_operator.desired.devices import Inventory
from vinoserve_operator.kinds import (
    DEPLOYMENT,
    HORIZONTAL_POD_AUTOSCALER,
    INFERENCE_SERVICE,
    POD,
    POD_DISRUPTION_BUDGET,
)
from vinoserve_operator.plan import is_settled
from vinoserve_operator.status.events import make_events
from vinoserve_operator.status.pods import PodView
from vinoserve_operator.status.service import Acceptance, Look, make_service_status

Object = dict[str, Any]
NOW = "2026-01-01T00:00:00Z"
CPU = {
    "type": "Resource",
    "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 70}},
}
QUEUE = {
    "type": "Pods",
    "pods": {"metric": {"name": "queued"}, "target": {"type": "AverageValue", "averageValue": 4}},
}
SCALED: Object = {
    "resources": {"requests": {"cpu": "1"}},
    "autoscaling": {"minReplicas": 2, "maxReplicas": 6, "metrics": [CPU, QUEUE]},
}


def make(**spec: Any) -> Children:
    raw = make_service(**spec)
    raw["metadata"]["uid"] = "1"
    inventory = Inventory({"intel-gpu": read_class(make_class())})
    return make_children(read_service(raw), inventory, image="example.com/runtime:1")


def extras(children: Children) -> dict[str, Object]:
    return {extra["kind"]: extra["spec"] for extra in children.extras}


# --- what is rendered


def test_the_autoscaler_scales_the_service_and_never_the_deployment() -> None:
    spec = extras(make(**SCALED))["HorizontalPodAutoscaler"]
    assert spec["scaleTargetRef"] == {
        "apiVersion": "vinoserve.dev/v1alpha1",
        "kind": "InferenceService",
        "name": "resnet",
    }
    assert (spec["minReplicas"], spec["maxReplicas"]) == (2, 6)
    assert spec["metrics"][0] == CPU
    assert "behavior" not in spec


def test_what_the_api_server_makes_of_it_is_not_written_again() -> None:
    """It fills in defaults, and gives quantities back as text."""
    behavior = {"scaleDown": {"stabilizationWindowSeconds": 60}}
    children = make(**SCALED | {"autoscaling": {**SCALED["autoscaling"], "behavior": behavior}})
    wanted = next(e for e in children.extras if e["kind"] == "HorizontalPodAutoscaler")
    spec = wanted["spec"]
    queue = {**QUEUE["pods"], "target": {"type": "AverageValue", "averageValue": "4"}}  # type: ignore[dict-item]
    policies = [{"type": "Percent", "value": 100, "periodSeconds": 15}]
    present = {
        **wanted,
        "spec": {
            **spec,
            "metrics": [CPU, {**QUEUE, "pods": queue}],
            "behavior": {
                "scaleDown": {
                    **spec["behavior"]["scaleDown"],
                    "selectPolicy": "Max",
                    "policies": policies,
                }
            },
        },
        "status": {"currentReplicas": 2},
    }
    assert is_settled(wanted, present)


def test_a_suspended_service_has_no_autoscaler() -> None:
    assert "HorizontalPodAutoscaler" not in extras(make(**SCALED, suspend=True))


@pytest.mark.parametrize(
    ("spec", "guarded"),
    [({}, False), ({"replicas": 2}, True), (SCALED, True), ({**SCALED, "suspend": True}, True)],
)
def test_what_may_have_two_pods_is_drained_one_by_one(spec: Object, guarded: bool) -> None:
    """Also while there is but one: the budget doesn't come and go with the load."""
    assert ("PodDisruptionBudget" in extras(make(**spec))) == guarded


@pytest.mark.parametrize(
    "spec",
    [
        {"replicas": 7},
        {"replicas": 0},
        {"suspend": True},
        {"rollout": {"strategy": "Recreate", "minReadySeconds": 5}},
        {"autoscaling": SCALED["autoscaling"]},
    ],
    ids=str,
)
def test_how_many_and_how_they_come_leaves_the_pods_and_their_config_as_they_are(spec: Object) -> None:
    """Nothing is compiled anew, and no pod is replaced."""
    plain, changed = make(resources=SCALED["resources"]), make(resources=SCALED["resources"], **spec)
    assert changed.deployment["spec"]["template"] == plain.deployment["spec"]["template"]
    assert changed.config_map == plain.config_map


def test_a_new_pod_proves_itself_before_the_next_old_one_goes() -> None:
    spec = make(rollout={"minReadySeconds": 30}).deployment["spec"]
    assert spec["minReadySeconds"] == 30
    assert spec["progressDeadlineSeconds"] > make().deployment["spec"]["progressDeadlineSeconds"]


# --- what is told


def make_pod(name: str, *, ready: bool = True, config: str = "new", **status: Any) -> PodView:
    conditions = [{"type": "Ready", "status": str(ready)}, *status.pop("conditions", ())]
    serve = {"name": "serve", "image": "i", "state": {"running": {}}}
    pod = {
        "metadata": {"name": name, "annotations": {"vinoserve.dev/config": config}},
        "spec": {},
        "status": {"conditions": conditions, "containerStatuses": [serve], **status},
    }
    return PodView(pod, make_report() if ready else None)


NO_ROOM = {
    "type": "PodScheduled",
    "status": "False",
    "reason": "Unschedulable",
    "message": "0/1 nodes are available: 1 Insufficient gpu.intel.com/xe.",
}
BROKEN = {
    "initContainerStatuses": [
        {"name": "fetch", "state": {"terminated": {"exitCode": 1, "message": '{"failure": {"reason": "DigestMismatch", "message": "another file"}}'}}}
    ]
}  # fmt: skip


def make_deployment(wanted: int, *, spec: Object | None = None, **status: Any) -> Object:
    counts = dict.fromkeys(("replicas", "updatedReplicas", "readyReplicas", "availableReplicas"), wanted)
    strategy = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}
    return {
        "metadata": {"annotations": {"deployment.kubernetes.io/revision": "2"}},
        "spec": {"replicas": wanted, "strategy": strategy, **(spec or {})},
        "status": {**counts, **status},
    }


def tell(
    *pods: PodView, deployment: Object, autoscaler: Object | None = None, **spec: Any
) -> dict[str, tuple[str, str, str]]:
    raw = make_service(**spec)
    raw["metadata"].update(uid="u", generation=3)
    accepted = Acceptance(AcceptedReason.VALID, "", read_service(raw), "new")
    look = Look(raw, accepted, deployment, pods, autoscaler=autoscaler, now=NOW)
    return {c.type: (c.status, c.reason, c.message) for c in make_service_status(look).conditions}


def make_autoscaler(status: str, reason: str, message: str = "") -> Object:
    condition_ = {"type": "ScalingActive", "status": status, "reason": reason, "message": message}
    return {"status": {"conditions": [{"type": "AbleToScale", "status": "True"}, condition_]}}


@pytest.mark.parametrize(
    ("autoscaler", "expected", "part"),
    [
        (None, ("Unknown", "Pending"), "no ready pod yet"),
        (make_autoscaler("True", "ValidMetricFound"), ("True", "Scaling"), "2 to 6 pods"),
        (
            make_autoscaler("False", "FailedGetResourceMetric", "no metrics returned"),
            ("False", "MetricsUnavailable"),
            "no metrics returned",
        ),
        (
            make_autoscaler(
                "False", "FailedGetResourceMetric", "the server could not find the requested resource"
            ),
            ("False", "MetricsUnavailable"),
            "metrics-server",
        ),
        (
            make_autoscaler("False", "AmbiguousSelector", "multiple HPAs: [a/resnet a/keda-hpa-x]"),
            ("False", "AnotherAutoscaler"),
            "keda-hpa-x",
        ),
        (make_autoscaler("False", "InvalidSelector", "selector is required"), ("Unknown", "Pending"), ""),
    ],
)
def test_the_autoscalers_state_is_the_services(
    autoscaler: Object | None, expected: tuple[str, str], part: str
) -> None:
    told = tell(make_pod("a"), deployment=make_deployment(1), autoscaler=autoscaler, **SCALED)
    assert told["ScalingActive"][:2] == expected
    assert part in told["ScalingActive"][2]
    assert told["Ready"][0] == "True", "whether it is scaled is another matter than whether it serves"


def test_a_service_without_autoscaling_says_nothing_of_it() -> None:
    assert "ScalingActive" not in tell(make_pod("a"), deployment=make_deployment(1))


@pytest.mark.parametrize(
    ("spec", "reason"), [({"suspend": True}, "Suspended"), ({"replicas": 0}, "ScaledToZero")]
)
def test_what_has_no_pods_is_not_scaled(spec: Object, reason: str) -> None:
    told = tell(deployment=make_deployment(0), **SCALED, **spec)
    assert told["ScalingActive"][:2] == ("False", reason)


def test_a_start_without_metrics_makes_no_event() -> None:
    raw = make_service(**SCALED)
    raw["metadata"].update(uid="u", generation=1)
    accepted = Acceptance(AcceptedReason.VALID, "", read_service(raw), "new")
    for reason, events in (("FailedGetResourceMetric", 0), ("AmbiguousSelector", 1)):
        look = Look(
            raw,
            accepted,
            make_deployment(1),
            [make_pod("a")],
            autoscaler=make_autoscaler("False", reason),
            now=NOW,
        )
        conditions = make_service_status(look).conditions
        made = make_events(raw, [c.dump() for c in conditions[:-1]], conditions, "operator", NOW)
        assert len(made) == events


def test_more_pods_than_devices_are_told_with_what_would_help() -> None:
    waiting = make_pod("c", ready=False, conditions=[NO_ROOM])
    told = tell(
        make_pod("a"),
        make_pod("b"),
        waiting,
        deployment=make_deployment(3, readyReplicas=2, availableReplicas=2),
        replicas=3,
        **SCALED,
    )
    status, reason, message = told["Ready"]
    assert (status, reason) == ("False", "Unschedulable")
    assert "Insufficient gpu.intel.com/xe" in message
    assert "spec.autoscaling.maxReplicas" in message
    assert "2 pods go on serving" in message


OLD_FIRST = {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}}}


def test_a_bad_generation_says_who_goes_on_serving() -> None:
    told = tell(
        make_pod("old", config="old"),
        make_pod("new", ready=False, **BROKEN),
        deployment=make_deployment(1, replicas=2, updatedReplicas=1),
    )
    assert told["Ready"][:2] == ("False", "DigestMismatch")
    assert "1 pod goes on serving" in told["Ready"][2]
    assert told["Stalled"][0] == "True"


def test_with_exclusive_devices_a_lone_pod_goes_first_and_a_bad_generation_says_so() -> None:
    bad = make_pod("new", ready=False, **BROKEN)
    replacing = make_deployment(1, spec=OLD_FIRST, readyReplicas=0, availableReplicas=0)
    assert "the old pods went first" in tell(bad, deployment=replacing)["Ready"][2]

    done = [{"type": "Progressing", "status": "True", "reason": "NewReplicaSetAvailable"}]
    crashed = make_deployment(1, spec=OLD_FIRST, readyReplicas=0, conditions=done)
    assert "the old pods" not in tell(bad, deployment=crashed)["Ready"][2], "it has served before"


@pytest.mark.parametrize(("served", "told"), [("new-abc", False), ("new-good", True)])
def test_a_template_that_failed_before_is_told_again(served: str, *, told: bool) -> None:
    """Its ReplicaSet is there already, and the Deployment goes on saying whose pods were all there last."""
    bad = make_pod("new", ready=False, **BROKEN)
    labels: Object = {"pod-template-hash": "abc"}
    bad = PodView({**bad.pod, "metadata": {**bad.pod["metadata"], "labels": labels}})
    message = f'ReplicaSet "{served}" has successfully progressed.'
    done = [{"type": "Progressing", "status": "True", "reason": "NewReplicaSetAvailable", "message": message}]
    rolled = make_deployment(1, spec=OLD_FIRST, readyReplicas=0, conditions=done)
    assert ("the old pods went first" in tell(bad, deployment=rolled)["Ready"][2]) == told


def test_a_rollout_ends_when_the_pods_have_been_ready_for_long_enough() -> None:
    deployment = make_deployment(1, spec={"minReadySeconds": 30}, availableReplicas=0)
    assert tell(make_pod("a"), deployment=deployment)["Ready"][:2] == ("False", "RollingOut")
    deployment["status"]["availableReplicas"] = 1
    assert tell(make_pod("a"), deployment=deployment)["Ready"][0] == "True"


def test_present_values_of_metrics_are_no_news() -> None:
    """They change every few seconds; the conditions that we tell of don't."""
    cluster, kind = Cluster(), HORIZONTAL_POD_AUTOSCALER

    def make_version(version: int, **status: Any) -> Object:
        metadata = {"name": "a", "namespace": "n", "uid": "u", "resourceVersion": str(version)}
        return {"metadata": metadata, "spec": {"maxReplicas": 3}, "status": status}

    conditions = make_autoscaler("True", "ValidMetricFound")["status"]["conditions"]
    assert cluster.put(kind, make_version(1, conditions=conditions))
    assert not cluster.put(kind, make_version(2, conditions=conditions, currentReplicas=2, currentMetrics=[]))
    changed = make_autoscaler("False", "AmbiguousSelector")["status"]["conditions"]
    assert cluster.put(kind, make_version(3, conditions=changed))
    assert cluster.put(kind, make_version(4, conditions=changed) | {"spec": {"maxReplicas": 4}})


# --- its life


@pytest.fixture
async def operator(workloads: Workloads, kubeconfig: Path) -> AsyncIterator[Running]:
    async with run_operator(workloads) as running:
        yield running


def ready_pods(api: ApiServer) -> int:
    status = api.get(INFERENCE_SERVICE, "default", "resnet").get("status") or {}
    return status.get("readyReplicas") or 0


async def test_the_autoscalers_number_reaches_the_deployment_and_rolls_no_pod(
    api: ApiServer, operator: Running
) -> None:
    api.put(make_service(**SCALED))
    await eventually(lambda: condition(api, "Ready").get("status") == "True", api)
    first = api.gather(POD)
    maps = len([write for write in api.writes if "configmaps" in str(write)])
    edit(api, replicas=5)  # as the HorizontalPodAutoscaler does by way of /scale
    await eventually(lambda: ready_pods(api) == 5, api)
    await settle(operator, api)
    names = {pod["metadata"]["name"] for pod in api.gather(POD)}
    assert {pod["metadata"]["name"] for pod in first} < names
    assert len([write for write in api.writes if "configmaps" in str(write)]) == maps
    status = api.get(INFERENCE_SERVICE, "default", "resnet")["status"]
    assert status["replicas"] == 5
    assert status["selector"] == "app.kubernetes.io/instance=resnet,app.kubernetes.io/name=inferenceservice"


async def test_suspend_takes_the_autoscaler_away_and_resume_goes_on_with_as_many_pods(
    api: ApiServer, operator: Running
) -> None:
    def autoscaler() -> Object | None:
        return api.get(HORIZONTAL_POD_AUTOSCALER, "default", "resnet")

    api.put(make_service(**SCALED, replicas=3))
    await eventually(lambda: ready_pods(api) == 3 and autoscaler(), api)
    edit(api, suspend=True)
    await eventually(lambda: autoscaler() is None and not api.gather(POD), api)
    assert api.get(INFERENCE_SERVICE, "default", "resnet")["spec"]["replicas"] == 3
    edit(api, suspend=False)
    await eventually(lambda: ready_pods(api) == 3 and autoscaler(), api)
    edit(api, autoscaling=None, replicas=1)
    await eventually(
        lambda: autoscaler() is None and not api.get(POD_DISRUPTION_BUDGET, "default", "resnet"), api
    )


async def test_somebody_elses_autoscaler_of_that_name_is_left_alone(
    api: ApiServer, operator: Running
) -> None:
    theirs = {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "resnet", "namespace": "default"},
        "spec": {"maxReplicas": 9},
    }
    api.put(theirs)
    api.put(make_service(**SCALED))
    await eventually(lambda: condition(api, "Accepted").get("status") == "False", api)
    assert "HorizontalPodAutoscaler default/resnet already" in condition(api, "Accepted")["message"]
    assert api.get(HORIZONTAL_POD_AUTOSCALER, "default", "resnet")["spec"] == {"maxReplicas": 9}
    api.delete(HORIZONTAL_POD_AUTOSCALER, "default", "resnet")
    edit(api, targetDevice="CPU")
    await eventually(lambda: api.get(DEPLOYMENT, "default", "resnet"), api)
