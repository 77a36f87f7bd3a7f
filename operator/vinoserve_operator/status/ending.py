"""Pods that are about to end still hold what those that take their place wait for."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from vinoserve_api.conditions import ProgressReason
from vinoserve_operator.status.conditions import Verdict
from vinoserve_operator.status.diagnosis import Diagnosis
from vinoserve_operator.status.lists import name_some
from vinoserve_operator.status.rollout import Rollout

_SHOWN: Final = 3


def wait_for_device(ending: Sequence[str]) -> Diagnosis:
    """For a pod that no node takes as all devices are held."""
    return Diagnosis(
        ProgressReason.ROLLING_OUT, f"waits for an accelerator that {_name(ending)} until it has ended"
    )


def wait_for_quota(rollout: Rollout, ending: Sequence[str]) -> Rollout:
    """A quota counts pods until they are gone."""
    refusal = rollout.refusal
    if not ending or refusal is None or refusal.reason != ProgressReason.QUOTA_EXCEEDED:
        return rollout
    text = f"waits for room in the quota, which {_name(ending)} until it has ended; {refusal.message}"
    return replace(rollout, refusal=Verdict(refusal.status, ProgressReason.ROLLING_OUT, text))


def _name(ending: Sequence[str]) -> str:
    names = name_some(ending, _SHOWN)
    return f"pod {names} holds" if len(ending) == 1 else f"each of the pods {names} holds"
