"""What to compile for: the target that was asked for, the devices of it that are here, and what each is told."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from vinoserve_api.conditions import FailureReason
from vinoserve_api.contract import RuntimeConfig
from vinoserve_api.device import Device, Target, parse_target
from vinoserve_runtime.engine.configuration import Configuration, make_configuration
from vinoserve_runtime.engine.devices import explain_missing, gather_devices, is_available
from vinoserve_runtime.errors import StartupError
from vinoserve_runtime.ov_errors import make_startup_error


@dataclass(frozen=True)
class DevicePlan:
    """What to compile for: the requested target less the devices that are not here, where `onFallback` lets that be."""

    requested: Target
    target: Target
    configuration: Configuration
    missing: str | None = None
    """Why a device of the request is not in the target."""


def make_plan(core: Any, config: RuntimeConfig) -> DevicePlan:
    """Raises StartupError DeviceNotFound or PermissionDenied where the target can't be had.

    OpenVINO drops missing devices of AUTO and MULTI silently, or raises where their driver library is missing; both are
    decided here by `onFallback` before it gets to choose.
    """
    requested = target = _read_target(config)
    only_cpu = target.devices and all(device.kind == "CPU" for device in target.devices)
    # To ask loads every plugin: 0.1 s where there is a GPU's driver.
    available = ("CPU",) if only_cpu else gather_devices(core)
    why: str | None = None
    missing = [
        device
        for device in target.devices
        if not is_available(device, available) or not _has_tile(core, device)
    ]
    if missing:
        error = explain_missing(missing[0], available)
        present = tuple(device for device in target.devices if device not in missing)
        if target.mode not in ("AUTO", "MULTI") or not present or config.on_fallback == "Fail":
            raise error
        target, why = replace(target, devices=present), str(error)
    hardware = _hardware(target, available)
    if not hardware:
        raise StartupError(
            FailureReason.DEVICE_NOT_FOUND,
            f"{target} leaves no device that is here: OpenVINO sees {', '.join(available) or 'no device'}",
        )
    configuration = make_configuration(config, target, hardware)
    return DevicePlan(requested, target, configuration, why)


def _read_target(config: RuntimeConfig) -> Target:
    """With BATCH of the size that `batching` says."""
    target, batching = parse_target(config.target_device), config.batching
    if target.mode != "BATCH" or batching is None or batching.max_batch_size is None:
        return target
    return replace(target, batch=batching.max_batch_size)


def _has_tile(core: Any, device: Device) -> bool:
    """OpenVINO doesn't list tiles, but knows the names of those that there are; True for what is no tile."""
    if device.tile is None:
        return True
    try:
        core.get_property(str(device), "FULL_DEVICE_NAME")
    except RuntimeError:
        return False
    return True


def _hardware(target: Target, available: Sequence[str]) -> list[str]:
    """The devices that get properties of their own, as OpenVINO shall be told them."""
    if target.devices:
        return [str(device) for device in target.devices]
    return [name for name in available if name.partition(".")[0] in target.candidate_kinds]


def prepare_core(core: Any, plan: DevicePlan) -> None:
    """Set what must be set before the model is read. Raises StartupError InvalidProperty."""
    for device, properties in plan.configuration.core.items():
        try:
            core.set_property(device, properties)
        except RuntimeError as error:
            raise make_startup_error(
                error, FailureReason.INVALID_PROPERTY, f"{device} refuses {', '.join(properties)}"
            ) from error
