"""What can be said before anything is compiled: operators and shapes that a device doesn't take, memory that isn't there.

OpenVINO says all this too, but after it has compiled for minutes, and without the way out. `query_model` costs a third of a
second for a thousand operators (measured, GPU plugin).
"""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

from vinoserve_api.conditions import FailureReason
from vinoserve_api.contract import RuntimeConfig
from vinoserve_api.device import Device, Target
from vinoserve_api.v1alpha1 import Placement
from vinoserve_runtime.engine.affinity import DOUBTFUL, NOT_OPERATORS, place_operators
from vinoserve_runtime.engine.memory import check_memory
from vinoserve_runtime.engine.plan import DevicePlan
from vinoserve_runtime.engine.ports import check_ports
from vinoserve_runtime.errors import StartupError
from vinoserve_runtime.model.prepare import PreparedModel

_SHOWN: Final = 5


@dataclass(frozen=True)
class Preflight:
    """Nothing speaks against compiling."""

    warnings: tuple[str, ...] = ()
    placement: tuple[Placement, ...] = field(default=())
    """With HETERO: how many operators run where."""


def make_preflight(core: Any, prepared: PreparedModel, config: RuntimeConfig, plan: DevicePlan) -> Preflight:
    """Blocks while OpenVINO is asked. With HETERO and `operatorAffinity` it pins the operators of the graphs.

    Raises StartupError: ModelInvalid, InvalidShape, UnsupportedOperator, OutOfDeviceMemory.
    """
    model, target = prepared.variants[0], plan.target
    check_ports(model.inputs, prepared.input_names, "inputs")
    check_ports(model.outputs, prepared.output_names, "outputs")
    _check_static(prepared, target)
    warnings = list(_find_costly_shapes(prepared, target))
    warnings += check_memory(core, prepared.variants, plan)
    placement: tuple[Placement, ...] = ()
    if target.mode == "HETERO":
        for variant in prepared.variants:
            placement, found = place_operators(core, variant, target, config.operator_affinity)
            warnings += found
    elif config.on_fallback == "Fail" or target.mode in (None, "BATCH"):
        needed = target.devices if target.mode == "MULTI" else target.devices[:1]
        unsupported = explain_unsupported(core, model, needed)
        if unsupported is not None:
            raise unsupported
    return Preflight(tuple(dict.fromkeys(warnings)), placement)


def _check_static(prepared: PreparedModel, target: Target) -> None:
    if not target.needs_static_shapes:
        return
    for name, shape in _dynamic_inputs(prepared):
        raise StartupError(
            FailureReason.INVALID_SHAPE,
            f"spec.model.inputs: {target} needs static shapes, and input {name!r} has {shape}; give it a shape without -1 and "
            f"bounds, such as {{name: {name}, shape: [1, 3, 224, 224]}}",
        )


def _find_costly_shapes(prepared: PreparedModel, target: Target) -> Iterator[str]:
    if "GPU" not in target.kinds:
        return
    for name, shape in _dynamic_inputs(prepared):
        if any(dimension.get_max_length() < 0 for dimension in shape):
            yield (
                f"spec.model.inputs: input {name!r} has the shape {shape}: on a GPU each new size costs time, and one larger than "
                "any before new memory; bounds (1..64), buckets or numbers cost less"
            )


def _dynamic_inputs(prepared: PreparedModel) -> Iterator[tuple[str, Any]]:
    for variant in prepared.variants:
        for name, port in zip(prepared.input_names, variant.inputs, strict=True):
            shape = port.get_partial_shape()
            if shape.is_dynamic:
                yield name, shape


def find_unsupported(core: Any, model: Any, device: str) -> list[tuple[str, str]]:
    """(name, type) of each operator that `device` says it can't run; empty where it doesn't say."""
    with suppress(RuntimeError):
        supported = core.query_model(model, device, {})
        return [
            (node.get_friendly_name(), node.get_type_name())
            for node in model.get_ordered_ops()
            if node.get_type_name() not in NOT_OPERATORS | DOUBTFUL
            and node.get_friendly_name() not in supported
        ]
    return []


def explain_unsupported(core: Any, model: Any, devices: Iterable[Device]) -> StartupError | None:
    """UnsupportedOperator for the first of `devices` that can't run the whole model; None where all can.

    The CPU is not asked: there is no other device to send an operator to, and OpenVINO's own message says which it is.
    """
    for device in devices:
        if device.kind != "CPU" and (unsupported := find_unsupported(core, model, str(device))):
            return make_unsupported(device, unsupported)
    return None


def make_unsupported(device: Device, unsupported: list[tuple[str, str]]) -> StartupError:
    """Names the operators, and a snippet of spec that moves them to the CPU."""
    types = sorted({kind for _, kind in unsupported})
    names = ", ".join(f"{name} ({kind})" for name, kind in unsupported[:_SHOWN])
    more = f" and {len(unsupported) - _SHOWN} more" if len(unsupported) > _SHOWN else ""
    return StartupError(
        FailureReason.UNSUPPORTED_OPERATOR,
        f"{device} doesn't support {', '.join(types)}: {names}{more}; run them on the CPU with "
        f"targetDevice: HETERO:{device},CPU and, to say which yourself, "
        f"operatorAffinity: [{{device: CPU, types: [{', '.join(types)}]}}]",
    )
