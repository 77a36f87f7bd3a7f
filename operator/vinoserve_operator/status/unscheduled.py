"""Why no node takes a pod, in the scheduler's words."""

import re
from collections.abc import Mapping
from typing import Any, Final

from vinoserve_api.conditions import ProgressReason
from vinoserve_operator.status.diagnosis import Diagnosis

Object = Mapping[str, Any]

#: The scheduler's words where a PersistentVolumeClaim is missing or not bound.
_UNBOUND: Final = re.compile(r"persistentvolumeclaim|unbound immediate|volume binding", re.IGNORECASE)
_NAMED_CLAIM: Final = re.compile(r'persistentvolumeclaim "([^"]+)"')
#: Which field of the service the claim of a volume is from.
_CLAIM_FIELDS: Final = {"cache": "spec.cache.compiled.claimName", "claim": "spec.model.uri"}


def diagnose_unscheduled(condition: Object, claims: Mapping[str, str]) -> Diagnosis:
    """From the pod's condition PodScheduled; `claims` are its PersistentVolumeClaims by volume."""
    message = str(condition.get("message") or "the scheduler has found no node yet").rstrip(".")
    if re.search(_UNBOUND, message):
        return Diagnosis(
            ProgressReason.VOLUME_NOT_READY,
            f"the pod waits for its claim: {message}; {_advise_on_claims(claims, message)}",
            stuck=True,
        )
    if condition.get("reason") == "Unschedulable":
        return Diagnosis(ProgressReason.UNSCHEDULABLE, f"no node takes the pod: {message}", stuck=True)
    return Diagnosis(ProgressReason.PENDING, f"{condition.get('reason', 'not scheduled')}: {message}")


def _advise_on_claims(claims: Mapping[str, str], message: str) -> str:
    """On the one that the scheduler names; on all that the pod has, where it only says that one isn't bound."""
    named = _NAMED_CLAIM.search(message)
    waits = {name: claim for name, claim in claims.items() if not named or claim == named[1]}
    fields = " or ".join(field for name, field in _CLAIM_FIELDS.items() if name in waits)
    command = " ".join(("kubectl describe pvc", *sorted(set(waits.values()))))
    return f"`{command}` says why" + (f", and none is made for {fields}" if fields else "")
