"""What DRA drivers publish of a DeviceClass: ResourceSlices as a class' offer, and why a selector can't match.

CEL isn't evaluated here: the scheduler does that. So all devices of the DeviceClass' drivers count, and the two facts that
Intel's driver doesn't know without privileges (memory, health) are looked for in selectors by their text.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from vinoserve_api.quantity import quantity_value
from vinoserve_api.v1alpha1 import AcceleratorClass

Object = Mapping[str, Any]

_DRIVER: Final = re.compile(r"""device\.driver\s*==\s*['"]([^'"]+)['"]""")
_WANTS_MEMORY: Final = re.compile(r"\bmemory\s*\.\s*(isGreaterThan\(|compareTo\([^)]*\)+\s*>)")
_WANTS_HEALTH: Final = re.compile(r"""\bhealth\s*==\s*['"](?!Unknown)""")
_IMPLICIT: Final = "deviceclass.resource.kubernetes.io/"
_REPELLING: Final = ("NoSchedule", "NoExecute")


@dataclass(frozen=True)
class Published:
    """Of the whole cluster: DeviceClasses and ResourceSlices; `problem` says why they can't be had."""

    classes: Sequence[Object] = ()
    slices: Sequence[Object] = ()
    problem: str = ""


@dataclass(frozen=True)
class Device:
    node: str
    name: str
    memory: int | None
    """Bytes."""
    health: str
    taint: str | None
    """One that keeps pods away."""


def find_device_class(accelerator: AcceleratorClass, published: Published) -> Object | None:
    """The DeviceClass that the AcceleratorClass names, be it by the extended resource that stands for it."""
    dra, plugin = accelerator.spec.dra, accelerator.spec.device_plugin
    for found in published.classes:
        name = found["metadata"]["name"]
        extended = (found.get("spec") or {}).get("extendedResourceName")
        if dra and name == dra.device_class_name:
            return found
        if plugin and plugin.resource_name in (extended, _IMPLICIT + name):
            return found
    return None


def find_drivers(device_class: Object) -> frozenset[str]:
    """Drivers that the DeviceClass names in its selectors; empty where it goes by something else."""
    selectors = (device_class.get("spec") or {}).get("selectors") or ()
    texts = [str((selector.get("cel") or {}).get("expression", "")) for selector in selectors]
    return frozenset(driver for text in texts for driver in _DRIVER.findall(text))


def list_devices(drivers: Iterable[str], slices: Iterable[Object], nodes: frozenset[str]) -> list[Device]:
    """Devices of the drivers on the nodes; of a pool that is being published anew, the newest generation alone."""
    wanted = frozenset(drivers)
    ours = [one["spec"] for one in slices if one["spec"].get("driver") in wanted]
    newest: dict[tuple[str, str], int] = {}
    for spec in ours:
        key, generation = _pool(spec)
        newest[key] = max(generation, newest.get(key, 0))
    return [
        _read_device(device, spec.get("nodeName") or "")
        for spec in ours
        if (spec.get("nodeName") or "") in nodes and _pool(spec)[1] == newest[_pool(spec)[0]]
        for device in spec.get("devices") or ()
    ]


def explain_selectors(selectors: Iterable[str], devices: Sequence[Device]) -> Iterator[str]:
    """Why selectors can't match any of the devices, which are some."""
    for index, selector in enumerate(selectors):
        if "||" in selector:
            continue
        field = f"spec.dra.selectors[{index}]"
        if _WANTS_MEMORY.search(selector) and not any(device.memory for device in devices):
            yield (
                f"{field} asks for memory, and the driver says memory 0 of all {len(devices)} devices: no device can "
                "match. Intel's driver tells it only where it may ask the GPUs (its privileged mode, or health "
                "monitoring), and never of integrated ones; select by family, model or pciId instead"
            )
        if _WANTS_HEALTH.search(selector) and all(d.health in ("", "Unknown") for d in devices):
            yield (
                f"{field} asks for a health, and the driver says Unknown of all {len(devices)} devices: no device can "
                "match. Turn on its health monitoring, or take the selector out: sick devices are tainted anyway"
            )


def _pool(spec: Object) -> tuple[tuple[str, str], int]:
    pool = spec.get("pool") or {}
    return (spec["driver"], str(pool.get("name"))), int(pool.get("generation") or 0)


def _read_device(device: Object, node: str) -> Device:
    attributes, capacity = device.get("attributes") or {}, device.get("capacity") or {}
    health = _find(attributes, "health").get("string") or ""
    value = _find(capacity, "memory").get("value")
    taint = next((t for t in device.get("taints") or () if t.get("effect") in _REPELLING), None)
    return Device(
        node=node,
        name=device["name"],
        memory=int(quantity_value(value)) if value is not None else None,
        health=str(health),
        taint=f"{taint['key']} {taint['effect']}" if taint else None,
    )


def _find(facts: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """By its own name, or with a domain before it."""
    found = next((fact for key, fact in facts.items() if key.rpartition("/")[2] == name), None)
    return found or {}
