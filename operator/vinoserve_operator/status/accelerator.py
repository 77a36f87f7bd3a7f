"""`make_class_status`: what the nodes offer of an AcceleratorClass, and what of it is held."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from vinoserve_api.conditions import ClassConditionType, ClassReason
from vinoserve_api.nodes import GPU_DRIVER_LABEL, NPU_DRIVER_LABEL, RENDER_GID_LABEL, read_gids, read_values
from vinoserve_api.v1alpha1 import AcceleratorClass, AcceleratorClassSpec, AcceleratorClassStatus
from vinoserve_operator.status.conditions import Verdict, make_condition
from vinoserve_operator.status.dra import (
    Device,
    Published,
    explain_selectors,
    find_device_class,
    find_drivers,
    list_devices,
)
from vinoserve_operator.status.groups import judge_groups
from vinoserve_operator.status.holdings import count_held
from vinoserve_operator.status.lists import name_some

Object = Mapping[str, Any]

_DRIVER_LABELS: Final = {"GPU": GPU_DRIVER_LABEL, "NPU": NPU_DRIVER_LABEL}
_SHOWN: Final = 4
"""Devices that a message names."""


@dataclass(frozen=True)
class ClassLook:
    """One look at an AcceleratorClass: the object as it came, and the cluster around it."""

    raw: Object
    accelerator: AcceleratorClass | None
    """None where the object isn't valid, and `problem` says why."""
    problem: str = ""
    nodes: Sequence[Object] = ()
    pods: Sequence[Object] = ()
    """Those of InferenceServices."""
    templates: Mapping[tuple[str, str], Object] = field(default_factory=dict)
    """ResourceClaimTemplates of InferenceServices by namespace and name."""
    published: Published | None = None
    """None where nobody has asked: see `needs_published`."""
    now: str = ""
    """RFC 3339, for what changes."""


@dataclass(frozen=True)
class _Offer:
    nodes: Sequence[Object]
    units: int | None
    verdict: Verdict


def make_class_status(look: ClassLook) -> AcceleratorClassStatus:
    metadata = look.raw["metadata"]
    generation, before = metadata.get("generation"), (look.raw.get("status") or {}).get("conditions") or ()
    accelerator = look.accelerator
    if accelerator is None:
        verdict = Verdict("False", ClassReason.INVALID_SPEC, look.problem)
        condition = make_condition(ClassConditionType.READY, verdict, before, generation, look.now)
        return AcceleratorClassStatus(observed_generation=generation, conditions=(condition,))
    matching = select_nodes(accelerator, look.nodes)
    offer = _find_offer(accelerator, matching, look.published)
    groups = accelerator.spec.render_groups
    if groups is None:
        groups = tuple(gather_render_groups(accelerator, look.nodes))
    names = {_name(node) for node in matching}
    pods = [pod for pod in look.pods if pod["spec"].get("nodeName") in names]
    verdicts = {
        ClassConditionType.READY: _judge_nodes(offer),
        ClassConditionType.RENDER_GROUPS: judge_groups(accelerator, groups, offer.nodes),
    }
    label = _DRIVER_LABELS[accelerator.spec.device_type]
    drivers = {driver for node in offer.nodes for driver in read_values(_labels(node).get(label, ""))}
    return AcceleratorClassStatus(
        observed_generation=generation,
        conditions=tuple(
            make_condition(type_, verdict, before, generation, look.now)
            for type_, verdict in verdicts.items()
        ),
        resource=_describe_resource(accelerator.spec),
        nodes=len(offer.nodes),
        allocatable=offer.units,
        allocated=count_held(accelerator, pods, look.templates),
        render_groups=groups,
        drivers=tuple(sorted(drivers)),
    )


def needs_published(accelerator: AcceleratorClass, nodes: Sequence[Object]) -> bool:
    """Whether its status depends on what DRA drivers publish.

    A resource that no node offers may be an extended resource that stands for a DeviceClass: the scheduler knows it alone.
    """
    if accelerator.spec.device_plugin:
        return not _count_units(accelerator.spec.device_plugin.resource_name, nodes)[0]
    return accelerator.spec.access == "DRA"


def select_nodes(accelerator: AcceleratorClass, nodes: Sequence[Object]) -> list[Object]:
    wanted = accelerator.spec.node_selector.items()
    return [node for node in nodes if wanted <= _labels(node).items()]


def gather_render_groups(accelerator: AcceleratorClass, nodes: Sequence[Object]) -> list[int]:
    """The gids that the class' nodes are labelled with."""
    values = [_labels(node).get(RENDER_GID_LABEL, "") for node in select_nodes(accelerator, nodes)]
    return sorted({gid for value in values for gid in read_gids(value)})


def _describe_resource(spec: AcceleratorClassSpec) -> str:
    if spec.device_plugin:
        return spec.device_plugin.resource_name
    if spec.dra:
        return f"deviceclass/{spec.dra.device_class_name}"
    return ",".join(spec.host_path.paths if spec.host_path else ())


def _labels(node: Object) -> dict[str, str]:
    return node["metadata"].get("labels") or {}


def _name(node: Object) -> str:
    return str(node["metadata"]["name"])


def _find_offer(
    accelerator: AcceleratorClass, matching: Sequence[Object], published: Published | None
) -> _Offer:
    if not matching:
        labels = ",".join(f"{k}={v}" for k, v in sorted(accelerator.spec.node_selector.items()))
        text = f"no node has the labels {labels}" if labels else "there is no node"
        return _Offer(
            (), None if accelerator.spec.host_path else 0, Verdict("False", ClassReason.NO_NODE, text)
        )
    if accelerator.spec.device_plugin:
        resource = accelerator.spec.device_plugin.resource_name
        offering, units = _count_units(resource, matching)
        unhealthy = _find_unhealthy(resource, matching)
        if offering or unhealthy:
            return _Offer(offering, units, _judge_counted(offering, units, unhealthy))
        if published is None or find_device_class(accelerator, published) is None:
            text = (
                f"no node offers {resource}: is the device plugin installed, and is that its resource name?"
            )
            return _Offer((), 0, Verdict("False", ClassReason.NO_DEVICE, text))
    if accelerator.spec.host_path:
        return _Offer(matching, None, _make_available(matching, None))
    return _find_published(accelerator, matching, published or Published())


def _find_published(
    accelerator: AcceleratorClass, matching: Sequence[Object], published: Published
) -> _Offer:
    """By Dynamic Resource Allocation."""
    device_class = find_device_class(accelerator, published)
    if device_class is None:
        name = accelerator.spec.dra.device_class_name if accelerator.spec.dra else ""
        text = published.problem or f"there is no DeviceClass {name}: is the DRA driver installed?"
        return _Offer((), 0, Verdict("False", ClassReason.NO_DEVICE_CLASS, text))
    name, drivers = device_class["metadata"]["name"], find_drivers(device_class)
    if not drivers:
        text = f"DeviceClass {name} names no driver by device.driver == '...': its devices aren't counted"
        return _Offer(matching, None, Verdict("True", ClassReason.AVAILABLE, text))
    devices = list_devices(drivers, published.slices, frozenset(_name(node) for node in matching))
    if not devices:
        text = f"no node publishes a device of DeviceClass {name} (driver {', '.join(sorted(drivers))}): does it run there?"
        return _Offer((), 0, Verdict("False", ClassReason.NO_DEVICE, text))
    whole = [device for device in devices if device.taint is None]
    found = {device.node for device in whole}
    offering = [node for node in matching if _name(node) in found]
    return _Offer(offering, len(whole), _judge_published(accelerator, devices, offering, len(whole)))


def _judge_published(
    accelerator: AcceleratorClass, devices: Sequence[Device], offering: Sequence[Object], units: int
) -> Verdict:
    selectors = accelerator.spec.dra.selectors if accelerator.spec.dra else ()
    never = " ".join(explain_selectors(selectors, devices))
    if never:
        return Verdict("False", ClassReason.SELECTOR_NEVER_MATCHES, never)
    available = _make_available(offering, units)
    tainted = [device for device in devices if device.taint]
    if not tainted:
        return available
    shown = name_some([f"{d.name} on {d.node} ({d.taint})" for d in tainted], _SHOWN)
    text = f"{available.message}; the driver taints {shown}: pods are kept away, NoExecute takes them off"
    return Verdict("True" if units else "False", ClassReason.DEVICES_TAINTED, text)


def _count_units(resource: str, nodes: Sequence[Object]) -> tuple[list[Object], int]:
    """The nodes whose device plugin offers the resource, and their units."""
    offered = [
        (node, _read_units((node.get("status") or {}).get("allocatable") or {}, resource)) for node in nodes
    ]
    return [node for node, units in offered if units], sum(units for _, units in offered)


def _find_unhealthy(resource: str, nodes: Sequence[Object]) -> dict[str, str]:
    """Of nodes that have more than they offer: how many. The kubelet counts what is unhealthy as capacity alone."""
    found: dict[str, str] = {}
    for node in nodes:
        status = node.get("status") or {}
        has = _read_units(status.get("capacity") or {}, resource)
        offered = _read_units(status.get("allocatable") or {}, resource)
        if offered < has:
            found[_name(node)] = f"{has - offered} of {has}"
    return found


def _judge_counted(offering: Sequence[Object], units: int, unhealthy: Mapping[str, str]) -> Verdict:
    """By a device plugin."""
    available = _make_available(offering, units)
    if not unhealthy:
        return available
    shown = name_some([f"{count} on {node}" for node, count in sorted(unhealthy.items())], _SHOWN, " nodes")
    text = (
        f"{available.message}; unhealthy: {shown}. The device plugin reports them so, or has stopped: "
        "see its log there, and the kernel's"
    )
    return Verdict("True" if units else "False", ClassReason.DEVICES_UNHEALTHY, text)


def _judge_nodes(offer: _Offer) -> Verdict:
    """The verdict on the devices, where they are fine: on the nodes that new pods would go to."""
    away = {_name(node): why for node in offer.nodes if (why := _find_obstacle(node))}
    if not away or offer.verdict.reason != ClassReason.AVAILABLE:
        return offer.verdict
    shown = name_some([f"{node} ({why})" for node, why in sorted(away.items())], _SHOWN)
    text = f"{offer.verdict.message}; no new pod gets to {shown}"
    open_ = len(away) < len(offer.nodes)
    return Verdict("True" if open_ else "False", ClassReason.NODES_UNAVAILABLE, text)


def _find_obstacle(node: Object) -> str | None:
    if not (node.get("status") or {}).get("ready", True):
        return "not ready"
    return "cordoned" if (node.get("spec") or {}).get("unschedulable") else None


def _read_units(counts: Mapping[str, str], resource: str) -> int:
    units = str(counts.get(resource, "0"))
    return int(units) if units.isdigit() else 0


def _make_available(offering: Sequence[Object], units: int | None) -> Verdict:
    count = f"{len(offering)} node" + ("" if len(offering) == 1 else "s")
    verb = "offers" if len(offering) == 1 else "offer"
    offer = "" if units is None else f" {verb} {units} unit" + ("" if units == 1 else "s")
    return Verdict("True", ClassReason.AVAILABLE, count + offer)
