"""Resize a picture as OpenVINO's preprocessing does, outside of the graph (pure).

Half-pixel centres, no antialiasing; the graph's own operator would convert all of a picture to f32 first and be compiled for
each size that a client sends. A test compares the two.
"""

from collections.abc import Callable
from typing import Final

import numpy as np

from vinoserve_runtime.tensors import Array

_CUBIC: Final = -0.75
Taps = tuple[Array, Array]
"""Which pixels of the source make each pixel of the result, and their weights: both of shape [size, taps]."""


def resize(picture: Array, height: int, width: int, method: str) -> Array:
    """`picture`: [H, W, C], not empty; the result is [height, width, C], f32. `method`: linear, cubic or nearest."""
    return _sum(
        _sum(picture, 0, _METHODS[method](picture.shape[0], height)),
        1,
        _METHODS[method](picture.shape[1], width),
    )


def _sum(picture: Array, axis: int, taps: Taps) -> Array:
    indices, weights = taps
    shape = (-1, 1, 1) if axis == 0 else (1, -1, 1)
    result = picture.take(indices[:, 0], axis) * weights[:, 0].reshape(shape)
    for tap in range(1, indices.shape[1]):
        result += picture.take(indices[:, tap], axis) * weights[:, tap].reshape(shape)
    return result


def _centres(size: int, target: int) -> Array:
    """Where the pixels of the result are in the source, in f32 as OpenVINO has it."""
    scale = np.float32(target) / np.float32(size)
    return (np.arange(target, dtype=np.float32) + np.float32(0.5)) / scale - np.float32(0.5)


def _linear(size: int, target: int) -> Taps:
    at = np.clip(_centres(size, target), 0, size - 1)
    low = np.floor(at).astype(np.intp)
    far = at - low
    return np.stack([low, np.minimum(low + 1, size - 1)], 1), np.stack([1 - far, far], 1).astype(np.float32)


def _cubic(size: int, target: int) -> Taps:
    at = _centres(size, target)
    low = np.floor(at)
    far = at - low
    near = 1 - far
    weights = [
        ((_CUBIC * (far + 1) - 5 * _CUBIC) * (far + 1) + 8 * _CUBIC) * (far + 1) - 4 * _CUBIC,
        ((_CUBIC + 2) * far - (_CUBIC + 3)) * far * far + 1,
        ((_CUBIC + 2) * near - (_CUBIC + 3)) * near * near + 1,
        ((_CUBIC * (near + 1) - 5 * _CUBIC) * (near + 1) + 8 * _CUBIC) * (near + 1) - 4 * _CUBIC,
    ]
    indices = np.clip(low.astype(np.intp)[:, None] + np.arange(-1, 3), 0, size - 1)
    return indices, np.stack(weights, 1).astype(np.float32)


def _nearest(size: int, target: int) -> Taps:
    at = np.clip(np.ceil(_centres(size, target) - np.float32(0.5)), 0, size - 1).astype(np.intp)
    return at[:, None], np.ones((target, 1), np.float32)


_METHODS: Final[dict[str, Callable[[int, int], Taps]]] = {
    "linear": _linear,
    "cubic": _cubic,
    "nearest": _nearest,
}
