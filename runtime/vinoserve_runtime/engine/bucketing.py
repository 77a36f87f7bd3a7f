"""Whether padding can be cut out of a model's outputs again, and what clients may then send; found out before anything is compiled.

An output's dimension can be cut where it follows one padded dimension of the inputs and nothing else. A dimension that
several make up together (all anchors of a detector, from height and width) holds the padding in between.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vinoserve_api.conditions import FailureReason
from vinoserve_runtime.engine.buckets import Shapes, make_pad_value
from vinoserve_runtime.engine.ports import DATATYPES, make_tensor_infos
from vinoserve_runtime.engine.true_shapes import ShapeError, ShapeTuple, TrueShapes
from vinoserve_runtime.errors import StartupError
from vinoserve_runtime.model.prepare import PreparedModel
from vinoserve_runtime.tensors import TensorInfo

Position = tuple[int, int]
"""An input and one of its dimensions."""


@dataclass(frozen=True)
class Bucketing:
    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]
    true_shapes: TrueShapes
    pad_values: Mapping[str, Any]
    """What an input is padded with, as its own element, by name."""


@dataclass(frozen=True)
class _Axis:
    """Dimensions of the inputs that change together: a batch, a length, a height."""

    positions: tuple[Position, ...]
    sizes: tuple[int, ...]
    """In each bucket."""
    is_padded: bool


def make_bucketing(prepared: PreparedModel) -> Bucketing:
    """Raises StartupError InvalidShape where results couldn't be cut back, naming the output; InvalidInput for a pad value."""
    buckets = [_static_shapes(model, prepared.input_names) for model in prepared.buckets]
    true_shapes = TrueShapes(prepared.model, prepared.output_names)
    axes = tuple(_find_axes(prepared, buckets))
    results = [_infer(true_shapes, bucket, f"bucket {_show(bucket)}") for bucket in buckets]
    follows = _find_dependencies(true_shapes, axes, buckets[-1], results[-1])
    for (output, dim), causes in follows.items():
        if len(causes) > 1 and any(axis.is_padded for axis in causes):
            name = prepared.output_names[output]
            listed = ", ".join(_name_axis(axis, prepared.input_names) for axis in causes)
            raise StartupError(
                FailureReason.INVALID_SHAPE,
                f"spec.model.inputs: with buckets, what is padded could not be cut out of output {name!r} {list(results[-1][output])} "
                f"again: its dimension {dim} mixes {listed}; write one fixed shape for each instead",
            )
    padded = {position for axis in axes if axis.is_padded for position in axis.positions}
    inputs = tuple(
        _make_input_info(prepared, i, [bucket[i] for bucket in buckets], padded)
        for i in range(len(buckets[0]))
    )
    return Bucketing(
        inputs=inputs,
        outputs=_make_output_infos(prepared, results, follows),
        true_shapes=true_shapes,
        pad_values={
            info.name: make_pad_value(info, prepared.pad_values[info.name])
            for info in inputs
            if info.name in prepared.pad_values
        },
    )


def _static_shapes(model: Any, names: Sequence[str]) -> Shapes:
    shapes: list[ShapeTuple] = []
    for name, port in zip(names, model.inputs, strict=True):
        shape = port.get_partial_shape()
        if shape.is_dynamic:
            raise StartupError(
                FailureReason.INVALID_SHAPE,
                f"spec.model.inputs: with buckets every input needs fixed sizes, and {name!r} has {shape}; give it "
                "buckets too, or a shape without -1 and bounds",
            )
        shapes.append(tuple(shape.to_shape()))
    return tuple(shapes)


def _find_axes(prepared: PreparedModel, buckets: Sequence[Shapes]) -> Iterator[_Axis]:
    """Dimensions at the same place with the same sizes belong together. Those of size 1 in all buckets are none."""
    found: dict[tuple[int, tuple[int, ...], bool], list[Position]] = {}
    for i, name in enumerate(prepared.input_names):
        own = prepared.model.inputs[i].get_partial_shape()
        for dim, sizes in enumerate(zip(*(bucket[i] for bucket in buckets), strict=True)):
            is_open = own.rank.is_dynamic or own[dim].is_dynamic
            # One bucket alone pads whatever the model leaves open.
            is_padded = name in prepared.pad_values and (len(set(sizes)) > 1 if len(buckets) > 1 else is_open)
            if max(sizes) > 1:
                found.setdefault((dim, sizes, is_padded), []).append((i, dim))
    for (_, sizes, is_padded), positions in found.items():
        yield _Axis(tuple(positions), sizes, is_padded)


def _find_dependencies(
    true_shapes: TrueShapes, axes: Sequence[_Axis], base: Shapes, result: Sequence[ShapeTuple]
) -> dict[Position, list[_Axis]]:
    """Which axes each dimension of the outputs follows: each axis is given another size, and what changes is seen.

    Axes that can't change alone (the two lengths of an attention mask) are changed together with those of their sizes.
    """
    follows: dict[Position, list[_Axis]] = {}
    done: set[_Axis] = set()
    for axis in axes:
        if axis in done:
            continue
        alike = [other for other in axes if other.sizes == axis.sizes and other.is_padded == axis.is_padded]
        for together in ([axis], alike):
            try:
                changed = true_shapes.infer(_resize(base, together))
            except ShapeError as error:
                why = error
                continue
            done.update(together)
            merged = _Axis(tuple(p for one in together for p in one.positions), axis.sizes, axis.is_padded)
            for output, (before, after) in enumerate(zip(result, changed, strict=True)):
                for dim, (size, now) in enumerate(zip(before, after, strict=True)):
                    if size != now:
                        follows.setdefault((output, dim), []).append(merged)
            break
        else:
            if axis.is_padded:
                raise StartupError(
                    FailureReason.INVALID_SHAPE,
                    f"spec.model.inputs: with buckets, {why}",
                )
    return follows


def _resize(base: Shapes, axes: Sequence[_Axis]) -> Shapes:
    shapes = [list(shape) for shape in base]
    for axis in axes:
        smallest, largest = min(axis.sizes), max(axis.sizes)
        for i, dim in axis.positions:
            shapes[i][dim] = smallest if smallest < largest else max(1, largest // 2)
    return tuple(map(tuple, shapes))


def _infer(true_shapes: TrueShapes, shapes: Shapes, where: str) -> list[ShapeTuple]:
    try:
        return true_shapes.infer(shapes)
    except ShapeError as error:
        raise StartupError(
            FailureReason.INVALID_SHAPE,
            f"spec.model.inputs: with buckets, results are cut back, but for {where} {error}",
        ) from error


def _make_input_info(
    prepared: PreparedModel, index: int, shapes: Sequence[ShapeTuple], padded: set[Position]
) -> TensorInfo:
    datatype = DATATYPES[prepared.buckets[0].inputs[index].get_element_type().get_type_name()]
    bounds = tuple(
        (1 if (index, dim) in padded else min(sizes), max(sizes))
        for dim, sizes in enumerate(zip(*shapes, strict=True))
    )
    name = prepared.input_names[index]
    shape = tuple(low if low == high else -1 for low, high in bounds)
    buckets = tuple(shapes) if name in prepared.pad_values else ()
    return TensorInfo(name, datatype, shape, tuple(bounds), buckets)


def _make_output_infos(
    prepared: PreparedModel, results: Sequence[Sequence[ShapeTuple]], follows: dict[Position, list[_Axis]]
) -> tuple[TensorInfo, ...]:
    infos = make_tensor_infos(prepared.buckets[-1].outputs, prepared.output_names)
    return tuple(
        _make_output_info(
            info,
            results[-1][output],
            [
                any(axis.is_padded for axis in follows.get((output, dim), ()))
                for dim in range(len(info.shape))
            ],
        )
        for output, info in enumerate(infos)
    )


def _make_output_info(info: TensorInfo, largest: ShapeTuple, is_cut: Sequence[bool]) -> TensorInfo:
    pairs = list(zip(largest, is_cut, strict=True))
    return TensorInfo(
        info.name,
        info.datatype,
        tuple(-1 if cut else size for size, cut in pairs),
        tuple((0 if cut else size, size) for size, cut in pairs),
    )


def _name_axis(axis: _Axis, names: Sequence[str]) -> str:
    return "/".join(f"{names[i]}[{dim}]" for i, dim in axis.positions)


def _show(shapes: Shapes) -> str:
    return ", ".join(str(list(shape)) for shape in shapes)
