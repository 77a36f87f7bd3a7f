"""Kubernetes Events: one for each transition of a condition that a user would want to hear of."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, Final

from vinoserve_api.conditions import ConditionType, ProgressReason, ScalingReason
from vinoserve_api.v1alpha1 import GROUP, Condition

#: What is False for these reasons is on its way, or as the user wants it.
_NORMAL: Final = frozenset(ProgressReason) - {
    ProgressReason.UNSCHEDULABLE,
    ProgressReason.IMAGE_PULL_FAILED,
    ProgressReason.CONTAINER_CONFIG_ERROR,
    ProgressReason.CRASH_LOOP,
    ProgressReason.QUOTA_EXCEEDED,
    ProgressReason.PODS_FORBIDDEN,
    ProgressReason.VOLUME_NOT_READY,
    ProgressReason.SANDBOX_FAILED,
    ProgressReason.DEVICE_NOT_PREPARED,
    ProgressReason.DEVICE_UNHEALTHY,
    ProgressReason.NODE_LOST,
    ProgressReason.NODE_REFUSED,
    ProgressReason.EVICTED,
    ProgressReason.PREEMPTED,
    ProgressReason.DEADLINE_EXCEEDED,
}

#: Before what has just been made is ready.
_EXPECTED: Final = _NORMAL | {""}

#: ModelReady and DeviceReady tell the reasons; of these it matters that they turn.
_TURNS: Final = {ConditionType.READY}
#: Ready says it too, right after; a failure that is over is told.
_IMPLIED: Final = {ConditionType.MODEL_READY, ConditionType.DEVICE_READY}
_QUIET: Final = {ConditionType.RECONCILING, ConditionType.STALLED}
#: Comes and goes with every start of a pod; the HorizontalPodAutoscaler has events of its own.
_PASSING: Final = {ScalingReason.METRICS_UNAVAILABLE}


def make_events(
    raw: Mapping[str, Any],
    previous: Sequence[Mapping[str, Any]],
    present: Sequence[Condition],
    instance: str,
    now: str,
) -> list[dict[str, Any]]:
    """Events for what has changed from the previous conditions of `raw` to the present ones.

    An event's name is made from what it tells, so that telling it twice makes one. `instance` names the operator's process,
    `now` is the time in RFC 3339, to the second.
    """
    before = {c["type"]: (str(c["status"]), str(c["reason"])) for c in previous}
    return [
        _make_event(raw, condition, instance, now)
        for condition in present
        if _is_news(condition, *before.get(condition.type, ("Unknown", "")))
    ]


def _is_news(condition: Condition, status: str, reason: str) -> bool:
    if condition.type in _QUIET or condition.status == "Unknown" or condition.reason in _PASSING:
        return False
    if condition.type in _IMPLIED and condition.status == "True" and reason in _EXPECTED:
        return False
    if condition.reason == ProgressReason.PENDING and not reason:
        return False  # what has just been made has no pods yet
    if ProgressReason.IDLE in (condition.reason, reason) and condition.status == status:
        return False
    if condition.type in _TURNS:
        return condition.status != status and (status, condition.status) != ("Unknown", "False")
    return (condition.status, condition.reason) != (status, reason)


def _make_event(raw: Mapping[str, Any], condition: Condition, instance: str, now: str) -> dict[str, Any]:
    metadata = raw["metadata"]
    told = (
        metadata["uid"],
        condition.type,
        condition.status,
        condition.reason,
        condition.last_transition_time,
    )
    digest = hashlib.sha256("\n".join((*told, str(condition.observed_generation))).encode()).hexdigest()[:16]
    normal = condition.status == "True" or condition.reason in _NORMAL
    return {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        # Events about what has no namespace are kept in `default`, as the nodes' are.
        "metadata": {
            "name": f"{metadata['name']}.{digest}",
            "namespace": metadata.get("namespace") or "default",
        },
        "eventTime": now.replace("Z", ".000000Z"),
        "regarding": {
            "apiVersion": raw["apiVersion"],
            "kind": raw["kind"],
            "name": metadata["name"],
            "uid": metadata["uid"],
        }
        | ({"namespace": metadata["namespace"]} if metadata.get("namespace") else {}),
        "type": "Normal" if normal else "Warning",
        "reason": condition.reason,
        "action": condition.type,
        "note": f"{condition.type} {condition.status}: {condition.message}"[:1000],
        "reportingController": f"{GROUP}/operator",
        "reportingInstance": instance[:128],
    }
