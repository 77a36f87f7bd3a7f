"""What a compiled model is good for: everything that, where it differs, makes another one."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from vinoserve_api.contract import RuntimeConfig
from vinoserve_api.device import Target
from vinoserve_runtime.engine.configuration import Configuration
from vinoserve_runtime.engine.effective import show_value
from vinoserve_runtime.engine.opencl import read_driver_versions
from vinoserve_runtime.ov import ov

_IDENTITY: Final = (
    "FULL_DEVICE_NAME",
    "DEVICE_ARCHITECTURE",
    "OPTIMIZATION_CAPABILITIES",
    "GPU_UARCH_VERSION",
    "GPU_EXECUTION_UNITS_COUNT",
    "NPU_DRIVER_VERSION",
    "NPU_COMPILER_VERSION",
)
"""Of the silicon and its driver, not of the piece: two cards of one kind share what is compiled."""

_ISA: Final = ("sse4", "avx", "amx", "fma", "f16c")


def describe(
    core: Any, config: RuntimeConfig, target: Target, configuration: Configuration, content_digest: str
) -> dict[str, Any]:
    """The identity of a compiled model, as JSON that a person can read."""
    names = [str(device) for device in target.devices] or [
        name for name in core.available_devices if name.partition(".")[0] in target.candidate_kinds
    ]
    graph = config.model_dump(
        mode="json", by_alias=True, include={"inputs", "outputs", "operator_affinity", "batching"}
    )
    return {
        "openvino": str(ov.get_version()),
        "model": content_digest,
        **graph,
        "target": str(target),
        "properties": _show({**configuration.core, **configuration.properties}),
        "devices": {name: _identify(core, name) for name in sorted(names)},
    }


def make_key(about: Mapping[str, Any]) -> str:
    """32 hexadecimal digits."""
    return hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()[:32]


def _identify(core: Any, device: str) -> dict[str, str]:
    identity = {}
    for key in _IDENTITY:
        with suppress(RuntimeError):
            identity[key] = show_value(core.get_property(device, key))
    if device.startswith("GPU"):
        identity["driver"] = "; ".join(sorted({" ".join(gpu) for gpu in read_driver_versions()}))
    if device == "CPU":
        identity["isa"] = " ".join(read_isa(_read_cpu_flags()))
    return identity


def read_isa(flags: Iterable[str]) -> list[str]:
    """Of a CPU's flags those that OpenVINO compiles for, sorted."""
    return sorted(flag for flag in flags if flag.startswith(_ISA))


def _read_cpu_flags() -> list[str]:
    with suppress(OSError), Path("/proc/cpuinfo").open() as lines:
        return next((line.partition(":")[2].split() for line in lines if line.startswith("flags")), [])
    return []


def _show(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _show(one) for key, one in value.items()}
    return show_value(value)
