"""How far a Deployment is."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from vinoserve_api.conditions import ProgressReason
from vinoserve_operator.status.conditions import Verdict


@dataclass(frozen=True)
class Rollout:
    """Numbers of pods, and why the API server refuses to make them, if it does."""

    observed: bool = False
    """The Deployment controller has seen the present spec."""

    wanted: int = 0
    replicas: int = 0
    updated: int = 0
    ready: int = 0
    refusal: Verdict | None = None

    @classmethod
    def read(cls, deployment: Mapping[str, Any] | None) -> Self:
        if deployment is None:
            return cls()
        status = deployment.get("status") or {}
        return cls(
            observed=(status.get("observedGeneration") or 0)
            >= (deployment["metadata"].get("generation") or 0),
            wanted=(deployment.get("spec") or {}).get("replicas", 1),
            replicas=status.get("replicas") or 0,
            updated=status.get("updatedReplicas") or 0,
            ready=status.get("readyReplicas") or 0,
            refusal=_find_refusal(status),
        )

    def is_complete(self, replicas: int) -> bool:
        """All pods are of the present template and ready, and none of an older one is left."""
        return self.observed and self.wanted == self.replicas == self.updated == self.ready == replicas


def _find_refusal(status: Mapping[str, Any]) -> Verdict | None:
    """Quotas and admission (Pod Security) refuse pods, which only the Deployment tells of."""
    for condition in status.get("conditions") or ():
        if condition.get("type") == "ReplicaFailure" and condition.get("status") == "True":
            message = str(condition.get("message") or "no pod can be made")
            quota = "exceeded quota" in message
            reason = ProgressReason.QUOTA_EXCEEDED if quota else ProgressReason.PODS_FORBIDDEN
            return Verdict("False", reason, f"the API server refuses the pods: {message}")
    return None
