"""Shapes to warm a dynamic model up with: usual ones, that the graph accepts.

An inference that fails half-way leaves OpenVINO's CPU plugin (2026.4.1) in disorder (measured with PP-OCR, whose pooling refuses
a picture one pixel wide). Where it was a stream's first one, later answers of that stream are wrong or NaN: so the graph's own
shape inference is asked first, which runs nothing. Else whatever has the shape of the last good inference fails, with the same
words, until another shape went through: so two shapes are found, of which one is another. And a first shape so small that a
dimension inside shrinks to 1 makes all later results wrong (the same model, 8 pixels wide): so small ones are tried last.
"""

from collections.abc import Iterator
from math import prod
from typing import Any, Final

import numpy as np

from vinoserve_runtime.ov import ov
from vinoserve_runtime.tensors import NUMPY_DTYPES, Array, TensorInfo

_SIZES: Final = (224, 128, 64, 32, 256, 320, 512, 640, 1024, 16, 8, 4, 2, 1)

#: Of all inputs together: a shape of more dimensions takes a smaller size.
_MOST_ELEMENTS: Final = 4_000_000

_WANTED: Final = 2

Shapes = tuple[tuple[int, ...], ...]
"""A shape for each input, in order."""


def make_tensor(tensor: TensorInfo, shape: tuple[int, ...], fill: int) -> Array:
    """An array of `shape` that `tensor` takes."""
    if tensor.datatype == "BYTES":
        return np.full(shape, str(fill).encode(), dtype=np.object_)
    if tensor.datatype == "BF16":
        return np.full(shape, 0x3F80 if fill else 0, dtype=np.uint16)
    return np.full(shape, fill, dtype=NUMPY_DTYPES[tensor.datatype])


def find_warm_shapes(model: Any) -> tuple[Shapes, ...]:
    """Two at most; none where all inputs are fixed anyway, or nothing that is tried is accepted.

    `model` stays as it is.
    """
    own = [port.get_partial_shape() for port in model.inputs]
    if any(shape.rank.is_dynamic for shape in own) or all(shape.is_static for shape in own):
        return ()
    clone = model.clone()
    found: list[Shapes] = []
    for shapes in _candidates(own):
        try:
            clone.reshape({index: ov.PartialShape(list(shape)) for index, shape in enumerate(shapes)})
        except RuntimeError:
            continue
        found.append(shapes)
        if len(found) == _WANTED:
            break
    return tuple(found)


def _candidates(own: list[Any]) -> Iterator[Shapes]:
    """Open dimensions of one size, within their bounds; the first, mostly the batch, is kept small as long as that may do."""
    tried: set[Shapes] = set()
    for size, first in [
        *((size, first) for size in _SIZES for first in (1, 2)),
        *zip(_SIZES, _SIZES, strict=True),
    ]:
        shapes = tuple(
            tuple(
                _fit(dimension, size if axis or len(shape) == 1 else first)
                for axis, dimension in enumerate(shape)
            )
            for shape in own
        )
        if shapes not in tried and sum(map(prod, shapes)) <= _MOST_ELEMENTS:
            tried.add(shapes)
            yield shapes


def _fit(dimension: Any, size: int) -> int:
    low, high = dimension.get_min_length(), dimension.get_max_length()
    return int(max(low, 1, size if high < 0 else min(size, high)))
