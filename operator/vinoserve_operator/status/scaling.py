"""What the autoscaler says of itself: its HorizontalPodAutoscaler's conditions, in a user's words."""

from collections.abc import Mapping
from typing import Any, Final

from vinoserve_api.conditions import ProgressReason, ScalingReason
from vinoserve_api.v1alpha1 import InferenceService
from vinoserve_operator.status.conditions import Verdict

_CONTESTED: Final = "AmbiguousSelector"
_NOT_YET: Final = ("InvalidSelector", "ScalingDisabled")
"""It has looked before the status had a selector, or before the pods were wanted again."""

_NO_API: Final = "could not find the requested resource"


def judge_scaling(
    service: InferenceService, autoscaler: Mapping[str, Any] | None, *, ready: int
) -> Verdict | None:
    """None without autoscaling. `ready`: how many pods are."""
    spec = service.spec
    if spec.autoscaling is None:
        return None
    if spec.suspend:
        return Verdict("False", ProgressReason.SUSPENDED, "spec.suspend is true; nothing is scaled meanwhile")
    if spec.replicas == 0:
        return Verdict(
            "False",
            ProgressReason.SCALED_TO_ZERO,
            "spec.replicas is 0, from where nothing scales up; set it to 1",
        )
    conditions = ((autoscaler or {}).get("status") or {}).get("conditions") or ()
    active: Mapping[str, Any] = next((c for c in conditions if c.get("type") == "ScalingActive"), {})
    reason, message = active.get("reason", ""), active.get("message") or active.get("reason", "")
    if reason == _CONTESTED:
        return Verdict(
            "False",
            ScalingReason.ANOTHER_AUTOSCALER,
            f"another HorizontalPodAutoscaler scales the same pods, so none does: {message}; delete it (or its ScaledObject), or "
            "remove spec.autoscaling",
        )
    if not active or reason in _NOT_YET or not ready:
        return Verdict(
            "Unknown", ProgressReason.PENDING, "the HorizontalPodAutoscaler has seen no ready pod yet"
        )
    if active.get("status") != "True":
        hint = "; is what serves these metrics installed? metrics-server for cpu and memory, an adapter for others"
        return Verdict(
            "False", ScalingReason.METRICS_UNAVAILABLE, message + (hint if _NO_API in message else "")
        )
    bounds = spec.autoscaling
    return Verdict(
        "True", ScalingReason.SCALING, f"from {bounds.min_replicas} to {bounds.max_replicas} pods by load"
    )
