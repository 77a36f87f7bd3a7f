"""Whether a model's weights fit: what its constants take in the precision of each device, against what there is."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from vinoserve_api.conditions import FailureReason
from vinoserve_api.device import Device
from vinoserve_runtime.engine.plan import DevicePlan
from vinoserve_runtime.errors import StartupError

_TIGHT: Final = 0.8
"""The part of a device's memory above which weights leave too little for the rest."""

_TOTALS: Final = {"GPU": "GPU_DEVICE_TOTAL_MEM_SIZE", "NPU": "NPU_DEVICE_TOTAL_MEM_SIZE"}
_CGROUP: Final = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))
_MEMINFO: Final = Path("/proc/meminfo")


def check_memory(core: Any, variants: Sequence[Any], plan: DevicePlan) -> Iterator[str]:
    """Warnings. Raises StartupError OutOfDeviceMemory where the weights alone are more than an accelerator has.

    Every variant holds its weights for itself. HETERO spreads them over its devices, so only all together count.
    """
    target = plan.target
    needs = {device: _count_weights(variants, _is_half(plan, device)) for device in target.devices}
    totals = {device: read_memory(core, device) for device in target.devices}
    if target.mode == "HETERO":
        if all(totals.values()) and min(needs.values()) > sum(total or 0 for total in totals.values()):
            raise _make_error(str(target), min(needs.values()), sum(total or 0 for total in totals.values()))
        return
    for device in target.devices:
        total, need = totals[device], needs[device]
        if total is None or need <= _TIGHT * total:
            continue
        if device.kind != "CPU" and need > total and (target.mode != "AUTO" or len(target.devices) == 1):
            raise _make_error(str(device), need, total)
        yield (
            f"the weights take {show_bytes(need)} of {_whose(device)} {show_bytes(total)}"
            + ("" if need > total else ", which leaves little for the rest")
        )


def _make_error(device: str, need: int, total: int) -> StartupError:
    return StartupError(
        FailureReason.OUT_OF_DEVICE_MEMORY,
        f"the weights alone take {show_bytes(need)}, and {device} has {show_bytes(total)}: quantize the model (int8 takes a quarter of "
        "f32), or choose a larger device or fewer buckets",
    )


def _whose(device: Device) -> str:
    return "this container's" if device.kind == "CPU" else f"{device}'s"


def read_memory(core: Any, device: Device) -> int | None:
    """Bytes that `device` has in all; None where it doesn't say."""
    if device.kind == "CPU":
        return read_host_memory()
    with suppress(RuntimeError):
        return int(core.get_property(str(device), _TOTALS[device.kind])) or None
    return None


def read_host_memory(limits: Iterable[Path] = _CGROUP, meminfo: Path = _MEMINFO) -> int | None:
    """Bytes that this process may use: the container's limit, or what the machine has."""
    found = []
    for path in limits:
        with suppress(OSError, ValueError):  # no such version of cgroups; "max" is no number
            found.append(int(path.read_text()))
    with suppress(OSError, ValueError, StopIteration):
        line = next(line for line in meminfo.read_text().splitlines() if line.startswith("MemTotal:"))
        found.append(int(line.split()[1]) * 1024)
    return min(found, default=None)


def _is_half(plan: DevicePlan, device: Device) -> bool:
    """Whether floating point is kept in 16 bits: the accelerators' default."""
    if device.kind == "CPU":
        return False
    asked = {
        request.key: str(request.value)
        for request in plan.configuration.requested
        if request.device in (str(device), "BATCH")
    }
    return (
        asked.get("INFERENCE_PRECISION_HINT", "f16") != "f32"
        and asked.get("EXECUTION_MODE_HINT") != "ACCURACY"
    )


def _count_weights(variants: Sequence[Any], is_half: bool) -> int:
    """Bytes. A constant that two graphs share counts twice, because each is compiled for itself."""
    bits = 0
    for model in variants:
        for node in model.get_ordered_ops():
            if node.get_type_name() == "Constant":
                output = node.output(0)
                element_type = output.get_element_type()
                width = int(element_type.bitwidth)
                if is_half and width > 16 and element_type.is_real():
                    width = 16
                count = 1
                for size in output.get_shape():
                    count *= int(size)
                bits += count * width
    return bits // 8


def show_bytes(count: int) -> str:
    """As people say it: 1.5 GiB."""
    units = ("B", "KiB", "MiB", "GiB", "TiB")
    power = min(max(count.bit_length() - 1, 0) // 10, len(units) - 1)
    return f"{count / 1024**power:.{1 if power else 0}f} {units[power]}"
