"""Conditions that only move when they change."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from vinoserve_api.v1alpha1 import Condition

Truth = Literal["True", "False", "Unknown"]

_MAX_MESSAGE = 1024  # longer ones are cut: a status is read, and events hold no more


@dataclass(frozen=True)
class Verdict:
    """What a condition says now."""

    status: Truth
    reason: str
    message: str


def make_condition(
    type_: str, verdict: Verdict, previous: Sequence[Mapping[str, Any]], generation: int | None, now: str
) -> Condition:
    """The condition; lastTransitionTime is the previous one's unless the status has changed."""
    before = next((c for c in previous if c.get("type") == type_), None)
    same = before is not None and before.get("status") == verdict.status
    return Condition(
        type=type_,
        status=verdict.status,
        reason=verdict.reason,
        message=cut(verdict.message),
        last_transition_time=str(before["lastTransitionTime"]) if same and before else now,
        observed_generation=generation,
    )


def cut(text: str) -> str:
    """At most 1,024 bytes of UTF-8."""
    encoded = text.encode()
    if len(encoded) <= _MAX_MESSAGE:
        return text
    return encoded[: _MAX_MESSAGE - 3].decode(errors="ignore") + "…"
