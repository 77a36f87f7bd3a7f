"""Along which dimensions requests can be put together, found out before anything is compiled."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from vinoserve_api.conditions import FailureReason
from vinoserve_api.device import Target
from vinoserve_api.v1alpha1 import Batching
from vinoserve_runtime.engine.bucketing import Bucketing
from vinoserve_runtime.engine.ports import make_tensor_infos
from vinoserve_runtime.errors import StartupError
from vinoserve_runtime.model.prepare import PreparedModel
from vinoserve_runtime.ov import ov
from vinoserve_runtime.ov_errors import explain
from vinoserve_runtime.tensors import TensorInfo

#: Batches that every output must follow. Not 1, which shapes broadcast from.
_PROBES: Final = (2, 3)


@dataclass(frozen=True)
class BatchPlan:
    """How requests are put together."""

    input_axes: tuple[int, ...]
    """The dimension of each input that counts samples."""
    output_axes: tuple[int, ...]
    most: int
    """Samples in one inference."""
    timeout: float
    """Seconds that a request waits for others although the engine is free."""


def make_batch_plan(
    prepared: PreparedModel, bucketing: Bucketing | None, batching: Batching | None, target: Target
) -> BatchPlan | None:
    """None where the server puts nothing together. Raises StartupError InvalidShape that names the input or output."""
    if batching is None or batching.max_batch_size is None or target.mode == "BATCH":
        return None
    infos = bucketing.inputs if bucketing else make_tensor_infos(prepared.model.inputs, prepared.input_names)
    plan = BatchPlan(
        _find_axes("input", prepared.input_names, prepared.input_layouts),
        _find_axes("output", prepared.output_names, prepared.output_layouts),
        batching.max_batch_size,
        (batching.timeout_milliseconds or 0) / 1000,
    )
    for info, axis in zip(infos, plan.input_axes, strict=True):
        _check_input(info, axis, plan.most, str(target))
    for size in _PROBES:
        _check_outputs(prepared, plan, size)
    return plan


def _find_axes(side: str, names: Sequence[str], layouts: Mapping[str, str]) -> tuple[int, ...]:
    axes = tuple(layouts.get(name, "N").find("N") for name in names)
    for name, axis in zip(names, axes, strict=True):
        if axis < 0:
            _refuse(f"the layout {layouts[name]} of {side} {name!r} has no N; write N where the batch is")
    return axes


def _check_input(info: TensorInfo, axis: int, most: int, target: str) -> None:
    if axis >= len(info.shape):
        _refuse(f"input {info.name!r} {list(info.shape)} has no batch dimension; remove batching")
    least, bound = info.bounds[axis]
    if bound is not None and (least == bound or bound < most):
        shape: list[int | str] = list(info.shape)
        shape[axis] = f"1..{most}"
        what = f"a batch of {bound} alone" if least == bound else f"at most {bound} in a batch"
        wish = (
            f"buckets that hold {most} samples" if info.buckets else f"shape {shape} for it".replace("'", '"')
        )
        remedy = f", or targetDevice BATCH:{target}" if least == bound and ":" not in target else ""
        _refuse(f"input {info.name!r} takes {what}; write {wish}{remedy}")


def _check_outputs(prepared: PreparedModel, plan: BatchPlan, size: int) -> None:
    model = prepared.model.clone()
    shapes: dict[int, Any] = {}
    for index, axis in enumerate(plan.input_axes):
        shape = model.inputs[index].get_partial_shape()
        shape[axis] = ov.Dimension(size)
        shapes[index] = shape
    try:
        model.reshape(shapes)
    except RuntimeError as error:
        _refuse(f"the model can't be given a batch of {size}: {explain(error)}")
    for name, port, axis in zip(prepared.output_names, model.outputs, plan.output_axes, strict=True):
        shape = port.get_partial_shape()
        if shape.rank.is_dynamic or axis >= len(shape) or shape[axis] != ov.Dimension(size):
            _refuse(
                f"output {name!r} has the shape {shape} for {size} samples: its dimension {axis} is no batch, so results can't be "
                "told apart; remove batching"
            )


def _refuse(why: str) -> None:
    raise StartupError(FailureReason.INVALID_SHAPE, f"spec.batching.maxBatchSize: {why}")
