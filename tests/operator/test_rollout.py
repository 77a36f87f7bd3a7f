"""What the user is told of a rollout: numbers that are true, and of which generation a pod speaks."""

from dataclasses import replace
from typing import Any

import pytest

from tests.operator.fakes.workloads import make_report
from tests.operator.test_status import (
    LATER,
    NOW,
    READY,
    WAITING,
    ended,
    fetching,
    look,
    make_deployment,
    make_pod,
    read_message,
    serving,
    tell,
)
from vinoserve_api.conditions import AcceptedReason
from vinoserve_operator.status.events import make_events
from vinoserve_operator.status.look import Acceptance
from vinoserve_operator.status.pods import PodView
from vinoserve_operator.status.rollout import find_template
from vinoserve_operator.status.service import make_service_status

Object = dict[str, Any]

CRASHED = serving(state=WAITING, lastState=ended("ModelInvalid"))


def test_a_pod_of_the_last_generation_makes_nothing_ready() -> None:
    told = tell(look(PodView(make_pod(config="old", ready=True, **READY), make_report())))
    assert told["Ready"] == ("False", "RollingOut")
    assert told["Reconciling"][0] == "True"


@pytest.mark.parametrize(
    "status",
    [{"observedGeneration": 0}, {"updatedReplicas": 0}, {"replicas": 2}, {"readyReplicas": 0}],
)
def test_a_rollout_that_is_under_way_is_not_ready(status: Object) -> None:
    pod = PodView(make_pod(ready=True, **READY), make_report())
    assert tell(look(pod, deployment=make_deployment(**status)))["Ready"][0] == "False"


def make_pod_of(template: str, **pod: Any) -> Object:
    made = make_pod(**pod)
    made["metadata"]["labels"] = {"pod-template-hash": template}
    return made


def serve(count: int, *, template: str = "a", config: str = "new", ready: bool = True) -> list[PodView]:
    """Pods of one template, a letter; later letters are of later ones."""
    made = [
        make_pod_of(template, name=f"{template}{i}", config=config, ready=ready, **READY)
        for i in range(count)
    ]
    for pod in made:
        pod["metadata"]["creationTimestamp"] = f"2026-01-01T00:00:0{ord(template) - ord('a')}Z"
    return [PodView(pod, make_report() if ready else None) for pod in made]


def count(replicas: int, pods: int, updated: int | None = None, **status: Any) -> Object:
    """A Deployment that wants `replicas`, and has counted `pods`, all ready."""
    made = make_deployment(replicas)
    counted = {
        "replicas": pods,
        "updatedReplicas": pods if updated is None else updated,
        "readyReplicas": pods,
    }
    made["status"] |= counted | status
    return made


UNSEEN = "the Deployment's controller has not seen its last change yet"


@pytest.mark.parametrize(
    ("pods", "replicas", "ready", "model"),
    [
        (serve(2), 3, "; 2 pods go on serving, spec.replicas is 3", "served by 2 pods"),
        (serve(3), 2, "; 3 pods go on serving, spec.replicas is 2", "served by 3 pods"),
        (serve(3), 3, "; 3 pods go on serving", "served by 3 pods"),
        (serve(1, config="old"), 1, "; 1 pod goes on serving", f"{UNSEEN}; 1 pod goes on serving"),
    ],
    ids=["scaled up", "scaled down", "put back, or another memory limit", "edited"],
)
def test_until_the_deployment_is_seen_its_numbers_are_not_told(
    pods: list[PodView], replicas: int, ready: str, model: str
) -> None:
    """They are of what was wanted before; and whether the pods are of its template, nobody can tell yet."""
    deployment = count(replicas, len(pods), observedGeneration=0)
    one = look(*pods, deployment=deployment, replicas=replicas)
    assert tell(one)["Ready"] == ("False", "RollingOut")
    assert read_message(one) == UNSEEN + ready
    assert read_message(one, "ModelReady") == model
    first = look(*pods, deployment=count(len(pods), len(pods)), replicas=len(pods))
    before = make_service_status(first).dump()["conditions"]
    events = make_events(dict(one.raw), before, make_service_status(one).conditions, "me", NOW)
    assert not any("0 of" in event["note"] or "no pod is there" in event["note"] for event in events)


def test_pods_that_start_are_spoken_of_before_the_deployment_is_seen() -> None:
    pods = serve(1, ready=False)
    deployment = count(2, 1, observedGeneration=0, readyReplicas=0)
    one = look(*pods, deployment=deployment, replicas=2)
    assert tell(one)["Ready"] == ("False", "Pending")
    assert read_message(one).startswith(f"{UNSEEN}; pod a0: ")
    assert read_message(one, "ModelReady") == UNSEEN


@pytest.mark.parametrize(
    ("pods", "deployment", "message"),
    [
        ([], count(3, 0, observedGeneration=0), "0 of 3 replicas are up to date and ready"),
        (serve(2), count(3, 2), "2 of 3 replicas are up to date and ready"),
        (
            serve(3, config="old"),
            count(3, 3, 0),
            "no pod of this generation is ready yet; 3 pods go on serving",
        ),
        (
            [*serve(2), *serve(1, template="b")],
            count(3, 3, 1),
            "1 of 3 replicas are up to date and ready; 2 other pods go on serving",
        ),
        (
            [*serve(1), *serve(3, template="b")],
            count(3, 4, 3),
            "3 of 3 replicas are up to date and ready; 1 more pod has yet to go",
        ),
        (serve(4), count(3, 4), "3 of 3 replicas are up to date and ready; 1 more pod has yet to go"),
        (
            serve(3),
            count(3, 3, readyReplicas=2),
            "3 of 3 replicas are up to date and ready; the Deployment's status has yet to say so",
        ),
    ],
    ids=["new", "scaled", "first", "second", "last", "scaled down", "not counted"],
)
def test_a_rollout_tells_numbers_that_are_true(pods: list[PodView], deployment: Object, message: str) -> None:
    one = look(*pods, deployment=deployment, replicas=3)
    assert tell(one)["Ready"][0] == "False"
    assert read_message(one) == message


def test_no_pod_of_this_generation_is_not_no_pod() -> None:
    one = look(*serve(1, config="old"), deployment=count(1, 1, 0))
    assert read_message(one, "ModelReady") == "no pod of this generation is there yet; 1 pod goes on serving"
    assert read_message(look(deployment=count(1, 0)), "ModelReady") == "no pod is there yet"


@pytest.mark.parametrize(
    ("pods", "available", "message"),
    [
        (serve(1), 0, "1 of 1 replicas are up to date and ready; 1 pod has not"),
        (serve(3), 1, "3 of 3 replicas are up to date and ready; 2 pods have not"),
    ],
)
def test_a_rollout_that_waits_says_for_what_and_how_long(
    pods: list[PodView], available: int, message: str
) -> None:
    deployment = count(len(pods), len(pods), availableReplicas=available)
    deployment["spec"]["minReadySeconds"] = 30
    one = look(*pods, deployment=deployment, replicas=len(pods), rollout={"minReadySeconds": 30})
    assert tell(one)["Ready"] == ("False", "RollingOut")
    assert read_message(one) == f"{message} been ready for spec.rollout.minReadySeconds (30 s) yet"
    deployment["status"]["availableReplicas"] = len(pods)
    assert tell(one)["Ready"] == ("True", "Ready")


@pytest.mark.parametrize("config", ["old", "new"], ids=["another model", "another memory limit"])
@pytest.mark.parametrize("state", ["unseen", "no new pod", "new pod"])
def test_what_ailed_the_pods_of_the_last_generation_does_not_stall_this_one(config: str, state: str) -> None:
    """Whoever waits for the mended spec (kstatus, Argo CD) gives up at Stalled."""
    failed = PodView(make_pod_of("a", config=config, **CRASHED))
    mended = make_pod_of("b", name="p2", **fetching(state={"running": {}}))
    mended["metadata"]["creationTimestamp"] = LATER
    deployment = make_deployment(readyReplicas=0, updatedReplicas=int(state == "new pod"))
    deployment["status"]["observedGeneration"] = int(state != "unseen")
    pods = [failed, PodView(mended)] if state == "new pod" else [failed]
    one = look(*pods, deployment=deployment)
    told = tell(one)
    assert told["Stalled"][0] == "False"
    assert told["Reconciling"][0] == "True"
    assert told["Ready"] == ("False", "Fetching" if state == "new pod" else "Pending")
    assert told["ModelReady"] == told["Ready"]
    assert make_service_status(one).failure is None


def test_a_new_generation_that_fails_stalls_whatever_the_old_pods_do() -> None:
    old = PodView(make_pod_of("a", config="old", **fetching(state={"running": {}})))
    new = PodView(make_pod_of("b", name="p2", **CRASHED))
    one = look(old, new, deployment=make_deployment(readyReplicas=0))
    assert tell(one)["Ready"] == ("False", "ModelInvalid")
    assert tell(one)["Stalled"][0] == "True"


def test_a_suspended_service_is_not_stalled_by_the_pods_that_go() -> None:
    told = tell(look(PodView(make_pod(**CRASHED)), suspend=True))
    assert told["Ready"] == ("False", "Suspended")
    assert told["Stalled"][0] == "False"


def test_refused_pods_are_told_with_the_reason() -> None:
    refused = [
        {"type": "ReplicaFailure", "status": "True", "message": 'pods "x" is forbidden: exceeded quota: q'}
    ]
    told = tell(look(deployment=make_deployment(readyReplicas=0, conditions=refused)))
    assert told["Ready"] == ("False", "QuotaExceeded")
    assert told["Stalled"][0] == "True"


def test_a_refused_spec_goes_on_serving_the_last_valid_one() -> None:
    acceptance = Acceptance(AcceptedReason.INVALID_DEVICE, "spec.targetDevice: not a device")
    told = tell(
        look(PodView(make_pod(config="old", ready=True, **READY), make_report()), acceptance=acceptance)
    )
    assert told["Accepted"] == ("False", "InvalidDevice")
    assert told["Ready"] == ("False", "InvalidDevice")
    assert told["ModelReady"] == ("True", "Loaded")
    assert told["Stalled"][0] == "True"


TAKEN = "0/1 nodes are available: 1 Insufficient gpu.intel.com/xe. preemption: not helpful"
QUOTA = {"type": "ReplicaFailure", "status": "True", "message": 'pods "x" is forbidden: exceeded quota: q'}


def make_ending(template: str = "a") -> PodView:
    pod = make_pod_of(template, name="old", ready=True, **READY)
    pod["metadata"]["deletionTimestamp"] = NOW
    return PodView(pod)


def make_waiting() -> PodView:
    condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": TAKEN}
    pod = make_pod_of("b", name="new")
    pod["spec"], pod["status"] = {}, {"phase": "Pending", "conditions": [condition]}
    return PodView(pod)


def test_an_accelerator_that_the_own_old_pod_still_holds_needs_nobody_to_act() -> None:
    waiting = look(make_waiting(), make_ending(), deployment=make_deployment(readyReplicas=0))
    assert tell(waiting)["Ready"] == ("False", "RollingOut")
    assert tell(waiting)["Stalled"][0] == "False"
    assert read_message(waiting).startswith(
        "pod new: waits for an accelerator that pod old holds until it has ended"
    )
    for full in (look(make_waiting()), replace(waiting, lost_nodes=frozenset({"n1"}))):
        assert tell(full)["Ready"] == ("False", "Unschedulable"), "nothing comes free by itself"
        assert tell(full)["Stalled"][0] == "True"


def test_a_quota_that_the_own_old_pod_still_counts_for_needs_nobody_to_act() -> None:
    deployment = make_deployment(readyReplicas=0, conditions=[QUOTA])
    waiting = look(make_ending(), deployment=deployment)
    assert tell(waiting)["Ready"] == ("False", "RollingOut")
    assert tell(waiting)["Stalled"][0] == "False"
    assert read_message(waiting).startswith(
        "waits for room in the quota, which pod old holds until it has ended"
    )


def test_after_a_rollback_the_pods_of_what_is_back_are_spoken_of() -> None:
    """They may be the older ones."""
    back = PodView(make_pod_of("a", name="back", **serving(state=WAITING, lastState=ended("ModelNotFound"))))
    left = make_pod_of("b", name="left", **CRASHED)
    left["metadata"]["creationTimestamp"] = LATER
    both = look(back, PodView(left), deployment=make_deployment(readyReplicas=0))
    assert tell(both)["Ready"] == ("False", "ModelInvalid")
    assert tell(replace(both, template="a"))["Ready"] == ("False", "ModelNotFound")


def test_the_newest_revision_is_of_the_present_template() -> None:
    def make_replica_set(template: str, revision: str) -> Object:
        annotations = {"deployment.kubernetes.io/revision": revision}
        return {"metadata": {"labels": {"pod-template-hash": template}, "annotations": annotations}}

    assert find_template([make_replica_set("a", "10"), make_replica_set("b", "9")]) == "a"
    assert find_template([]) is None
