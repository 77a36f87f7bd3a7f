"""Which devices OpenVINO sees here and, where one is missing, why: no node, no permission, or no driver."""

import ctypes
import errno
import os
import stat
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from vinoserve_api.conditions import FailureReason
from vinoserve_api.device import Device, Kind
from vinoserve_runtime.errors import StartupError

_DEV: Final = Path("/dev")
_NODES: Final[dict[Kind, str]] = {"GPU": "dri/renderD*", "NPU": "accel/accel*"}
_GONE: Final = (errno.ENOENT, errno.ENODEV, errno.ENXIO)
_DRIVERS: Final[dict[Kind, str]] = {"GPU": "OpenCL driver", "NPU": "Level Zero driver"}
_LIBRARIES: Final[dict[Kind, tuple[tuple[str, str], ...]]] = {
    "GPU": (("libOpenCL.so.1", "ocl-icd-libopencl1"),),
    "NPU": (("libze_loader.so.1", "libze1"), ("libze_intel_npu.so.1", "intel-level-zero-npu")),
}
"""What must be loaded, and Debian's or Intel's package that has it."""
_KERNEL_DRIVERS: Final[dict[Kind, str]] = {"GPU": "i915 or xe", "NPU": "intel_vpu"}
_ICDS: Final = Path("/etc/OpenCL/vendors")
_ICD_VARIABLES: Final = ("OCL_ICD_FILENAMES", "OCL_ICD_VENDORS")


def gather_devices(core: Any) -> tuple[str, ...]:
    """OpenVINO's names of the devices it sees: `CPU`, `GPU` or `GPU.0`, `GPU.1`, `NPU`."""
    return tuple(core.available_devices)


def is_available(device: Device, available: Iterable[str]) -> bool:
    """Whether OpenVINO sees `device`; it says `GPU` where there is one GPU, and `GPU.0` where there are several.

    A tile is taken for seen where its GPU is: OpenVINO doesn't list tiles.
    """
    names = set(available)
    if device.kind != "GPU":
        return any(name.partition(".")[0] == device.kind for name in names)
    return f"GPU.{device.index or 0}" in names or (not device.index and "GPU" in names)


def explain_missing(device: Device, available: Iterable[str], dev: Path = _DEV) -> StartupError:
    """Why OpenVINO doesn't see `device`, as the error that it is. Looks at the device nodes below `dev`."""
    seen = ", ".join(available) or "no device"
    if device.tile is not None and is_available(device, available):
        gpu = replace(device, tile=None)
        return StartupError(
            FailureReason.DEVICE_NOT_FOUND,
            f"{device} is not here: {gpu} has no tile {device.tile}; write {gpu} for the whole of it",
        )
    if device.kind == "CPU":
        return StartupError(
            FailureReason.DEVICE_NOT_FOUND, f"OpenVINO's CPU plugin can't be loaded; it sees {seen}"
        )
    wsl = dev / "dxg"
    nodes = sorted(dev.glob(_NODES[device.kind])) + ([wsl] if device.kind == "GPU" and wsl.exists() else [])
    pattern = dev / _NODES[device.kind]
    if not nodes:
        return StartupError(
            FailureReason.DEVICE_NOT_FOUND,
            f"{device} is not here: no device node {pattern} in this container (a pod gets one by spec.accelerators, "
            f"a machine by its kernel driver {_KERNEL_DRIVERS[device.kind]}); OpenVINO sees {seen}",
        )
    refused = [node for node in nodes if not os.access(node, os.R_OK | os.W_OK)]
    if refused and len(refused) == len(nodes):
        return StartupError(FailureReason.PERMISSION_DENIED, _explain_permission(device, refused))
    kind_seen = [name for name in available if name.partition(".")[0] == device.kind]
    if kind_seen:
        return StartupError(
            FailureReason.DEVICE_NOT_FOUND,
            f"{device} is not here: OpenVINO sees {seen} ({len(nodes)} node(s) {pattern})",
        )
    names = ", ".join(node.name for node in nodes)
    why = (
        explain_driver(device.kind)
        or f"the {_DRIVERS[device.kind]} doesn't know this device; a newer one may"
    )
    return StartupError(
        FailureReason.DEVICE_NOT_FOUND,
        f"{names} can be opened, but OpenVINO sees no {device.kind}: {why}; OpenVINO sees {seen}",
    )


def explain_driver(kind: Kind) -> str | None:
    """What of the driver's libraries is missing here, and which package has it; None where all are there."""
    for library, package in _LIBRARIES.get(kind, ()):
        try:
            ctypes.CDLL(library)
        except OSError:
            return f"the {_DRIVERS[kind]} is missing from this image: {library} can't be loaded (package {package})"
    has_icd = any(_ICDS.glob("*.icd")) or any(os.environ.get(name) for name in _ICD_VARIABLES)
    if kind == "GPU" and not has_icd:
        return f"the OpenCL driver is missing from this image: {_ICDS} names none (package intel-opencl-icd)"
    return None


class DeviceNodes:
    """The device nodes that could be opened at the start: one that can't be any more is a device that was unplugged.

    OpenVINO lists its devices once, when the plugin is loaded, and never notices.
    """

    def __init__(self, kinds: Iterable[Kind], dev: Path = _DEV) -> None:
        nodes = [node for kind in kinds if kind in _NODES for node in dev.glob(_NODES[kind])]
        self._nodes = [node for node in nodes if _opens(node) is None]

    def find_lost(self) -> str | None:
        """What became of the first that is gone."""
        for node in self._nodes:
            error = _opens(node)
            if error is not None and error.errno in _GONE:
                return f"{node} can't be opened any more: {error.strerror}"
        return None


def _opens(node: Path) -> OSError | None:
    try:
        os.close(os.open(node, os.O_RDWR | os.O_CLOEXEC))
    except OSError as error:
        return error
    return None


def _explain_permission(device: Device, nodes: list[Path]) -> str:
    gids = sorted({node.stat().st_gid for node in nodes})
    mode = stat.filemode(nodes[0].stat().st_mode)
    own = ", ".join(str(gid) for gid in sorted({os.getgid(), *os.getgroups()}))
    wanted = " or ".join(str(gid) for gid in gids)
    return (
        f"no permission to open {', '.join(str(n) for n in nodes)} ({mode}) for {device}: it belongs to group {wanted}, this process "
        f"has uid {os.getuid()} and groups {own}; put {wanted} into renderGroups of the AcceleratorClass, or label the node "
        f"vinoserve.dev/render-gid={gids[0]}"
    )
