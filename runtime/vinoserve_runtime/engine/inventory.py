"""All that OpenVINO tells of the devices here, and of those that it doesn't see, why."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from vinoserve_api.device import Device, Kind, parse_target
from vinoserve_runtime.engine.devices import explain_driver, explain_missing, gather_devices
from vinoserve_runtime.engine.effective import show_value
from vinoserve_runtime.engine.memory import read_memory
from vinoserve_runtime.engine.opencl import read_driver_versions
from vinoserve_runtime.ov import ov

_ACCELERATORS: Final[tuple[Kind, ...]] = ("GPU", "NPU")


@dataclass(frozen=True)
class DeviceFacts:
    """None, or empty, is what it doesn't say."""

    device: str
    """As `targetDevice` names it."""
    name: str
    type: str | None
    """INTEGRATED or DISCRETE."""
    architecture: str | None
    capabilities: tuple[str, ...]
    memory_bytes: int | None
    """Of the CPU: what this container may use."""
    driver: str | None
    pci: str | None
    """Domain, bus, device and function, as lspci writes them."""
    execution_units: int | None
    streams: tuple[int, int] | None
    """The fewest and the most that make sense."""


@dataclass(frozen=True)
class MissingDevice:
    device: str
    reason: str
    message: str


@dataclass(frozen=True)
class Inventory:
    openvino: str
    devices: tuple[DeviceFacts, ...]
    missing: tuple[MissingDevice, ...]


def gather_inventory() -> Inventory:
    """Loads every plugin of OpenVINO's."""
    core = ov.Core()
    available = gather_devices(core)
    kinds = {name.partition(".")[0] for name in available}
    return Inventory(
        openvino=str(ov.get_version()),
        devices=tuple(_read_facts(core, name) for name in available),
        missing=tuple(_explain(kind, available) for kind in _ACCELERATORS if kind not in kinds),
    )


def _read_facts(core: Any, name: str) -> DeviceFacts:
    def read(key: str, convert: Callable[[Any], Any]) -> Any:
        """None where the device doesn't know the property, or answers with an error."""
        with suppress(RuntimeError, TypeError):
            return convert(core.get_property(name, key))
        return None

    device = parse_target(name).devices[0]
    full_name = read("FULL_DEVICE_NAME", str) or name
    return DeviceFacts(
        device=name,
        name=full_name.strip(),
        type=None if device.kind == "CPU" else read("DEVICE_TYPE", show_value),
        architecture=read("DEVICE_ARCHITECTURE", str),
        capabilities=tuple(sorted(read("OPTIMIZATION_CAPABILITIES", list) or ())),
        memory_bytes=read_memory(core, device),
        driver=_find_driver(full_name) if device.kind == "GPU" else read("NPU_DRIVER_VERSION", str),
        pci=read("DEVICE_PCI_INFO", _show_pci),
        execution_units=read("GPU_EXECUTION_UNITS_COUNT", int),
        streams=read("RANGE_FOR_STREAMS", tuple),
    )


def _find_driver(full_name: str) -> str | None:
    """Several GPUs may have several drivers; OpenVINO's order isn't OpenCL's."""
    versions = {version for name, version in read_driver_versions() if full_name.startswith(name)}
    return ", ".join(sorted(versions)) or None


def _show_pci(pci: Any) -> str:
    return f"{pci.domain:04x}:{pci.bus:02x}:{pci.device:02x}.{pci.function:x}"


def _explain(kind: Kind, available: tuple[str, ...]) -> MissingDevice:
    error = explain_missing(Device(kind), available)
    message, driver = str(error), explain_driver(kind)
    if driver is not None and driver not in message:
        message += f"; besides, {driver}"
    return MissingDevice(device=kind, reason=error.reason.value, message=message)
