"""Compile a model for the target that was asked for, and watch what it then runs on."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, Final

from vinoserve_api.conditions import FailureReason
from vinoserve_api.contract import RuntimeConfig
from vinoserve_api.device import Target, matches_execution, parse_target
from vinoserve_api.v1alpha1 import EffectiveProperty
from vinoserve_runtime.engine.affinity import assign_affinity
from vinoserve_runtime.engine.configuration import Configuration, make_configuration
from vinoserve_runtime.engine.devices import explain_missing, gather_devices, is_available
from vinoserve_runtime.engine.effective import read_device_names, read_effective, read_execution_devices
from vinoserve_runtime.engine.ports import check_ports, make_tensor_infos
from vinoserve_runtime.engine.preflight import explain_unsupported
from vinoserve_runtime.errors import StartupError
from vinoserve_runtime.model.prepare import PreparedModel
from vinoserve_runtime.ov_errors import explain, make_startup_error
from vinoserve_runtime.tensors import TensorInfo

_CACHE_TROUBLE: Final = (
    "cache",
    "No space left",
    "Couldn't create directory",
    "filesystem error",
    "ios_base",
)


@dataclass(frozen=True)
class DevicePlan:
    """What to compile for: the requested target less the devices that are not here, where `onFallback` lets that be."""

    requested: Target
    target: Target
    configuration: Configuration
    missing: str | None = None
    """Why a device of the request is not in the target."""


@dataclass(frozen=True)
class DeviceState:
    """What runs the model now."""

    execution_devices: tuple[str, ...]
    device_names: tuple[str, ...]
    on_requested_device: bool
    effective: tuple[EffectiveProperty, ...]

    @property
    def is_standing_in(self) -> bool:
        """AUTO runs on another device while it compiles for the one that it chose."""
        return any(name.startswith("(") for name in self.execution_devices)


@dataclass
class CompiledModel:
    core: Any
    compiled: Any
    plan: DevicePlan
    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]
    infer_requests: int
    cache_hit: bool | None
    warnings: tuple[str, ...]
    model: Any = None
    """The graph, as long as AUTO may turn to another device and be asked why; its weights take memory."""

    @property
    def on_cpu(self) -> bool:
        """Whether the CPU alone, and for good, runs it."""
        return str(self.plan.target) == "CPU"

    def observe(self) -> DeviceState:
        """Ask OpenVINO anew: AUTO changes devices while it serves."""
        devices = read_execution_devices(self.compiled)
        state = DeviceState(
            execution_devices=devices,
            device_names=read_device_names(self.core, devices),
            on_requested_device=matches_execution(self.plan.requested, devices),
            effective=read_effective(self.compiled, self.plan.configuration.requested),
        )
        if state.on_requested_device and not state.is_standing_in:
            self.model = None
        return state

    def explain_fallback(self, state: DeviceState) -> StartupError:
        """FellBackToCPU: what runs it instead and, where operators are the cause, which."""
        running = ", ".join(state.execution_devices) or "nothing"
        cause = (
            None
            if self.model is None
            else explain_unsupported(self.core, self.model, self.plan.target.devices)
        )
        why = "; ".join(str(reason) for reason in (self.plan.missing, cause) if reason)
        return StartupError(
            FailureReason.FELL_BACK_TO_CPU,
            f"asked for {self.plan.requested}, but it runs on {running}" + (f": {why}" if why else ""),
        )


def make_plan(core: Any, config: RuntimeConfig) -> DevicePlan:
    """Raises StartupError DeviceNotFound or PermissionDenied where the target can't be had.

    OpenVINO drops missing devices of AUTO and MULTI silently, or raises where their driver library is missing; both are
    decided here by `onFallback` before it gets to choose.
    """
    requested = target = parse_target(config.target_device)
    available = gather_devices(core)
    why: str | None = None
    missing = [device for device in target.devices if not is_available(device, available)]
    if missing:
        error = explain_missing(missing[0], available)
        present = tuple(device for device in target.devices if device not in missing)
        if target.mode not in ("AUTO", "MULTI") or not present or config.on_fallback == "Fail":
            raise error
        target, why = replace(target, devices=present), str(error)
    configuration = make_configuration(config, target, _hardware(target, available))
    return DevicePlan(requested, target, configuration, why)


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


def compile_model(
    core: Any, prepared: PreparedModel, config: RuntimeConfig, plan: DevicePlan, cache_dir: Path | None
) -> CompiledModel:
    """Blocks for as long as OpenVINO compiles. Raises StartupError."""
    model, target = prepared.model, str(plan.target)
    check_ports(model.inputs, prepared.input_names, "inputs")
    check_ports(model.outputs, prepared.output_names, "outputs")
    _check_static(prepared, plan.target)
    warnings: list[str] = []
    try:
        if config.operator_affinity:
            warnings += assign_affinity(core, model, target, config.operator_affinity)
        cache, problem = _use_cache(core, cache_dir)
        compiled, uncached = _compile(core, model, target, plan.configuration.properties, cache)
        warnings += [text for text in (problem, uncached) if text]
        return CompiledModel(
            core=core,
            model=model if plan.target.mode == "AUTO" else None,
            compiled=compiled,
            plan=plan,
            inputs=make_tensor_infos(compiled.inputs, prepared.input_names),
            outputs=make_tensor_infos(compiled.outputs, prepared.output_names),
            infer_requests=int(compiled.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS")),
            cache_hit=_read_cache_hit(compiled) if cache and not uncached else None,
            warnings=tuple(warnings),
        )
    except StartupError:
        raise
    except Exception as error:
        known = make_startup_error(error, FailureReason.COMPILE_FAILED, f"compiling for {target} failed")
        if plan.target.mode != "HETERO" and known.reason in (
            FailureReason.COMPILE_FAILED,
            FailureReason.UNSUPPORTED_OPERATOR,
        ):
            known = explain_unsupported(core, model, plan.target.devices) or known
        raise known from error


def _check_static(prepared: PreparedModel, target: Target) -> None:
    if not target.needs_static_shapes:
        return
    for index, (name, port) in enumerate(zip(prepared.input_names, prepared.model.inputs, strict=True)):
        shape = port.get_partial_shape()
        if shape.is_dynamic:
            raise StartupError(
                FailureReason.INVALID_SHAPE,
                f"spec.model.inputs[{index}].shape: {target} needs static shapes, and input {name!r} has {shape}; "
                "give it a shape without -1 and bounds, such as [1, 3, 224, 224]",
            )


def _use_cache(core: Any, cache_dir: Path | None) -> tuple[bool, str | None]:
    """Turn the compiled-model cache on where its folder can be written; else say why it stays off."""
    if cache_dir is None:
        return False, None
    try:
        cache_dir.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=cache_dir) as probe:
            probe.write(b"\0" * 4096)
    except OSError as error:
        return False, f"compiled without a cache: {cache_dir}: {error.strerror or error}"
    core.set_property({"CACHE_DIR": str(cache_dir)})
    return True, None


def _compile(
    core: Any, model: Any, target: str, properties: dict[str, Any], cache: bool
) -> tuple[Any, str | None]:
    """The compiled model, and a warning where only switching the cache off let it compile."""
    try:
        return core.compile_model(model, target, properties), None
    except RuntimeError as error:
        if not cache or not any(sign in str(error) for sign in _CACHE_TROUBLE):
            raise
        core.set_property({"CACHE_DIR": ""})
        compiled = core.compile_model(model, target, properties)
        return compiled, f"compiled without a cache: {explain(error)}"


def _read_cache_hit(compiled: Any) -> bool | None:
    with suppress(RuntimeError):
        return bool(compiled.get_property("LOADED_FROM_CACHE"))
    return None
