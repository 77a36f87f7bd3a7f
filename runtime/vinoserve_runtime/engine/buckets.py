"""Models of fixed shapes for requests of any: each request is padded to the smallest bucket that holds it, its results are cut back.

What is cut back to are the shapes that the model has for the request as it came, never a guess.
"""

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

import numpy as np

from vinoserve_api.conditions import FailureReason
from vinoserve_runtime.engine.pool import InferRequestPool
from vinoserve_runtime.engine.true_shapes import ShapeTuple, TrueShapes
from vinoserve_runtime.errors import StartupError
from vinoserve_runtime.protocol.errors import InvalidRequestError
from vinoserve_runtime.tensors import NUMPY_DTYPES, Array, TensorInfo

Shapes = tuple[ShapeTuple, ...]
"""A shape for each input."""


def find_bucket(buckets: Sequence[Shapes], shapes: Sequence[ShapeTuple]) -> int | None:
    """The first that holds all of `shapes`; buckets come from small to large."""
    for index, bucket in enumerate(buckets):
        if all(
            size <= room
            for shape, held in zip(shapes, bucket, strict=True)
            for size, room in zip(shape, held, strict=True)
        ):
            return index
    return None


def pad(array: Array, shape: ShapeTuple, value: Any) -> Array:
    """`array` in the first corner of one of `shape`; itself where it has that shape."""
    if array.shape == shape:
        return array
    padded = np.full(shape, value, array.dtype)
    padded[tuple(map(slice, array.shape))] = array
    return padded


def cut(array: Array, shape: ShapeTuple) -> Array:
    """The first corner of `array`; itself where it has that shape."""
    return array if array.shape == shape else np.ascontiguousarray(array[tuple(map(slice, shape))])


def make_pad_value(info: TensorInfo, value: float) -> Any:
    """`value` as an element of the input. Raises StartupError InvalidInput where it isn't one."""
    if info.datatype == "BYTES":
        raise StartupError(
            FailureReason.INVALID_INPUT,
            f"input {info.name!r} takes BYTES, which can't be padded; remove its buckets",
        )
    if info.datatype == "BF16":
        return np.uint16(np.float32(value).view(np.uint32) >> 16)
    dtype = NUMPY_DTYPES[info.datatype]
    if dtype.kind != "f":
        least, most = (0, 1) if dtype.kind == "b" else (np.iinfo(dtype).min, np.iinfo(dtype).max)
        if not (float(value).is_integer() and least <= value <= most):
            raise StartupError(
                FailureReason.INVALID_INPUT,
                f"padValue {value:g} of input {info.name!r} is no {info.datatype}; write a whole number from {least} to {most}",
            )
        return dtype.type(int(value))
    return dtype.type(value)


class BucketedPool:
    """An `Engine` of one pool for each bucket."""

    def __init__(
        self,
        pools: Sequence[InferRequestPool],
        inputs: tuple[TensorInfo, ...],
        outputs: tuple[TensorInfo, ...],
        true_shapes: TrueShapes,
        pad_values: Mapping[str, Any],
    ) -> None:
        """`pools`: from the smallest bucket to the largest. `pad_values`: of the inputs that are padded, by name."""
        self._pools = tuple(pools)
        self._inputs = inputs
        self._outputs = outputs
        self._true_shapes = true_shapes
        self._buckets: tuple[Shapes, ...] = tuple(
            tuple(tensor.shape for tensor in pool.inputs) for pool in self._pools
        )
        self._exact = dict(zip(self._buckets, self._pools, strict=True))
        self._pad_values = [pad_values.get(info.name) for info in inputs]

    @property
    def inputs(self) -> tuple[TensorInfo, ...]:
        return self._inputs

    @property
    def outputs(self) -> tuple[TensorInfo, ...]:
        return self._outputs

    @property
    def size(self) -> int:
        """How many inferences run at once: the device is the same for all buckets."""
        return max(pool.size for pool in self._pools)

    @property
    def variants(self) -> tuple[InferRequestPool, ...]:
        return self._pools

    @property
    def is_quick(self) -> bool:
        return any(pool.is_quick for pool in self._pools)

    def infer_now(self, tensors: Sequence[Array]) -> Sequence[Array] | None:
        """See `tensors.QuickEngine`; None too for what has to be padded."""
        exact = self._exact.get(tuple(tensor.shape for tensor in tensors))
        return None if exact is None else exact.infer_now(tensors)

    async def infer(self, tensors: Sequence[Array]) -> Sequence[Array]:
        """See `tensors.Engine`; what fits a bucket exactly isn't copied."""
        shapes = tuple(tensor.shape for tensor in tensors)
        exact = self._exact.get(shapes)
        if exact is not None:
            return await exact.infer(tensors)
        index = find_bucket(self._buckets, shapes)
        if index is None:
            raise InvalidRequestError(self._explain_misfit(shapes))
        wanted = await self._true_shapes.of(shapes)
        padded = [
            pad(tensor, room, value)
            for tensor, room, value in zip(tensors, self._buckets[index], self._pad_values, strict=True)
        ]
        results = await self._pools[index].infer(padded)
        return [cut(result, shape) for result, shape in zip(results, wanted, strict=True)]

    def _explain_misfit(self, shapes: Shapes) -> str:
        """Each input has a bucket that holds it, but no bucket holds them all."""
        given = ", ".join(
            f'input "{info.name}" {list(shape)}' for info, shape in zip(self._inputs, shapes, strict=True)
        )
        largest = max(self._buckets, key=lambda bucket: sum(map(prod, bucket)))
        return f"no bucket holds {given} together; the largest is {', '.join(str(list(s)) for s in largest)}"
