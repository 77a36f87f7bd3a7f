"""Why the API server refuses to make pods: a Deployment's condition tells it, and of a Job events alone."""

import re
from collections.abc import Sequence
from typing import Final

from vinoserve_api.conditions import ProgressReason
from vinoserve_operator.status.diagnosis import Diagnosis
from vinoserve_operator.status.starting import Warned

_PREFIX: Final = re.compile(r"^(\(combined from similar events\): ?)?Error creating: ")

_MOST_PREFIX: Final = 58
_SUFFIX: Final = "[a-z0-9]{5}"
"""The API server makes a pod's name of so much of its Job's name and a dash, and of five characters that differ each time."""


def explain_refusal(message: str) -> tuple[ProgressReason, str]:
    """The reason, and the words: quotas and admission (Pod Security) refuse pods. `message` is the API server's."""
    quota = "exceeded quota" in message
    reason = ProgressReason.QUOTA_EXCEEDED if quota else ProgressReason.PODS_FORBIDDEN
    return reason, f"the API server refuses the pods: {message}"


def diagnose_refusal(events: Sequence[Warned], job: str, since: float) -> Diagnosis | None:
    """From events that warn of the Job of that name, `since` seconds since the epoch; each try makes the same words."""
    told = [event for event in events if event.reason == "FailedCreate" and event.seconds >= since]
    if not told:
        return None
    newest = max(told, key=lambda event: (event.seconds, event.note))
    prefix = f"{job}-"[:_MOST_PREFIX]
    note = re.sub(rf"\b{re.escape(prefix)}{_SUFFIX}\b", f"{prefix}*", _PREFIX.sub("", newest.note))
    return Diagnosis(*explain_refusal(note), stuck=True)
