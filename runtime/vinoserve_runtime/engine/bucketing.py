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


@dataclass(frozen=True)
class Bucketing:
    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]
    true_shapes: TrueShapes
    pad_values: Mapping[str, Any]
    """What an input is padded with, as its own element, by name."""


@dataclass(frozen=True)
class _Place:
    """A dimension of an input."""

    input: int
    dim: int
    sizes: ShapeTuple
    """In each bucket."""
    is_padded: bool


_Causes = dict[tuple[int, int], list[frozenset[_Place]]]
"""Which dimensions of the inputs a dimension of an output follows; those that change together only count as one."""


def make_bucketing(prepared: PreparedModel) -> Bucketing:
    """Raises StartupError InvalidShape where results couldn't be cut back, naming the output; InvalidInput for a pad value."""
    buckets = [_static_shapes(model, prepared.input_names) for model in prepared.buckets]
    true_shapes = TrueShapes(prepared.model, prepared.input_names, prepared.output_names)
    places = tuple(_find_places(prepared, buckets))
    results = [_infer(true_shapes, bucket, f"bucket {_show(bucket)}") for bucket in buckets]
    causes = _find_causes(true_shapes, places, buckets[-1], results[-1])
    for (output, dim), found in causes.items():
        if len(found) > 1 and any(place.is_padded for cause in found for place in cause):
            name = prepared.output_names[output]
            listed = ", ".join(_name(cause, prepared.input_names) for cause in found)
            raise StartupError(
                FailureReason.INVALID_SHAPE,
                f"spec.model.inputs: with buckets, what is padded could not be cut out of output {name!r} {list(results[-1][output])} "
                f"again: its dimension {dim} mixes {listed}; write one fixed shape for each instead",
            )
    padded = {(place.input, place.dim) for place in places if place.is_padded}
    inputs = tuple(
        _make_input_info(prepared, i, [bucket[i] for bucket in buckets], padded)
        for i in range(len(buckets[0]))
    )
    return Bucketing(
        inputs=inputs,
        outputs=_make_output_infos(prepared, results[-1], causes),
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


def _find_places(prepared: PreparedModel, buckets: Sequence[Shapes]) -> Iterator[_Place]:
    """What has size 1 in all buckets can't get into another dimension's way."""
    for i, name in enumerate(prepared.input_names):
        own = prepared.model.inputs[i].get_partial_shape()
        for dim, sizes in enumerate(zip(*(bucket[i] for bucket in buckets), strict=True)):
            is_open = own.rank.is_dynamic or own[dim].is_dynamic
            # One bucket alone pads whatever the model leaves open.
            is_padded = name in prepared.pad_values and (len(set(sizes)) > 1 if len(buckets) > 1 else is_open)
            if max(sizes) > 1:
                yield _Place(i, dim, sizes, is_padded)


def _find_causes(
    true_shapes: TrueShapes, places: Sequence[_Place], base: Shapes, result: Sequence[ShapeTuple]
) -> _Causes:
    """Each dimension of the inputs is given another size, and it is seen what changes."""
    causes: _Causes = {}
    done: set[_Place] = set()
    for place in places:
        if place in done:
            continue
        together, changed = _change(true_shapes, place, places, base)
        done |= together
        for output, (before, after) in enumerate(zip(result, changed or result, strict=True)):
            for dim, (size, now) in enumerate(zip(before, after, strict=True)):
                if size != now:
                    known = causes.setdefault((output, dim), [])
                    shared = [cause for cause in known if cause & together]
                    known[:] = [cause for cause in known if cause not in shared]
                    known.append(together.union(*shared))
    return causes


def _change(
    true_shapes: TrueShapes, place: _Place, places: Sequence[_Place], base: Shapes
) -> tuple[frozenset[_Place], list[ShapeTuple] | None]:
    """What was changed, and the outputs' shapes then; None where the model lets a size be that isn't padded anyway.

    What can't change alone (a text's length without its mask's) is changed with the same dimension of other inputs, and then with all
    dimensions of its sizes.
    """
    alike = [other for other in places if (other.sizes, other.is_padded) == (place.sizes, place.is_padded)]
    refused: ShapeError | None = None
    for together in ([place], [other for other in alike if other.dim == place.dim], alike):
        try:
            return frozenset(together), true_shapes.infer(_resize(base, together))
        except ShapeError as error:
            refused = error
    if place.is_padded:
        raise StartupError(FailureReason.INVALID_SHAPE, f"spec.model.inputs: with buckets, {refused}")
    return frozenset([place]), None


def _resize(base: Shapes, places: Sequence[_Place]) -> Shapes:
    """Another bucket's size where there is one, but never 1, which would be broadcast."""
    shapes = [list(shape) for shape in base]
    for place in places:
        largest = max(place.sizes)
        other = largest // 2 if largest > 3 else 2 * largest  # but not 1
        smaller = [size for size in place.sizes if 1 < size < largest]
        shapes[place.input][place.dim] = min(smaller, default=other)
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
    prepared: PreparedModel, index: int, shapes: Sequence[ShapeTuple], padded: set[tuple[int, int]]
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
    prepared: PreparedModel, largest: Sequence[ShapeTuple], causes: _Causes
) -> tuple[TensorInfo, ...]:
    cut = {at for at, found in causes.items() if any(place.is_padded for cause in found for place in cause)}
    return tuple(
        _make_output_info(
            info, largest[output], [(output, dim) in cut for dim in range(len(largest[output]))]
        )
        for output, info in enumerate(make_tensor_infos(prepared.buckets[-1].outputs, prepared.output_names))
    )


def _make_output_info(info: TensorInfo, largest: ShapeTuple, is_cut: Sequence[bool]) -> TensorInfo:
    pairs = list(zip(largest, is_cut, strict=True))
    return TensorInfo(
        info.name,
        info.datatype,
        tuple(-1 if cut else size for size, cut in pairs),
        tuple((0 if cut else size, size) for size, cut in pairs),
    )


def _name(cause: frozenset[_Place], names: Sequence[str]) -> str:
    return "/".join(sorted(f"{names[place.input]}[{place.dim}]" for place in cause))


def _show(shapes: Shapes) -> str:
    return ", ".join(str(list(shape)) for shape in shapes)
