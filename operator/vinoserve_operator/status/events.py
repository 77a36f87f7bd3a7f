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

PUT_BACK: Final = "PutBack"
"""Reason of the event that tells of a child that somebody else has changed."""


def make_events(
    raw: Mapping[str, Any],
    previous: Sequence[Mapping[str, Any]],
    present: Sequence[Condition],
    instance: str,
    now: str,
) -> list[dict[str, Any]]:
    """Events for what has changed from the previous conditions of `raw` to the present ones.

    An event's name is made from what it tells and when, so that telling it again at once makes one. `instance` names the
    operator's process, `now` is the time in RFC 3339, to the second.
    """
    before = {c["type"]: (str(c["status"]), str(c["reason"])) for c in previous}
    news = {
        position: condition
        for position, condition in enumerate(present)
        if _is_news(condition, *before.get(condition.type, ("Unknown", "")))
    }
    failures = {c.reason for c in news.values() if c.type == ConditionType.READY and c.status == "False"}
    return [
        _make_event(raw, condition, position, instance, now)
        for position, condition in news.items()
        if condition.type == ConditionType.READY  # which says the same of what is no longer served
        or condition.status != "False"
        or condition.reason not in failures
    ]


def make_put_back_event(
    raw: Mapping[str, Any], child: Mapping[str, Any], difference: str | None, instance: str, now: str
) -> dict[str, Any]:
    """A child of `raw` was edited by somebody else, at the field `difference`, or deleted (None).

    In ten seconds it is told once: two who fight over a field shall not flood the events.
    """
    what = f"{child['kind']} {child['metadata']['name']}"
    note = (
        f"{what} was deleted by somebody else and is made again; to take it away, delete or suspend the InferenceService"
        if difference is None
        else f"{difference} of {what} was changed by somebody else and is put back; change the InferenceService instead"
    )
    name = _make_name(raw, f"{now[:18]}0Z", 0, PUT_BACK, child["kind"], str(difference))
    told = {"type": "Warning", "reason": PUT_BACK, "action": "Apply", "note": note}
    return _fill_in(raw, name, told, instance, now.replace("Z", ".000000Z"))


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


def _make_event(
    raw: Mapping[str, Any], condition: Condition, position: int, instance: str, now: str
) -> dict[str, Any]:
    digested = (condition.type, condition.status, condition.reason, str(condition.observed_generation))
    name = _make_name(raw, now, position, *digested)
    normal = condition.status == "True" or condition.reason in _NORMAL
    told = {
        "type": "Normal" if normal else "Warning",
        "reason": condition.reason,
        "action": condition.type,
        "note": f"{condition.type} {condition.status}: {condition.message}",
    }
    return _fill_in(raw, name, told, instance, now.replace("Z", f".{position:06}Z"))


def _make_name(raw: Mapping[str, Any], time: str, position: int, *told: str) -> str:
    """The same for the same, and in the order of time: kubectl describe lists events by their names."""
    metadata = raw["metadata"]
    digits = "".join(filter(str.isdigit, time))
    digest = hashlib.sha256("\n".join((metadata["uid"], *told)).encode()).hexdigest()[:8]
    return f"{metadata['name']}.{digits}{position}{digest}"


def _fill_in(
    raw: Mapping[str, Any], name: str, told: Mapping[str, str], instance: str, time: str
) -> dict[str, Any]:
    metadata = raw["metadata"]
    namespace = {"namespace": metadata["namespace"]} if metadata.get("namespace") else {}
    return {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        # Events about what has no namespace are kept in `default`, as the nodes' are.
        "metadata": {"name": name, "namespace": metadata.get("namespace") or "default"},
        "eventTime": time,
        "regarding": {
            "apiVersion": raw["apiVersion"],
            "kind": raw["kind"],
            "name": metadata["name"],
            "uid": metadata["uid"],
            **namespace,
        },
        **told,
        "note": told["note"][:1000],
        "reportingController": f"{GROUP}/operator",
        "reportingInstance": instance[:128],
    }
