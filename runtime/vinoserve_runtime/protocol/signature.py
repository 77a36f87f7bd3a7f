"""What a model takes and gives, and the checks on names, datatypes and shapes that every transport shares."""

from collections.abc import Mapping, Sequence
from math import prod
from operator import le
from typing import Final, TypeVar

from vinoserve_runtime.protocol.errors import InvalidRequestError
from vinoserve_runtime.tensors import TensorInfo

_T = TypeVar("_T")

MAX_ELEMENTS: Final = 1 << 40
"""Of a shape with its empty dimensions counted as 1: what no memory holds, numpy can't describe either."""


class Signature:
    """The inputs and outputs of one model, by name."""

    def __init__(self, inputs: Sequence[TensorInfo], outputs: Sequence[TensorInfo]) -> None:
        self.inputs = tuple(inputs)
        self.outputs = tuple(outputs)
        self._input_indices = {info.name: index for index, info in enumerate(self.inputs)}
        self._output_indices = {info.name: index for index, info in enumerate(self.outputs)}

    def input_index(self, name: str) -> int:
        """Raises InvalidRequestError where the model has no such input."""
        index = self._input_indices.get(name)
        if index is None:
            raise InvalidRequestError(
                f"{label('input', name)}: the model has no such input; its inputs are {_names(self.inputs)}"
            )
        return index

    def output_index(self, name: str) -> int:
        """Raises InvalidRequestError where the model has no such output."""
        index = self._output_indices.get(name)
        if index is None:
            raise InvalidRequestError(
                f"{label('output', name)}: the model has no such output; its outputs are {_names(self.outputs)}"
            )
        return index

    def in_order(self, inputs: Mapping[int, _T]) -> list[_T]:
        """What came for each input, in the model's order. Raises InvalidRequestError where one is missing."""
        for index, info in enumerate(self.inputs):
            if index not in inputs:
                raise InvalidRequestError(f"{label('input', info.name)} is missing")
        return [inputs[index] for index in range(len(self.inputs))]


def check_datatype(info: TensorInfo, datatype: object) -> None:
    """Raises InvalidRequestError where `datatype` isn't the one that the input takes."""
    if datatype != info.datatype:
        raise InvalidRequestError(
            f"{label('input', info.name)}: datatype is {shown(datatype)}, but the model takes {info.datatype}"
        )


def check_shape(info: TensorInfo, shape: object) -> tuple[int, ...]:
    """The shape of an input, checked against what the model allows.

    Raises InvalidRequestError where it is no list of sizes, has another rank, or a size out of bounds.
    """
    if isinstance(shape, list) and _is_the_only_one(info, shape):
        return info.shape
    if not isinstance(shape, list):
        raise InvalidRequestError(f"{label('input', info.name)}: shape must be an array of integers")
    if len(shape) != len(info.shape):
        raise InvalidRequestError(
            f"{label('input', info.name)}: shape {shown(shape)} has rank {len(shape)}, "
            f"but the model takes rank {len(info.shape)}: {allowed_shape(info)}"
        )
    for size, (least, most) in zip(shape, info.bounds, strict=True):
        if type(size) is not int or size < 0:
            raise InvalidRequestError(
                f"{label('input', info.name)}: shape {shown(shape)} must be made of integers from 0 up"
            )
        if size < least or (most is not None and size > most):
            raise InvalidRequestError(
                f"{label('input', info.name)}: shape {shown(shape)} doesn't fit; the model takes {allowed_shape(info)}"
                f"{_largest_bucket(info)}"
            )
    if info.buckets and not any(all(map(le, shape, bucket)) for bucket in info.buckets):
        raise InvalidRequestError(
            f"{label('input', info.name)}: no bucket holds shape {shown(shape)}{_largest_bucket(info)}"
        )
    if prod(size or 1 for size in shape) > MAX_ELEMENTS:
        raise InvalidRequestError(f"{label('input', info.name)}: shape {shown(shape)} is too large")
    return tuple(shape)


def _is_the_only_one(info: TensorInfo, shape: list[object]) -> bool:
    """Most models take one shape; telling so is five times quicker than to look at each size's bounds."""
    return (
        tuple(shape) == info.shape
        and -1 not in shape
        and not info.buckets
        and set(map(type, shape)) <= {int}  # 1.0 and True equal 1
    )


def _largest_bucket(info: TensorInfo) -> str:
    return f"; its largest bucket is {list(max(info.buckets, key=prod))}" if info.buckets else ""


def allowed_shape(info: TensorInfo) -> str:
    """As in `spec.model.inputs[].shape`: `[1, 1..10, -1]`; `2..` where only the lower bound matters."""
    return "[" + ", ".join(_allowed_size(least, most) for least, most in info.bounds) + "]"


def _allowed_size(least: int, most: int | None) -> str:
    if most is None:
        return "-1" if least <= 1 else f"{least}.."
    return str(least) if least == most else f"{least}..{most}"


def label(kind: str, name: str) -> str:
    """Names the tensor at the head of a message; a hostile name is cut."""
    return f'{kind} "{name if len(name) <= 200 else name[:200] + "…"}"'


def shown(value: object) -> str:
    """A value of the request within a message, on one short line."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    text = repr(value) if not isinstance(value, str) else f'"{value}"'
    return text if len(text) <= 100 else text[:100] + "…"


def _names(infos: Sequence[TensorInfo]) -> str:
    return ", ".join(f'"{info.name}"' for info in infos)
