"""An inference on the event loop itself: for models that take less time than handing them to another thread and back."""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from vinoserve_runtime.ov import ov
from vinoserve_runtime.tensors import NUMPY_DTYPES, Array, TensorInfo

COPIED_BYTES: Final = 32 << 10
"""Inputs up to this size are copied into tensors that stay: 0.3 us, where making and setting a tensor takes 4 (measured); larger
ones are handed over as they are."""

_NO_INPUTS: Final[dict[int, Any]] = {}


class QuickRequest:
    """An infer request of static shapes without BYTES, and memory for its small inputs. For one caller at a time."""

    def __init__(
        self,
        request: Any,
        inputs: Sequence[TensorInfo],
        outputs: Sequence[TensorInfo],
        types: Sequence[Any],
    ) -> None:
        """`types`: OpenVINO's element types of `inputs`."""
        self._request = request
        self._are_bf16 = [info.datatype == "BF16" for info in outputs]
        self._shapes = [ov.Shape(list(info.shape)) for info in inputs]
        self._types = tuple(types)
        self._places = [self._make_place(index, info) for index, info in enumerate(inputs)]

    def infer(self, tensors: Sequence[Array]) -> list[Array]:
        """As `tensors.Engine.infer`. Raises whatever OpenVINO raises."""
        for index, place in enumerate(self._places):
            if place is None:
                self._set(index, tensors[index])
            else:
                place[...] = tensors[index]
        results = self._request.infer(_NO_INPUTS, True, False)
        return [
            (result.view(np.uint16) if is_bf16 else result).copy()  # OpenVINO calls bfloat16's bits float16
            for is_bf16, result in zip(self._are_bf16, results.values(), strict=True)
        ]

    def _make_place(self, index: int, info: TensorInfo) -> Array | None:
        """Where the input is read from; None where it is too large to be copied there."""
        place = np.zeros(info.shape, NUMPY_DTYPES[info.datatype])
        if place.nbytes > COPIED_BYTES:
            return None
        self._set(index, place)
        return place

    def _set(self, index: int, array: Array) -> None:
        self._request.set_input_tensor(index, ov.Tensor(array, self._shapes[index], self._types[index]))
