"""What keeps a pod's node from making its containers, which the kubelet tells in events alone."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from vinoserve_api.conditions import ProgressReason
from vinoserve_operator.status.diagnosis import Diagnosis
from vinoserve_operator.status.pods import PodView

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

_RETRY_SECONDS: Final = 130
"""The kubelet tries again within two minutes: what it has told before that has passed."""


@dataclass(frozen=True)
class Warned:
    """An event that warns of a pod."""

    reason: str
    note: str
    time: str
    """Of its last occurrence, in RFC 3339."""

    seconds: float
    """The same since the epoch."""


def diagnose_start(events: Sequence[Warned]) -> Diagnosis | None:
    """The latest trouble that events tell, in words that don't change while it stays."""
    told = [event for event in events if event.reason in _REASONS]
    if not told:
        return None
    clear = [event for event in told if not _VAGUE.search(event.note)] or told
    newest = max(clear, key=lambda event: event.seconds)
    found, what = _REASONS[newest.reason]
    since = newest.seconds - _RETRY_SECONDS
    notes = {
        _IDS.sub("", event.note or event.reason)
        for event in clear
        if event.seconds >= since and _REASONS[event.reason][0] == found
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
