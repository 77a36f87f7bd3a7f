"""`make_class_status`: what the nodes offer of an AcceleratorClass."""

from collections.abc import Mapping, Sequence
from typing import Any

from vinoserve_api.conditions import ClassReason, ConditionType
from vinoserve_api.v1alpha1 import RENDER_GID_LABEL, AcceleratorClass, AcceleratorClassStatus
from vinoserve_operator.status.conditions import Verdict, make_condition

Object = Mapping[str, Any]


def make_class_status(
    raw: Object, accelerator: AcceleratorClass | None, problem: str, nodes: Sequence[Object], now: str
) -> AcceleratorClassStatus:
    """`accelerator` is None where the object isn't valid, and `problem` says why."""
    generation = raw["metadata"].get("generation")
    before = (raw.get("status") or {}).get("conditions") or ()
    offering: list[Object] = []
    units: int | None = None
    if accelerator is None:
        verdict = Verdict("False", ClassReason.INVALID_SPEC, problem)
    else:
        matching = select_nodes(accelerator, nodes)
        offering, units = _count_units(accelerator, matching)
        verdict = _judge(accelerator, matching, offering, units)
    return AcceleratorClassStatus(
        observed_generation=generation,
        conditions=(make_condition(ConditionType.READY, verdict, before, generation, now),),
        nodes=len(offering),
        allocatable=units,
    )


def select_nodes(accelerator: AcceleratorClass, nodes: Sequence[Object]) -> list[Object]:
    wanted = accelerator.spec.node_selector.items()
    return [node for node in nodes if wanted <= _labels(node).items()]


def gather_render_groups(accelerator: AcceleratorClass, nodes: Sequence[Object]) -> list[int]:
    """The gids that the class' nodes are labelled with; a label that is no gid is passed over."""
    values = {_labels(node).get(RENDER_GID_LABEL, "") for node in select_nodes(accelerator, nodes)}
    return sorted(int(v) for v in values if v.isascii() and v.isdigit() and 0 < int(v) < 2**32 - 1)


def _labels(node: Object) -> dict[str, str]:
    return node["metadata"].get("labels") or {}


def _count_units(accelerator: AcceleratorClass, nodes: Sequence[Object]) -> tuple[list[Object], int | None]:
    """The nodes that offer the device and their units; with HostPath nobody counts units."""
    if accelerator.spec.access != "DevicePlugin" or accelerator.spec.device_plugin is None:
        return list(nodes), None
    resource = accelerator.spec.device_plugin.resource_name
    offered = [
        (node, _read_units((node.get("status") or {}).get("allocatable") or {}, resource)) for node in nodes
    ]
    return [node for node, units in offered if units], sum(units for _, units in offered)


def _read_units(allocatable: Mapping[str, str], resource: str) -> int:
    units = str(allocatable.get(resource, "0"))
    return int(units) if units.isdigit() else 0


def _judge(
    accelerator: AcceleratorClass, matching: Sequence[Object], offering: Sequence[Object], units: int | None
) -> Verdict:
    if not matching:
        labels = ",".join(f"{k}={v}" for k, v in sorted(accelerator.spec.node_selector.items()))
        return Verdict(
            "False", ClassReason.NO_NODE, f"no node has the labels {labels}" if labels else "there is no node"
        )
    if not offering and accelerator.spec.device_plugin:
        resource = accelerator.spec.device_plugin.resource_name
        return Verdict(
            "False",
            ClassReason.NO_DEVICE,
            f"no node offers {resource}: is the device plugin installed, and is that its resource name?",
        )
    count = f"{len(offering)} node" + ("" if len(offering) == 1 else "s")
    return Verdict(
        "True", ClassReason.AVAILABLE, f"{count} offer {units} units" if units is not None else count
    )
