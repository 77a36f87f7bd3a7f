"""What keeps a pod's node from making its containers, which the kubelet tells in events alone."""

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from vinoserve_api.conditions import ProgressReason
from vinoserve_operator.status.pods import Diagnosis, PodView

Object = Mapping[str, Any]

_MOUNT: Final = (ProgressReason.VOLUME_NOT_READY, "its node can't mount its volumes")
_SANDBOX: Final = (ProgressReason.SANDBOX_FAILED, "its node can't set up its network and sandbox")
_CLAIM: Final = (ProgressReason.DEVICE_NOT_PREPARED, "its node can't prepare the devices that it claims")

#: By the reason of the event, as the kubelet and the attach/detach controller write it.
_REASONS: Final = {
    "FailedMount": _MOUNT,
    "FailedMapVolume": _MOUNT,
    "FailedAttachVolume": _MOUNT,
    "FailedCreatePodSandBox": _SANDBOX,
    "NetworkNotReady": _SANDBOX,
    "FailedPrepareDynamicResources": _CLAIM,
}
_HINTS: Final = {
    ProgressReason.VOLUME_NOT_READY: "see that what it names is there, and that the node can mount it",
    ProgressReason.SANDBOX_FAILED: "look at the node's network plugin, and at the RuntimeClass where there is one",
    ProgressReason.DEVICE_NOT_PREPARED: "look at the DRA driver's pod on that node",
}

#: That the kubelet has waited for something, of which another event tells why it doesn't come.
_VAGUE: Final = re.compile(r"timed out waiting for the condition|context deadline exceeded|failed to sync")

#: What passes by itself: the volume is on its way from another node, the node's caches fill.
_PASSING: Final = re.compile(
    r'Multi-Attach|failed to sync|timed out waiting|context deadline exceeded|object "[^"]*"/"[^"]*" not registered'
)

#: Of the sandbox's failures: each try's own id, with which the same would be told anew.
_IDS: Final = re.compile(r'"?\b[0-9a-f]{32,}\b"?:? ?')

_RETRY: Final = timedelta(seconds=130)
"""The kubelet tries again within two minutes: what it has told before that has passed."""


def diagnose_start(events: Sequence[Object]) -> Diagnosis | None:
    """The latest trouble that events which warn of a pod tell, in words that don't change while it stays."""
    told = [event for event in events if event.get("reason") in _REASONS]
    if not told:
        return None
    clear = [event for event in told if not _VAGUE.search(event.get("note") or "")] or told
    newest = max(clear, key=find_time)
    found, what = _REASONS[newest["reason"]]
    since = find_time(newest) - _RETRY
    notes = {
        _IDS.sub("", event.get("note") or event["reason"])
        for event in clear
        if find_time(event) >= since and _REASONS[event["reason"]][0] == found
    }
    text = "; ".join(sorted(notes))
    return Diagnosis(
        found,
        f"{what}: {text}; {_HINTS[found]}",
        stuck=not _PASSING.search(text),
        device=found == ProgressReason.DEVICE_NOT_PREPARED,
    )


def diagnose_wait(pod: PodView) -> Diagnosis | None:
    """Where no event tells and yet it takes long."""
    if not pod.needs:
        return None
    there = " and ".join(pod.needs) + (" is" if len(pod.needs) == 1 else " are")
    return Diagnosis(
        ProgressReason.VOLUME_NOT_READY,
        f"its node still waits for its volumes: see that {there} there; `kubectl describe pod` says what it waits for",
    )


def find_time(event: Object) -> datetime:
    """Of its last occurrence: the kubelet's recorder writes the deprecated field, newer ones write a series."""
    return max(map(datetime.fromisoformat, _list_times(event)))


def _list_times(event: Object) -> Iterator[str]:
    series = event.get("series") or {}
    times = (series.get("lastObservedTime"), event.get("deprecatedLastTimestamp"), event.get("eventTime"))
    yield from filter(None, times)
    yield event["metadata"]["creationTimestamp"]
