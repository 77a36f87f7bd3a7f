"""How far a Deployment is."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Self

from vinoserve_api.conditions import ProgressReason
from vinoserve_operator.status.conditions import Verdict

_REVISION: Final = "deployment.kubernetes.io/revision"


@dataclass(frozen=True)
class Rollout:
    """Numbers of pods, and why the API server refuses to make them, if it does."""

    observed: bool = False
    """The Deployment controller has seen the present spec."""

    wanted: int = 0
    replicas: int = 0
    updated: int = 0
    ready: int = 0
    available: int = 0
    """Ready, and for minReadySeconds where there are any."""

    old_first: bool = False
    """A new pod is made only when an old one has gone."""

    replacing: bool = False
    """There was another template before, whose pods this one's have not replaced yet."""

    refusal: Verdict | None = None

    @classmethod
    def read(cls, deployment: Mapping[str, Any] | None) -> Self:
        if deployment is None:
            return cls()
        spec, status = deployment.get("spec") or {}, deployment.get("status") or {}
        strategy = spec.get("strategy") or {}
        ready = status.get("readyReplicas") or 0
        return cls(
            observed=(status.get("observedGeneration") or 0)
            >= (deployment["metadata"].get("generation") or 0),
            wanted=spec.get("replicas", 1),
            replicas=status.get("replicas") or 0,
            updated=status.get("updatedReplicas") or 0,
            ready=ready,
            available=(status.get("availableReplicas") or 0) if spec.get("minReadySeconds") else ready,
            old_first=strategy.get("type") == "Recreate"
            or (strategy.get("rollingUpdate") or {}).get("maxSurge") == 0,
            replacing=_is_replacing(deployment["metadata"], status),
            refusal=_find_refusal(status),
        )

    def is_complete(self, replicas: int) -> bool:
        """All pods are of the present template and ready (for minReadySeconds), and none of an older one is left."""
        counts = (self.wanted, self.replicas, self.updated, self.ready, self.available)
        return self.observed and all(count == replicas for count in counts)


def _is_replacing(metadata: Mapping[str, Any], status: Mapping[str, Any]) -> bool:
    """The controller counts the templates, and says for good when the last one's pods were all there."""
    progress = [c.get("reason") for c in status.get("conditions") or () if c.get("type") == "Progressing"]
    revision = (metadata.get("annotations") or {}).get(_REVISION, "1")
    return revision != "1" and "NewReplicaSetAvailable" not in progress


def _find_refusal(status: Mapping[str, Any]) -> Verdict | None:
    """Quotas and admission (Pod Security) refuse pods, which only the Deployment tells of."""
    for condition in status.get("conditions") or ():
        if condition.get("type") == "ReplicaFailure" and condition.get("status") == "True":
            message = str(condition.get("message") or "no pod can be made")
            quota = "exceeded quota" in message
            reason = ProgressReason.QUOTA_EXCEEDED if quota else ProgressReason.PODS_FORBIDDEN
            return Verdict("False", reason, f"the API server refuses the pods: {message}")
    return None
