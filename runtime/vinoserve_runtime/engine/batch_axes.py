"""Along which dimension requests can be put together, found out before anything is compiled."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from vinoserve_api.conditions import FailureReason
from vinoserve_api.device import Target
from vinoserve_api.v1alpha1 import Batching
from vinoserve_runtime.engine.bucket_plan import BucketPlan
from vinoserve_runtime.engine.ports import make_tensor_infos
from vinoserve_runtime.errors import StartupError
from vinoserve_runtime.model.prepare import PreparedModel
from vinoserve_runtime.ov import ov
from vinoserve_runtime.ov_errors import explain
from vinoserve_runtime.tensors import TensorInfo

#: Batches that every output must follow. Not 1, which shapes broadcast from.
_PROBES: Final = (2, 3)


@dataclass(frozen=True)
class BatchAxes:
    """The dimension that counts samples, for each input and each output."""

    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


def with_batching(target: Target, batching: Batching | None) -> Target:
    """BATCH of the size that `batching` says."""
    if target.mode != "BATCH" or batching is None or batching.max_batch_size is None:
        return target
    return replace(target, batch=batching.max_batch_size)


def find_batch_axes(
    prepared: PreparedModel, bucket_plan: BucketPlan | None, batching: Batching | None, target: Target
) -> BatchAxes | None:
    """None where the server puts nothing together. Raises StartupError InvalidShape that names the input or output."""
    if batching is None or batching.max_batch_size is None or target.mode == "BATCH":
        return None
    infos = (
        bucket_plan.inputs if bucket_plan else make_tensor_infos(prepared.model.inputs, prepared.input_names)
    )
    axes = BatchAxes(
        _find_axes("input", prepared.input_names, prepared.input_layouts),
        _find_axes("output", prepared.output_names, prepared.output_layouts),
    )
    for info, axis in zip(infos, axes.inputs, strict=True):
        _check_input(info, axis, batching.max_batch_size, str(target))
    for size in _PROBES:
        _check_outputs(prepared, axes, size)
    return axes


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


def _check_outputs(prepared: PreparedModel, axes: BatchAxes, size: int) -> None:
    model = prepared.model.clone()
    shapes: dict[int, Any] = {}
    for index, axis in enumerate(axes.inputs):
        shape = model.inputs[index].get_partial_shape()
        shape[axis] = ov.Dimension(size)
        shapes[index] = shape
    try:
        model.reshape(shapes)
    except RuntimeError as error:
        _refuse(f"the model can't be given a batch of {size}: {explain(error)}")
    for name, port, axis in zip(prepared.output_names, model.outputs, axes.outputs, strict=True):
        shape = port.get_partial_shape()
        if shape.rank.is_dynamic or axis >= len(shape) or shape[axis] != ov.Dimension(size):
            _refuse(
                f"output {name!r} has the shape {shape} for {size} samples: its dimension {axis} is no batch, so results can't be "
                "told apart; remove batching"
            )


def _refuse(why: str) -> None:
    raise StartupError(FailureReason.INVALID_SHAPE, f"spec.batching.maxBatchSize: {why}")
