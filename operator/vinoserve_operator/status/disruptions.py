"""Why a pod that had begun is over, or about to go: its node, the scheduler or an admin took it away."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from vinoserve_api.conditions import ProgressReason
from vinoserve_operator.status.diagnosis import Diagnosis
from vinoserve_operator.status.pods import PodView
from vinoserve_operator.status.starting import Warned

Object = Mapping[str, Any]

_LOST: Final = (
    "nothing is heard of the node; Kubernetes replaces the pod after five minutes, or at once when the Node is deleted "
    "or has the taint node.kubernetes.io/out-of-service"
)
_EVICTED: Final = (
    "the node ran short and evicted the pod; raise spec.resources.requests to what it uses, or free the node"
)
_EXCEEDED: Final = (
    "the node evicted the pod, which wrote more than it may; raise what the message names: "
    "spec.resources.limits, or sizeLimit of spec.cache"
)
_EXCEEDS: Final = re.compile(r"\bexceed(s|ed)\b")
"""The kubelet's words for a limit of the pod's own, of a container or of an emptyDir."""

_PREEMPTED: Final = "a pod of a higher priority took its place; add a node, or give this one a PriorityClass"
_DRAINED: Final = "the pod was evicted, as when a node is drained; another takes its place"
_TAINTED: Final = "a taint of the node, or of its device, evicted the pod; `kubectl describe node` names it"
_OVERDUE: Final = (
    "activeDeadlineSeconds has passed: something sets it on the pods, and servers don't end by themselves"
)
_REFUSED: Final = (
    "the node refused the pod; what it asks for was taken meanwhile, or its device plugin gave no device"
)
_SHUT_DOWN: Final = "the node was shut down; another pod takes its place"

#: `reason` of the condition DisruptionTarget, as Kubernetes' documentation on disruptions lists them.
_TARGETS: Final = {
    "PreemptionByScheduler": (ProgressReason.PREEMPTED, _PREEMPTED),
    "DeletionByTaintManager": (ProgressReason.EVICTED, _TAINTED),
    "DeletionByDeviceTaintManager": (ProgressReason.EVICTED, _TAINTED),
    "EvictionByEvictionAPI": (ProgressReason.DRAINED, _DRAINED),
    "DeletionByPodGC": (ProgressReason.NODE_LOST, "its node is gone; another pod takes its place"),
}
#: `status.reason` of a pod that has failed as a whole, as the kubelet and the controllers write it.
_REASONS: Final = {
    "Evicted": (ProgressReason.EVICTED, _EVICTED),
    "Preempting": (ProgressReason.PREEMPTED, _PREEMPTED),
    "DeadlineExceeded": (ProgressReason.DEADLINE_EXCEEDED, _OVERDUE),
    "NodeLost": (ProgressReason.NODE_LOST, _LOST),
    "NodeShutdown": (ProgressReason.NODE_LOST, _SHUT_DOWN),
    "Terminated": (ProgressReason.NODE_LOST, _SHUT_DOWN),
    "UnexpectedAdmissionError": (ProgressReason.NODE_REFUSED, _REFUSED),
    "NodeAffinity": (ProgressReason.NODE_REFUSED, _REFUSED),
    "TopologyAffinityError": (ProgressReason.NODE_REFUSED, _REFUSED),
}

#: Of them those that are a kubelet's events too.
_EVICTIONS: Final = ("Evicted", "Preempting")


def diagnose_end(pod: Object) -> Diagnosis | None:
    """What took the pod away; None where it goes as a rollout has it."""
    status = pod.get("status") or {}
    conditions: Sequence[Object] = status.get("conditions") or ()
    target = next((c for c in conditions if c.get("type") == "DisruptionTarget"), {})
    reason = str(status.get("reason") or "")
    told = _REASONS.get(reason) or _TARGETS.get(str(target.get("reason")))
    if told is None and reason.startswith(("OutOf", "Outof")):  # OutOfcpu, OutOfgpu.intel.com/xe
        told = _REASONS["UnexpectedAdmissionError"]
    if told is None:
        return None
    own = str(status.get("message") or target.get("message") or "")
    ended: Object = next((c for c in conditions if c.get("type") == "Ready"), {})
    time = target.get("lastTransitionTime") or ended.get("lastTransitionTime") or status.get("startTime")
    return _describe(*told, own, time)


def diagnose_eviction(events: Sequence[Warned]) -> Diagnosis | None:
    """From events that warn of a pod that is over.

    Of one whose server ended well when it was told to, the kubelet keeps no other word: its phase is Succeeded.
    """
    taken = [event for event in events if event.reason in _EVICTIONS]
    if not taken:
        return None
    last = max(taken, key=lambda event: event.seconds)
    return _describe(*_REASONS[last.reason], last.note, last.time)


def _describe(reason: ProgressReason, text: str, own: str, time: str | None) -> Diagnosis:
    """`own`: the words of who took the pod away."""
    own = own.strip()
    if reason == ProgressReason.EVICTED and _EXCEEDS.search(own):
        text = _EXCEEDED
    return Diagnosis(reason, f"{text}: {own}" if own else text, time=time)


def find_disruption(pods: Sequence[PodView]) -> tuple[PodView, Diagnosis] | None:
    """The last pod that was taken away and that no ready one has replaced: such pods may lie around for weeks."""
    replaced = max((pod.created for pod in pods if pod.live and pod.ready), default="")
    ends = [(pod, found) for pod in pods if not pod.live and (found := diagnose_end(pod.pod) or pod.heard)]
    return max(
        (end for end in ends if (end[1].time or end[0].created) > replaced),
        key=lambda end: (end[1].time or end[0].created, end[0].name),
        default=None,
    )


def diagnose_lost(pod: PodView, lost_nodes: frozenset[str]) -> Diagnosis | None:
    """Of a pod that isn't ready: whether its node is why. What its containers are said to do is from before."""
    phase = (pod.pod.get("status") or {}).get("phase")
    if pod.node in lost_nodes or phase == "Unknown":
        return Diagnosis(ProgressReason.NODE_LOST, f"node {pod.node}: {_LOST}", stuck=True)
    return None
