"""From hints and property blocks to what OpenVINO's compile_model takes, for every kind of target (pure).

Measured with OpenVINO 2026.4.1: AUTO, MULTI and HETERO hand to their devices only what DEVICE_PROPERTIES says by device,
and a few hints; BATCH hands everything on, and refuses DEVICE_PROPERTIES; keys that a device doesn't know are errors on CPU,
GPU and BATCH, and are silently lost elsewhere.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from vinoserve_api.contract import RuntimeConfig
from vinoserve_api.device import Target
from vinoserve_api.properties import lookup, to_openvino
from vinoserve_api.v1alpha1 import Hints

_HINT_KEYS: Final = {
    "performance_mode": "PERFORMANCE_HINT",
    "num_streams": "NUM_STREAMS",
    "num_requests": "PERFORMANCE_HINT_NUM_REQUESTS",
    "execution_mode": "EXECUTION_MODE_HINT",
    "inference_precision": "INFERENCE_PRECISION_HINT",
    "model_priority": "MODEL_PRIORITY",
}

_DEFAULTS: Final[dict[str, dict[str, Any]]] = {"CPU": {"ENABLE_CPU_PINNING": False}}
"""Where OpenVINO's own are those of a program that has the machine to itself. Pinned threads of two pods meet on the same core
while others idle: each gets half of it (ADR 0033)."""


@dataclass(frozen=True)
class Requested:
    """One property as it was asked for, and the device or mode that it was asked of."""

    device: str
    key: str
    value: Any


@dataclass(frozen=True)
class Configuration:
    """What goes where. `core` goes to the device before the model is read, `properties` to compile_model."""

    properties: dict[str, Any]
    core: dict[str, dict[str, Any]] = field(default_factory=dict)
    requested: tuple[Requested, ...] = ()


def make_configuration(config: RuntimeConfig, target: Target, devices: Sequence[str]) -> Configuration:
    """`devices`: the hardware devices that may run the model, as OpenVINO names them."""
    by_device = {name: _device_properties(config, name.partition(".")[0]) for name in devices}
    core = {name: _take(settings, name, before_read=True) for name, settings in by_device.items()}
    compiled = {name: _take(settings, name, before_read=False) for name, settings in by_device.items()}
    mode = {} if target.mode is None else _mode_properties(config, target.mode)
    if target.mode in (None, "BATCH"):
        properties = {key: value for settings in compiled.values() for key, value in settings.items()} | mode
    else:
        properties = dict(mode)
        if with_settings := {name: settings for name, settings in compiled.items() if settings}:
            properties["DEVICE_PROPERTIES"] = with_settings
            if target.mode == "MULTI" and config.hints.num_streams is None:
                # its own default, which DEVICE_PROPERTIES makes it forget
                properties.setdefault("PERFORMANCE_HINT", "THROUGHPUT")
    return Configuration(
        properties=properties,
        core={name: settings for name, settings in core.items() if settings},
        requested=tuple(
            Requested(device, key, value)
            for device, settings in [*compiled.items(), (target.mode or "", mode)]
            for key, value in settings.items()
        ),
    )


def _device_properties(config: RuntimeConfig, kind: str) -> dict[str, Any]:
    """What one hardware device is told: the hints that it knows, and its block, which goes before defaults."""
    hints = _hints(config.hints, kind)
    if hints.get("PERFORMANCE_HINT") == "CUMULATIVE_THROUGHPUT":
        hints["PERFORMANCE_HINT"] = (
            "THROUGHPUT"  # AUTO's word for all of its devices, each at full throughput
        )
    return _DEFAULTS.get(kind, {}) | hints | _block(config, kind)


def _mode_properties(config: RuntimeConfig, mode: str) -> dict[str, Any]:
    properties = _hints(config.hints, mode) | _block(config, "AUTO" if mode == "MULTI" else mode)
    if mode == "BATCH" and config.batching and config.batching.timeout_milliseconds is not None:
        properties["AUTO_BATCH_TIMEOUT"] = to_openvino(
            "AUTO_BATCH_TIMEOUT", config.batching.timeout_milliseconds
        )
    return properties


def _hints(hints: Hints, block: str) -> dict[str, Any]:
    return {
        key: to_openvino(key, value)
        for attribute, key in _HINT_KEYS.items()
        if (value := getattr(hints, attribute)) is not None and lookup(block, key) is not None
    }


def _block(config: RuntimeConfig, block: str) -> dict[str, Any]:
    known = {key: to_openvino(key, value) for key, value in config.properties.get(block, {}).items()}
    return known | config.unchecked_properties.get(block, {})


def _take(settings: dict[str, Any], device: str, *, before_read: bool) -> dict[str, Any]:
    def is_before_read(key: str) -> bool:
        spec = lookup(device.partition(".")[0], key)
        return spec is not None and spec.before_read

    return {key: value for key, value in settings.items() if is_before_read(key) == before_read}
