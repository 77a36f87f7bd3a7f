"""Compile a model for the target that was asked for, and watch what it then runs on."""

import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from vinoserve_api.conditions import FailureReason
from vinoserve_api.contract import RuntimeConfig
from vinoserve_api.device import matches_execution
from vinoserve_api.v1alpha1 import EffectiveProperty
from vinoserve_runtime.engine.batch_plan import BatchPlan, make_batch_plan
from vinoserve_runtime.engine.bucketing import Bucketing, make_bucketing
from vinoserve_runtime.engine.cache import CacheUse, CompiledCache
from vinoserve_runtime.engine.cache_key import describe
from vinoserve_runtime.engine.effective import (
    read_device_names,
    read_effective,
    read_execution_devices,
    read_streams,
)
from vinoserve_runtime.engine.plan import DevicePlan
from vinoserve_runtime.engine.ports import make_tensor_infos
from vinoserve_runtime.engine.preflight import explain_unsupported
from vinoserve_runtime.engine.warm_shapes import Shapes, find_warm_shapes
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
class DeviceState:
    """What runs the model now."""

    execution_devices: tuple[str, ...]
    device_names: tuple[str, ...]
    on_requested_device: bool
    effective: tuple[EffectiveProperty, ...]
    streams: int | None = None
    infer_requests: int | None = None

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
    cache: CacheUse | None = None
    buckets: tuple[Any, ...] = ()
    """What was compiled for each bucket, the smallest first; `compiled` is the largest then."""
    bucketing: Bucketing | None = None
    batch_plan: BatchPlan | None = None
    """Where requests are put together in the server."""
    warm_shapes: tuple[Shapes, ...] = ()
    """Of a dynamic model without buckets: small shapes of its inputs that it accepts."""
    model: Any = None
    """The graph, as long as AUTO may turn to another device and be asked why; its weights take memory."""

    @property
    def on_cpu(self) -> bool:
        """Whether the CPU alone, and for good, runs it."""
        return str(self.plan.target) == "CPU"

    @property
    def variants(self) -> tuple[Any, ...]:
        """All that was compiled, at least one."""
        return self.buckets or (self.compiled,)

    @property
    def cache_hit(self) -> bool | None:
        """Whether OpenVINO loaded it as it was compiled before; None where there is no cache, or it doesn't tell."""
        if self.cache is None or self.cache.folder is None:
            return None
        with suppress(RuntimeError):
            return all(bool(one.get_property("LOADED_FROM_CACHE")) for one in self.variants)
        return None

    @property
    def cache_warnings(self) -> tuple[str, ...]:
        return () if self.cache is None else tuple(self.cache.warnings)

    @property
    def is_kept(self) -> bool:
        """Whether the next start finds it in the cache."""
        return self.cache_hit is True or (self.cache is not None and self.cache.is_kept)

    def keep(self) -> None:
        """Put into the cache what OpenVINO has compiled by now: not before AUTO has settled on its device."""
        if self.cache is not None and not is_standing_in(
            _find_devices(map(read_execution_devices, self.variants))
        ):
            self.cache.note_outcome(hit=self.cache_hit)
            self.cache.keep()

    def close(self) -> None:
        """When nothing is inferred any more."""
        if self.cache is not None:
            self.cache.close()

    def observe(self) -> DeviceState:
        """Ask OpenVINO anew: AUTO changes devices while it serves."""
        running = [read_execution_devices(one) for one in self.variants]
        devices = _find_devices(running)
        state = DeviceState(
            execution_devices=devices,
            device_names=read_device_names(self.core, devices),
            on_requested_device=all(matches_execution(self.plan.requested, one) for one in running),
            effective=read_effective(self.compiled, self.plan.configuration.requested),
            streams=read_streams(self.compiled),
            infer_requests=self.infer_requests,
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


def _find_devices(running: Iterable[tuple[str, ...]]) -> tuple[str, ...]:
    """Each device once, in order."""
    return tuple(dict.fromkeys(device for one in running for device in one))


def is_standing_in(execution_devices: Sequence[str]) -> bool:
    return any(name.startswith("(") for name in execution_devices)


def compile_model(
    core: Any, prepared: PreparedModel, config: RuntimeConfig, plan: DevicePlan, cache: CompiledCache | None
) -> CompiledModel:
    """Blocks for as long as OpenVINO compiles. Raises StartupError."""
    model, target = prepared.variants[-1], str(plan.target)
    try:
        bucketing = make_bucketing(prepared) if prepared.buckets else None
        batch_plan = make_batch_plan(prepared, bucketing, config.batching, plan.target)
        use = None
        if cache is not None:
            use = cache.open(describe(core, config, plan.target, plan.configuration, cache.content_digest))
        all_compiled = [
            _compile(core, variant, target, plan.configuration.properties, use)
            for variant in prepared.variants
        ]
        compiled = all_compiled[-1]
        found = CompiledModel(
            core=core,
            model=model if plan.target.mode == "AUTO" else None,
            compiled=compiled,
            plan=plan,
            inputs=bucketing.inputs
            if bucketing
            else make_tensor_infos(compiled.inputs, prepared.input_names),
            outputs=bucketing.outputs
            if bucketing
            else make_tensor_infos(compiled.outputs, prepared.output_names),
            infer_requests=int(compiled.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS")),
            cache=use,
            buckets=tuple(all_compiled) if bucketing else (),
            bucketing=bucketing,
            batch_plan=batch_plan,
            warm_shapes=() if bucketing else find_warm_shapes(model),
        )
        found.keep()
    except StartupError:
        raise
    except Exception as error:
        known = make_startup_error(error, FailureReason.COMPILE_FAILED, f"compiling for {target} failed")
        if known.reason == FailureReason.INVALID_PROPERTY:
            known = _name_unchecked(known, config)
        # Of other failures operators are no cause, and what the GPU plugin answers after one isn't to be relied on (measured).
        if plan.target.mode != "HETERO" and known.reason == FailureReason.UNSUPPORTED_OPERATOR:
            known = explain_unsupported(core, model, plan.target.devices) or known
        raise known from error
    return found


def _name_unchecked(error: StartupError, config: RuntimeConfig) -> StartupError:
    """With the fields that its message may be about: nothing else has looked at these keys."""
    fields = [
        f"spec.uncheckedProperties.{block}.{key}"
        for block, given in config.unchecked_properties.items()
        for key in given
        if re.search(rf"\b{re.escape(key)}\b", str(error))
    ]
    return StartupError(error.reason, f"{' or '.join(fields)}: {error}") if fields else error


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
