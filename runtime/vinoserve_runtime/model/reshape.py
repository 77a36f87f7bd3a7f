"""Give a model's inputs the shapes that the spec says: fixed, bounded, dynamic, or those of a bucket."""

from collections.abc import Sequence
from typing import Any

from vinoserve_api.conditions import FailureReason
from vinoserve_api.v1alpha1 import Dimension, Input
from vinoserve_runtime.errors import StartupError
from vinoserve_runtime.ov import ov
from vinoserve_runtime.ov_errors import explain


def make_dimension(dimension: Dimension) -> Any:
    """`3`, `"1..10"` or `-1` as OpenVINO has it."""
    if isinstance(dimension, str):
        low, _, high = dimension.partition("..")
        return ov.Dimension(int(low), int(high))
    return ov.Dimension() if dimension == -1 else ov.Dimension(dimension)


def make_partial_shape(shape: Sequence[Dimension]) -> Any:
    return ov.PartialShape([make_dimension(dimension) for dimension in shape])


def show_shape(shape: Any) -> str:
    """A partial shape as the spec would write it: `[1, 3, -1, 1..640]`."""
    if shape.rank.is_dynamic:
        return "any rank"
    return "[" + ", ".join(_show_dimension(dimension) for dimension in shape) + "]"


def _show_dimension(dimension: Any) -> str:
    if dimension.is_static:
        return str(dimension.get_length())
    low, high = dimension.get_min_length(), dimension.get_max_length()
    return "-1" if high < 0 or high >= 2**31 - 1 else f"{low}..{high}"


def count_buckets(entries: Sequence[Input]) -> int:
    """0 where no input has any; the rules see to it that all have equally many."""
    return max((len(entry.buckets) for entry in entries if entry.buckets is not None), default=0)


def reshape_inputs(
    model: Any, entries: Sequence[Input], indices: Sequence[int], bucket: int | None = None
) -> None:
    """`indices`: the model's input for each entry; `bucket`: which of their buckets, None leaves inputs with buckets as they are.

    Raises InvalidShape that says what the model has.
    """
    wanted: dict[int, Any] = {}
    fields: dict[int, str] = {}
    for number, (entry, index) in enumerate(zip(entries, indices, strict=True)):
        field, wish = f"spec.model.inputs[{number}].shape", entry.shape
        if entry.buckets is not None and bucket is not None:
            field, wish = f"spec.model.inputs[{number}].buckets[{bucket}]", entry.buckets[bucket]
        if wish is None:
            continue
        own, shape = model.inputs[index].get_partial_shape(), make_partial_shape(wish)
        if own.rank.is_static and own.rank.get_length() != len(wish):
            raise StartupError(
                FailureReason.INVALID_SHAPE,
                f"{field}: {show_shape(shape)} has {len(wish)} dimensions, the model's input "
                f"{entry.name!r} has {own.rank.get_length()}: {show_shape(own)}",
            )
        wanted[index] = shape
        fields[index] = f"{field} {show_shape(shape)} (the model has {show_shape(own)})"
    if not wanted:
        return
    try:
        model.reshape(wanted)
    except RuntimeError as error:
        raise StartupError(
            FailureReason.INVALID_SHAPE,
            f"{', '.join(fields.values())}: the model can't be given this shape: {explain(error)}",
        ) from error
