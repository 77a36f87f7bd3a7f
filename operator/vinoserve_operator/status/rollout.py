"""How far a Deployment is."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Self

from vinoserve_operator.status.conditions import Verdict
from vinoserve_operator.status.pods import TEMPLATE_LABEL, count_pods
from vinoserve_operator.status.refusals import explain_refusal

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

    min_ready_seconds: int = 0

    old_first: bool = False
    """A new pod is made only when an old one has gone."""

    revision: int = 1
    """Of the template: how many there were."""

    progressed: str | None = None
    """The ReplicaSet (of one template) whose pods were all there, the last that was."""

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
            min_ready_seconds=spec.get("minReadySeconds") or 0,
            available=(status.get("availableReplicas") or 0) if spec.get("minReadySeconds") else ready,
            old_first=strategy.get("type") == "Recreate"
            or (strategy.get("rollingUpdate") or {}).get("maxSurge") == 0,
            revision=_read_revision(deployment),
            progressed=_find_progressed(status),
            refusal=_find_refusal(status),
        )

    def is_replacing(self, template: str | None) -> bool:
        """Whether there was another template before, whose pods those of `template` (their hash) have not replaced yet."""
        if self.revision == 1:
            return False
        return self.progressed is None or bool(
            template and self.progressed and not self.progressed.endswith(f"-{template}")
        )

    def is_complete(self, replicas: int) -> bool:
        """All pods are of the present template and ready (for minReadySeconds), and none of an older one is left."""
        counts = (self.wanted, self.replicas, self.updated, self.ready, self.available)
        return self.observed and all(count == replicas for count in counts)

    def describe(self, replicas: int, *, fresh: int, serving: int, live: int) -> str:
        """What there is and what is waited for, where it is not complete.

        Of pods: `fresh` are ready and seem to be of the present template, `serving` are ready, `live` are there.
        """
        if not self.observed and live:
            # Its counts are of what was wanted before, and nothing tells its template's pods from those of the last.
            told = describe_unseen(serving)
            return f"{told}, spec.replicas is {replicas}" if serving not in (0, replicas) else told
        done = min(fresh, self.updated, replicas)
        told = f"{done} of {replicas} replicas are up to date and ready"
        if not done and serving:
            return f"no pod of this generation is ready yet; {describe_serving(serving)}"
        young = max(self.ready - self.available, 0)
        if young:
            told += f"; {_have(young)} not been ready for spec.rollout.minReadySeconds ({self.min_ready_seconds} s) yet"
        if done < replicas:
            return f"{told}; {describe_serving(serving - done, 'other ')}" if serving > done else told
        if live > done:
            return f"{told}; {_have(live - done, 'more ')} yet to go"
        return told if young else f"{told}; the Deployment's status has yet to say so"


def find_template(replica_sets: Iterable[Mapping[str, Any]]) -> str | None:
    """Hash of the newest revision's template: a rollback gives an old ReplicaSet the newest number."""
    newest = max(replica_sets, key=_read_revision, default=None)
    return (newest["metadata"].get("labels") or {}).get(TEMPLATE_LABEL) if newest else None


def _read_revision(found: Mapping[str, Any]) -> int:
    return int((found["metadata"].get("annotations") or {}).get(_REVISION, "1"))


def describe_serving(pods: int, more: str = "", of: str = "") -> str:
    """`more` stands before the noun, `of` after it."""
    return f"{count_pods(pods, more)}{of} {'goes' if pods == 1 else 'go'} on serving"


def _have(pods: int, more: str = "") -> str:
    return f"{count_pods(pods, more)} {'has' if pods == 1 else 'have'}"


def describe_unseen(serving: int) -> str:
    """Of a Deployment whose controller is about to see what was written."""
    told = "the Deployment's controller has not seen its last change yet"
    return f"{told}; {describe_serving(serving)}" if serving else told


def _find_progressed(status: Mapping[str, Any]) -> str | None:
    """The controller says it for good, and goes on saying it when a template of before comes back."""
    for condition in status.get("conditions") or ():
        if condition.get("type") == "Progressing" and condition.get("reason") == "NewReplicaSetAvailable":
            named = re.match(r'ReplicaSet "([^"]+)"', condition.get("message") or "")
            return named[1] if named else ""
    return None


def _find_refusal(status: Mapping[str, Any]) -> Verdict | None:
    """Of pods that aren't there only the Deployment tells."""
    for condition in status.get("conditions") or ():
        if condition.get("type") == "ReplicaFailure" and condition.get("status") == "True":
            return Verdict("False", *explain_refusal(str(condition.get("message") or "no pod can be made")))
    return None
