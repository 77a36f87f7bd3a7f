"""Compile a model for the target that was asked for, and watch what it then runs on."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Final

from vinoserve_api.conditions import FailureReason
from vinoserve_api.contract import RuntimeConfig
from vinoserve_api.device import Target, matches_execution, parse_target
from vinoserve_api.v1alpha1 import EffectiveProperty
from vinoserve_runtime.engine.affinity import assign_affinity
from vinoserve_runtime.engine.cache import CacheUse, CompiledCache
from vinoserve_runtime.engine.cache_key import describe
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
        return is_standing_in(self.execution_devices)


@dataclass
class CompiledModel:
    core: Any
    compiled: Any
    plan: DevicePlan
    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]
    infer_requests: int
    warnings: tuple[str, ...]
    cache: CacheUse | None = None
    model: Any = None
    """The graph, as long as AUTO may turn to another device and be asked why; its weights take memory."""

    @property
    def on_cpu(self) -> bool:
        """Whether the CPU alone, and for good, runs it."""
        return str(self.plan.target) == "CPU"

    @property
    def cache_hit(self) -> bool | None:
        """Whether OpenVINO loaded it as it was compiled before; None where there is no cache, or it doesn't tell."""
        if self.cache is None or self.cache.folder is None:
            return None
        with suppress(RuntimeError):
            return bool(self.compiled.get_property("LOADED_FROM_CACHE"))
        return None

    @property
    def cache_warnings(self) -> tuple[str, ...]:
        return () if self.cache is None else tuple(self.cache.warnings)

    def keep(self) -> None:
        """Put into the cache what OpenVINO has compiled by now: not before AUTO has settled on its device."""
        if self.cache is not None and not is_standing_in(read_execution_devices(self.compiled)):
            self.cache.note_outcome(hit=self.cache_hit)
            self.cache.keep()

    def close(self) -> None:
        """When nothing is inferred any more."""
        if self.cache is not None:
            self.cache.close()

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


def is_standing_in(execution_devices: Sequence[str]) -> bool:
    return any(name.startswith("(") for name in execution_devices)


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
    core: Any, prepared: PreparedModel, config: RuntimeConfig, plan: DevicePlan, cache: CompiledCache | None
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
        use = None
        if cache is not None:
            use = cache.open(describe(core, config, plan.target, plan.configuration, cache.content_digest))
        compiled = _compile(core, model, target, plan.configuration.properties, use)
        found = CompiledModel(
            core=core,
            model=model if plan.target.mode == "AUTO" else None,
            compiled=compiled,
            plan=plan,
            inputs=make_tensor_infos(compiled.inputs, prepared.input_names),
            outputs=make_tensor_infos(compiled.outputs, prepared.output_names),
            infer_requests=int(compiled.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS")),
            warnings=tuple(warnings),
            cache=use,
        )
        found.keep()
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
    return found


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


def _compile(core: Any, model: Any, target: str, properties: dict[str, Any], cache: CacheUse | None) -> Any:
    """Once more without the cache, where that may be the trouble."""
    if cache is None or cache.folder is None:
        return core.compile_model(model, target, properties)
    core.set_property({"CACHE_DIR": str(cache.folder)})
    try:
        return core.compile_model(model, target, properties)
    except RuntimeError as error:
        try:
            if not cache.has_blobs and not any(sign in str(error) for sign in _CACHE_TROUBLE):
                raise
            core.set_property({"CACHE_DIR": ""})
            compiled = core.compile_model(model, target, properties)
        except RuntimeError:
            cache.close()
            raise
        cache.discard(explain(error))
        return compiled
