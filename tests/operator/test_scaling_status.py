"""What a service's owner is told of its autoscaler, of pods beyond the devices, and of rollouts."""

from typing import Any

import pytest

from tests.operator.fakes.running import make_service
from tests.operator.fakes.workloads import make_report
from tests.operator.scaling import SCALED
from vinoserve_api.conditions import AcceptedReason
from vinoserve_api.reading import read_service
from vinoserve_operator.cluster import Cluster
from vinoserve_operator.kinds import HORIZONTAL_POD_AUTOSCALER
from vinoserve_operator.status.events import make_events
from vinoserve_operator.status.look import Acceptance, Look
from vinoserve_operator.status.pods import PodView
from vinoserve_operator.status.service import make_service_status

Object = dict[str, Any]
NOW = "2026-01-01T00:00:00Z"


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
