"""Whether pods have the groups that the device nodes of their machines belong to."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from vinoserve_api.conditions import GroupReason
from vinoserve_api.nodes import GPU_COUNT_LABEL, NPU_COUNT_LABEL, RENDER_GID_LABEL, read_gids
from vinoserve_api.v1alpha1 import AcceleratorClass
from vinoserve_operator.status.conditions import Verdict
from vinoserve_operator.status.lists import name_some

Object = Mapping[str, Any]

_SHOWN: Final = 5
_COUNTS: Final = frozenset({GPU_COUNT_LABEL, NPU_COUNT_LABEL})
"""What the node agent labels every node with that has devices."""


def read_node_groups(node: Object | None) -> tuple[int, ...]:
    """Groups of the node's devices, as it is labelled."""
    return read_gids(((node or {}).get("metadata", {}).get("labels") or {}).get(RENDER_GID_LABEL, ""))


def judge_groups(accelerator: AcceleratorClass, groups: Sequence[int], nodes: Sequence[Object]) -> Verdict:
    """`groups` are those that the pods get, `nodes` those that offer the device."""
    labelled = {str(node["metadata"]["name"]): found for node in nodes if (found := read_node_groups(node))}
    strange = {name: sorted(set(found) - set(groups)) for name, found in labelled.items()}
    missing = sorted({gid for found in strange.values() for gid in found})
    if missing:
        names = [name for name, found in sorted(strange.items()) if found]
        shown = name_some(names, _SHOWN)
        return Verdict(
            "False",
            GroupReason.GROUP_MISSING,
            f"the devices of {shown} belong to {show_groups(missing)} (label {RENDER_GID_LABEL}), spec.renderGroups has "
            f"{', '.join(map(str, sorted(groups))) or 'none'}: pods can't open them there, unless the device plugin gives them "
            f"away by CDI; write renderGroups: {sorted({*groups, *missing})}, or leave it out to go by the labels",
        )
    if labelled:
        return Verdict("True", GroupReason.GROUPS_MATCH, f"the pods get {show_groups(groups)}")
    if not nodes:
        return Verdict("Unknown", GroupReason.GROUPS_UNKNOWN, "no node offers the device")
    given = (
        f"the pods get {show_groups(groups)} as spec.renderGroups says"
        if accelerator.spec.render_groups
        else "the pods get no group, which serves where CDI gives them the devices, or anyone may open them"
    )
    if any(_COUNTS & (node["metadata"].get("labels") or {}).keys() for node in nodes):
        why = "the node agent found no group beside root's on the devices"
    else:
        why = f"no node that offers the device is labelled {RENDER_GID_LABEL} (nodeAgent.enabled of the chart labels them)"
    text = f"{why}; {given}"
    return Verdict("Unknown", GroupReason.GROUPS_UNKNOWN, text)


def explain_groups(node: str, wanted: Iterable[int], given: Iterable[int]) -> str | None:
    """Why a pod on `node` can't open its devices; None where it has the groups, or nobody knows."""
    missing = sorted(set(wanted) - set(given))
    if not missing:
        return None
    return (
        f"node {node} has its devices in {show_groups(missing)} (label {RENDER_GID_LABEL}), the pod has "
        f"{show_groups(given) if given else 'no render group'}: add {', '.join(map(str, missing))} to renderGroups of the "
        "AcceleratorClass, or leave renderGroups out"
    )


def show_groups(groups: Iterable[int]) -> str:
    shown = [str(gid) for gid in sorted(groups)]
    return f"group{'' if len(shown) == 1 else 's'} {', '.join(shown)}" if shown else "no group"
