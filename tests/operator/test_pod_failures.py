"""Every way in which a pod can fail, as Kubernetes 1.36 writes it, and what the user is told."""

from dataclasses import replace
from typing import Any

import pytest

from tests.operator.test_status import (
    NOW,
    fetching,
    look,
    make_deployment,
    make_pod,
    read_message,
    serving,
    tell,
)
from vinoserve_operator.status.pods import PodView

Object = dict[str, Any]

GPU_TAKEN = (
    "0/4 nodes are available: 1 node(s) had untolerated taint {node-role.kubernetes.io/control-plane: }, "
    "3 Insufficient gpu.intel.com/xe. no new claims to deallocate, preemption: 0/4 nodes are available"
)


def unscheduled(message: str, reason: str = "Unschedulable") -> Object:
    return {
        "phase": "Pending",
        "conditions": [
            {"type": "PodScheduled", "status": "False", "reason": reason, "message": message},
        ],
    }


def waiting(reason: str, message: str = "") -> Object:
    return {"state": {"waiting": {"reason": reason, "message": message}}}


def crashed(name: str, code: int = 1, **ended: Any) -> Object:
    return {
        "name": name,
        "restartCount": 4,
        "state": {
            "waiting": {"reason": "CrashLoopBackOff", "message": "back-off 40s restarting failed container"}
        },
        "lastState": {"terminated": {"exitCode": code, "reason": "Error", "finishedAt": NOW, **ended}},
    }


ALIVE = [
    ("no unit free", unscheduled(GPU_TAKEN), "Unschedulable", "3 Insufficient gpu.intel.com/xe"),
    (
        "selector",
        unscheduled("0/2 nodes are available: 2 node(s) didn't match Pod's node affinity/selector."),
        "Unschedulable",
        "node affinity/selector",
    ),
    (
        "claim missing",
        unscheduled('0/1 nodes are available: persistentvolumeclaim "models" not found. not found'),
        "VolumeNotReady",
        'persistentvolumeclaim "models" not found',
    ),
    (
        "claim pending",
        unscheduled("0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims. not found"),
        "VolumeNotReady",
        "kubectl describe pvc",
    ),
    ("gated", unscheduled("waiting for gates", "SchedulingGated"), "Pending", "waiting for gates"),
    (
        "between fetching and serving",
        serving(**waiting("PodInitializing")),
        "Pending",
        "the model is there, and its server is about to start",
    ),
    (
        "image missing",
        fetching(**waiting("ErrImagePull", 'failed to pull "i": not found')),
        "ImagePullFailed",
        'image i can\'t be pulled: failed to pull "i": not found; see that it was pushed',
    ),
    (
        "image backed off",
        fetching(**waiting("ImagePullBackOff", 'Back-off pulling image "i": ErrImagePull: 401 Unauthorized')),
        "ImagePullFailed",
        "imagePullSecret",
    ),
    (
        "image name",
        serving(
            **waiting("InvalidImageName", 'Failed to apply default image tag "A:b:c": invalid reference')
        ),
        "ImagePullFailed",
        "spec.podTemplate.image must be",
    ),
    ("never pulled", serving(**waiting("ErrImageNeverPull")), "ImagePullFailed", "imagePullPolicy is Never"),
    (
        "secret missing",
        fetching(**waiting("CreateContainerConfigError", 'secret "hub-token" not found')),
        "ContainerConfigError",
        'secret "hub-token" not found',
    ),
    (
        "ConfigMap missing",
        serving(**waiting("CreateContainerConfigError", 'configmap "tuning" not found')),
        "ContainerConfigError",
        'configmap "tuning" not found',
    ),
    (
        "no such program",
        serving(**waiting("RunContainerError", "exec: no such file or directory")),
        "ContainerConfigError",
        "no such file",
    ),
    (
        "out of memory",
        {"containerStatuses": [crashed("serve", 137, reason="OOMKilled")]},
        "OutOfMemory",
        "spec.resources.limits.memory",
    ),
    ("crash", {"containerStatuses": [crashed("serve", 139)]}, "CrashLoop", "exit code 139"),
    (
        "another's init container",
        {"initContainerStatuses": [crashed("istio-init", 255, message="iptables: Permission denied")]},
        "CrashLoop",
        "container istio-init ended with exit code 255 (Error): iptables: Permission denied",
    ),
    (
        "another's container",
        {**serving(state={"waiting": {}}), "containerStatuses": [crashed("log-shipper")]},
        "CrashLoop",
        "container log-shipper",
    ),
    ("unknown", {"phase": "Unknown"}, "NodeLost", "five minutes"),
]


@pytest.mark.parametrize(
    ("status", "reason", "text"), [case[1:] for case in ALIVE], ids=[c[0] for c in ALIVE]
)
def test_what_holds_a_pod_up(status: Object, reason: str, text: str) -> None:
    one = look(PodView(make_pod(**status)), deployment=make_deployment(readyReplicas=0))
    assert tell(one)["Ready"] == ("False", reason)
    assert tell(one)["Stalled"][0] == str(reason != "Pending")
    assert text in read_message(one)


def target(reason: str, message: str) -> Object:
    return {
        "phase": "Failed",
        "conditions": [
            {
                "type": "DisruptionTarget",
                "status": "True",
                "reason": reason,
                "message": message,
                "lastTransitionTime": "2026-01-02T00:00:00Z",
            }
        ],
    }


ENDED = [
    (
        "evicted",
        {
            "phase": "Failed",
            "reason": "Evicted",
            "message": "The node was low on resource: memory. Threshold 100Mi",
        },
        "Evicted",
        "low on resource: memory",
    ),
    (
        "limit of its own",
        {
            "phase": "Failed",
            "reason": "Evicted",
            "message": 'Usage of EmptyDir volume "cache" exceeds the limit "2Gi". ',
        },
        "Evicted",
        "sizeLimit of spec.cache",
    ),
    (
        "preempted",
        target("PreemptionByScheduler", "default-scheduler: preempting to accommodate a higher priority pod"),
        "Preempted",
        "PriorityClass",
    ),
    (
        "taint",
        target("DeletionByTaintManager", "Taint manager: deleting due to NoExecute taint"),
        "Evicted",
        "NoExecute taint",
    ),
    (
        "sick GPU",
        target("DeletionByDeviceTaintManager", "Device Taint manager: deleting due to NoExecute taint"),
        "Evicted",
        "kubectl describe node",
    ),
    (
        "drain",
        target("EvictionByEvictionAPI", "Eviction API: evicting"),
        "Drained",
        "another takes its place",
    ),
    (
        "node deleted",
        target("DeletionByPodGC", "PodGC: node no longer exists"),
        "NodeLost",
        "no longer exists",
    ),
    (
        "node lost",
        {
            "phase": "Failed",
            "reason": "NodeLost",
            "message": "Node n1 which was running pod p1 is unresponsive",
        },
        "NodeLost",
        "unresponsive",
    ),
    (
        "node shut down",
        {
            "phase": "Failed",
            "reason": "Terminated",
            "message": "Pod was terminated in response to imminent node shutdown.",
        },
        "NodeLost",
        "shut down",
    ),
    (
        "deadline",
        {
            "phase": "Failed",
            "reason": "DeadlineExceeded",
            "message": "Pod was active on the node longer than",
        },
        "DeadlineExceeded",
        "activeDeadlineSeconds",
    ),
    (
        "no device at the node",
        {
            "phase": "Failed",
            "reason": "UnexpectedAdmissionError",
            "message": "Allocate failed due to requested number of devices unavailable for gpu.intel.com/xe",
        },
        "NodeRefused",
        "unavailable for gpu.intel.com/xe",
    ),
    (
        "no room at the node",
        {"phase": "Failed", "reason": "OutOfcpu", "message": "Node didn't have enough resource: cpu"},
        "NodeRefused",
        "enough resource: cpu",
    ),
]


@pytest.mark.parametrize(
    ("status", "reason", "text"), [case[1:] for case in ENDED], ids=[c[0] for c in ENDED]
)
def test_what_took_a_pod_away_is_told_until_another_is_on_its_way(
    status: Object, reason: str, text: str
) -> None:
    taken = PodView(make_pod("taken", **status))
    replacement = PodView(make_pod("next"))
    down = make_deployment(readyReplicas=0)
    for pods in ((taken,), (taken, replacement)):
        one = look(*pods, deployment=down)
        assert tell(one)["Ready"] == ("False", reason)
        assert tell(one)["Reconciling"][0] == "True"
        assert text in read_message(one)
    stuck = PodView(make_pod("next", **unscheduled(GPU_TAKEN)))
    assert tell(look(taken, stuck, deployment=down))["Ready"] == ("False", "Unschedulable")
    fetching_again = PodView(make_pod("next", **fetching(state={"running": {}})))
    assert tell(look(taken, fetching_again, deployment=down))["Ready"] == ("False", "Fetching")


def test_a_pod_on_a_node_that_is_silent_says_so_whatever_its_containers_said_last() -> None:
    pod = PodView(make_pod(**serving(state={"running": {}})))
    one = replace(look(pod, deployment=make_deployment(readyReplicas=0)), lost_nodes=frozenset({"n1"}))
    assert tell(one)["Ready"] == ("False", "NodeLost")
    assert "node n1" in read_message(one)


CLAIMS = [
    {"name": "cache", "persistentVolumeClaim": {"claimName": "compiled"}},
    {"name": "claim", "persistentVolumeClaim": {"claimName": "models", "readOnly": True}},
    {"name": "tmp", "emptyDir": {}},
]
UNBOUND = "0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims. not found"


@pytest.mark.parametrize(
    ("message", "volumes", "advice"),
    [
        (
            '0/1 nodes are available: persistentvolumeclaim "compiled" not found.',
            CLAIMS,
            "`kubectl describe pvc compiled` says why, and none is made for spec.cache.compiled.claimName",
        ),
        (
            '0/1 nodes are available: persistentvolumeclaim "models" not found.',
            CLAIMS,
            "`kubectl describe pvc models` says why, and none is made for spec.model.uri",
        ),
        (
            UNBOUND,
            CLAIMS[:1],
            "`kubectl describe pvc compiled` says why, and none is made for spec.cache.compiled.claimName",
        ),
        (
            UNBOUND,
            CLAIMS,
            "pvc compiled models` says why, and none is made for spec.cache.compiled.claimName or spec.model.uri",
        ),
        (
            UNBOUND,
            [{"name": "injected", "persistentVolumeClaim": {"claimName": "theirs"}}],
            "`kubectl describe pvc theirs` says why",
        ),
    ],
)
def test_a_claim_that_is_not_there_is_told_with_the_field_that_names_it(
    message: str, volumes: list[Object], advice: str
) -> None:
    pod = make_pod(**unscheduled(message))
    pod["spec"]["volumes"] = volumes
    one = look(PodView(pod), deployment=make_deployment(readyReplicas=0))
    assert tell(one)["Ready"] == ("False", "VolumeNotReady")
    assert message.rstrip(".") in read_message(one)
    assert advice in read_message(one)
    assert read_message(one).count("spec.") == advice.count("spec."), "of no other field"


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (
            'pods "x" is forbidden: exceeded quota: gpus, requested: requests.gpu.intel.com/xe=1',
            "QuotaExceeded",
        ),
        ('pods "x" is forbidden: violates PodSecurity "restricted:latest": privileged', "PodsForbidden"),
        ('admission webhook "policy.example.com" denied the request: no', "PodsForbidden"),
    ],
)
def test_pods_that_are_refused_are_told_in_the_refusers_words(message: str, reason: str) -> None:
    refused = [{"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": message}]
    one = look(deployment=make_deployment(readyReplicas=0, conditions=refused))
    assert tell(one)["Ready"] == ("False", reason)
    assert message in read_message(one)
