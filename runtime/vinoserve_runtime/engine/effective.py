"""What a compiled model really runs on, and with which properties: OpenVINO's answers, never the request."""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from enum import Enum
from typing import Any, Final

from vinoserve_api.v1alpha1 import EffectiveProperty
from vinoserve_runtime.engine.configuration import Requested
from vinoserve_runtime.ov import ov

#: Requests that leave the choice to OpenVINO: whatever it takes is no difference.
_LEFT_OPEN: Final = frozenset({"AUTO", "NUMA", "DEFAULT", "DYNAMIC", "-1"})
_BOOLEANS: Final = {
    "YES": "true",
    "TRUE": "true",
    "ON": "true",
    "NO": "false",
    "FALSE": "false",
    "OFF": "false",
}


def read_execution_devices(compiled: Any) -> tuple[str, ...]:
    """EXECUTION_DEVICES, verbatim; a name in brackets stands in for the device that AUTO still compiles for."""
    return tuple(str(name) for name in compiled.get_property("EXECUTION_DEVICES"))


def read_device_names(core: Any, execution_devices: Iterable[str]) -> tuple[str, ...]:
    """FULL_DEVICE_NAME of each execution device; its plain name where OpenVINO doesn't say."""
    return tuple(_read_device_name(core, device.strip("()")) for device in execution_devices)


def _read_device_name(core: Any, device: str) -> str:
    with suppress(RuntimeError):
        return str(core.get_property(device, "FULL_DEVICE_NAME")).strip()
    return device


def read_effective(compiled: Any, requested: Iterable[Requested]) -> tuple[EffectiveProperty, ...]:
    """The properties where OpenVINO took something else than was asked for; what it doesn't tell is left out."""
    by_device = _read_device_properties(compiled)
    differences = []
    for request in requested:
        taken = _read_taken(compiled, by_device, request)
        if taken is None:
            continue
        asked, effective = show_value(request.value), show_value(taken)
        if not _is_same(asked, effective):
            differences.append(
                EffectiveProperty(
                    device=request.device, property=request.key, requested=asked, effective=effective
                )
            )
    return tuple(differences)


def read_streams(compiled: Any) -> int | None:
    """NUM_STREAMS as OpenVINO took it, over all devices; None where it doesn't say."""
    with suppress(RuntimeError):
        return int(compiled.get_property("NUM_STREAMS"))
    found = [values.get("NUM_STREAMS") for values in _read_device_properties(compiled).values()]
    streams = [int(value) for value in found if value is not None and str(value).isdigit()]
    return sum(streams) if streams else None


def _read_device_properties(compiled: Any) -> dict[str, Mapping[str, Any]]:
    """What AUTO, MULTI, HETERO and BATCH say of the devices below them, by device."""
    with suppress(RuntimeError):
        found = compiled.get_property("DEVICE_PROPERTIES")
        if isinstance(found, dict):
            return {_canonical(name): values for name, values in found.items() if isinstance(values, dict)}
    return {}


def _read_taken(compiled: Any, by_device: Mapping[str, Mapping[str, Any]], request: Requested) -> Any:
    if by_device and request.device[:3] in ("CPU", "GPU", "NPU"):
        return by_device.get(_canonical(request.device), {}).get(request.key)
    with suppress(RuntimeError):
        return compiled.get_property(request.key)
    return None


def _canonical(device: str) -> str:
    return "GPU.0" if device == "GPU" else device


def show_value(value: Any) -> str:
    """A property's value as a user would write it."""
    if isinstance(value, ov.Type):
        return str(value.get_type_name())
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Enum) or (hasattr(value, "name") and not isinstance(value, str | int | float)):
        return _ENUM_NAMES.get(str(value), value.name)
    if isinstance(value, set | frozenset | list | tuple):
        return ",".join(sorted(show_value(item) for item in value))
    return str(value)


_ENUM_NAMES: Final = {
    f"Level.{name}": f"LOG_{shown}"
    for name, shown in (
        ("NO", "NONE"),
        ("ERR", "ERROR"),
        ("WARNING", "WARNING"),
        ("INFO", "INFO"),
        ("DEBUG", "DEBUG"),
        ("TRACE", "TRACE"),
    )
}


def _is_same(asked: str, effective: str) -> bool:
    if asked.upper() in _LEFT_OPEN or asked.upper() == effective.upper():
        return True
    with suppress(ValueError):
        return float(asked) == float(effective)
    return _BOOLEANS.get(asked.upper(), asked) == _BOOLEANS.get(effective.upper(), effective)
