"""How kstatus and Argo CD read an object, and what a status must be like for them to read it right.

kstatus (sigs.k8s.io/cli-utils/pkg/kstatus) is what Flux and `kubectl wait`-like tools go by.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lupa import lua51  # Argo CD's interpreter, gopher-lua, is Lua 5.1

Object = Mapping[str, Any]

HEALTH = Path(__file__).parents[1] / "docs/argocd/vinoserve.dev/InferenceService/health.lua"
_LUA = lua51.LuaRuntime(register_eval=False, register_builtins=False)
RESTING = {"Suspended", "ScaledToZero"}
"""Reasons why there shall be no pods."""


def read_kstatus(found: Object) -> str:
    """Current, InProgress, Failed or Terminating: `Compute` of kstatus for a kind that it doesn't know."""
    metadata, status = found["metadata"], found.get("status") or {}
    if metadata.get("deletionTimestamp"):
        return "Terminating"
    if status.get("observedGeneration", metadata.get("generation")) != metadata.get("generation"):
        return "InProgress"
    said = {c["type"]: c["status"] for c in status.get("conditions") or ()}
    if said.get("Reconciling") == "True":
        return "InProgress"
    if said.get("Stalled") == "True":
        return "Failed"
    return "InProgress" if said.get("Ready") in ("False", "Unknown") else "Current"


def read_argo(found: Object) -> dict[str, str]:
    """{status, message} as Argo CD takes them from our health script."""
    _LUA.globals().obj = _LUA.table_from(found, recursive=True)
    return dict(_LUA.execute(HEALTH.read_text()))


def check_status(found: Object) -> None:
    """A status as the operator writes it, of the generation that it has looked at."""
    metadata, status = found["metadata"], found["status"]
    conditions = {c["type"]: c for c in status["conditions"]}
    assert len(conditions) == len(status["conditions"]), "a condition is there twice"
    assert status["observedGeneration"] == metadata["generation"]
    for condition in conditions.values():
        assert condition["observedGeneration"] == metadata["generation"], condition
        assert condition["status"] in ("True", "False", "Unknown")
        assert condition["reason"]
        assert condition["message"]
        assert condition["lastTransitionTime"]
    ready, reconciling, stalled = (conditions[type_] for type_ in ("Ready", "Reconciling", "Stalled"))
    moving, stuck = reconciling["status"] == "True", stalled["status"] == "True"
    assert not (moving and stuck), "it moves and is stuck"
    if ready["status"] == "True":
        assert not moving
        assert not stuck
    else:
        assert moving or stuck or ready["reason"] in RESTING, "not ready, and nobody knows whether to wait"
    argo = read_argo(found)
    assert argo["message"] == f"{ready['reason']}: {ready['message']}"
    expected = {"Current": "Healthy", "Failed": "Degraded", "InProgress": "Progressing"}
    resting = ready["status"] != "True" and ready["reason"] in RESTING
    assert argo["status"] == ("Suspended" if resting else expected[read_kstatus(found)])
