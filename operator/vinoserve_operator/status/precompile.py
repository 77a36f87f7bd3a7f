"""What the Job that compiles a model before its pods are replaced does, or what ails it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from vinoserve_api.conditions import ProgressReason
from vinoserve_operator.status.diagnosis import Diagnosis
from vinoserve_operator.status.disruptions import diagnose_end
from vinoserve_operator.status.pods import PodView

_FORBID_HOST_PATHS: Final = ("baseline", "restricted")
_GO_FIRST: Final = "or let those go first with spec.rollout.strategy: Recreate"

#: Where the Job has to have what pods that serve have, too.
_BESIDE: Final[dict[str, str]] = {
    ProgressReason.UNSCHEDULABLE: f"; the pods that serve hold the devices: free one, {_GO_FIRST}",
    ProgressReason.QUOTA_EXCEEDED: f"; the quota counts the pods that serve, too: raise it, {_GO_FIRST}",
}


@dataclass(frozen=True)
class Precompiling:
    """The Job as it is, and its pods; new pods of the service wait for it."""

    job: Mapping[str, Any]
    pods: Sequence[PodView] = ()
    exclusive: bool = False
    """A unit of its devices serves one pod."""

    enforced: str = ""
    """The Pod Security profile that the namespace enforces, as its label says."""

    heard: Diagnosis | None = None
    """What events alone tell: why no pod of it can be made."""

    @property
    def name(self) -> str:
        return str(self.job["metadata"]["name"])

    @property
    def uid(self) -> str:
        return str(self.job["metadata"]["uid"])

    @property
    def created(self) -> str:
        return str(self.job["metadata"]["creationTimestamp"])

    @property
    def waits_for_pod(self) -> bool:
        """It has none that runs or has compiled, and has not given up."""
        made = any(pod.live or pod.succeeded for pod in self.pods)
        return not made and self._find_failure() is None

    def diagnose(self, explain: Callable[[PodView, Diagnosis], Diagnosis], *, serving: bool) -> Diagnosis:
        """`explain` adds what is known beyond the pod; `serving`: whether pods of an older generation do."""
        failed = self._find_failure()
        found = self._diagnose_pod(explain)
        if failed is not None:
            if found.reason == ProgressReason.PRECOMPILING:
                found = Diagnosis(ProgressReason.CRASH_LOOP, str(failed.get("message") or "it failed"))
            message = f"{found.message}; to try again as it is: kubectl delete job {self.name}"
            found = replace(found, message=message, stuck=True)
        elif self.exclusive and serving:
            found = replace(found, message=found.message + _BESIDE.get(found.reason, ""))
        return replace(found, message=f"Job {self.name}: {found.message}")

    def _mounts_host_paths(self) -> bool:
        return any("hostPath" in volume for volume in self.job["spec"]["template"]["spec"]["volumes"])

    def _find_failure(self) -> Mapping[str, Any] | None:
        conditions = (self.job.get("status") or {}).get("conditions") or ()
        return next((c for c in conditions if c.get("type") == "Failed" and c.get("status") == "True"), None)

    def _diagnose_pod(self, explain: Callable[[PodView, Diagnosis], Diagnosis]) -> Diagnosis:
        pods = sorted(self.pods, key=lambda pod: (pod.created, pod.name), reverse=True)
        if not pods and self.enforced in _FORBID_HOST_PATHS and self._mounts_host_paths():
            return Diagnosis(
                ProgressReason.PODS_FORBIDDEN,
                f"it has no pod: the namespace enforces Pod Security {self.enforced}, which forbids hostPath volumes; "
                "write cache.compiled.type PersistentVolumeClaim, or have the admin label the namespace otherwise",
                stuck=True,
            )
        if self.heard:
            return self.heard
        if not pods:
            hint = "it has no pod yet; where that stays so, kubectl describe job says what refuses it"
            return Diagnosis(ProgressReason.PRECOMPILING, hint)
        if pods[0].succeeded:
            return Diagnosis(ProgressReason.PRECOMPILING, "the model is compiled")
        taken = {pod.name: ended for pod in pods if (ended := diagnose_end(pod.pod))}
        if pods[0].name in taken:
            return taken[pods[0].name]
        newest = explain(pods[0], pods[0].diagnose_start())
        # a new try doesn't undo that the one before failed: else the status would flap
        tries = (newest, *(pod.diagnose_start() for pod in pods[1:] if pod.name not in taken))
        on_its_way = replace(newest, reason=ProgressReason.PRECOMPILING)
        return next((found for found in tries if found.failed), on_its_way)
