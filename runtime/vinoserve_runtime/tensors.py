"""What the data plane and the engine agree on: tensors by name, datatype and shape.

Datatypes are the Open Inference Protocol's. In numpy, BF16 travels as uint16 (the raw bits: numpy has no bfloat16)
and BYTES as an object array of `bytes`; every other datatype is the numpy dtype of its name.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

NUMPY_DTYPES: Final[dict[str, np.dtype[Any]]] = {
    "BOOL": np.dtype(np.bool_),
    "UINT8": np.dtype(np.uint8),
    "UINT16": np.dtype(np.uint16),
    "UINT32": np.dtype(np.uint32),
    "UINT64": np.dtype(np.uint64),
    "INT8": np.dtype(np.int8),
    "INT16": np.dtype(np.int16),
    "INT32": np.dtype(np.int32),
    "INT64": np.dtype(np.int64),
    "FP16": np.dtype(np.float16),
    "BF16": np.dtype(np.uint16),
    "FP32": np.dtype(np.float32),
    "FP64": np.dtype(np.float64),
    "BYTES": np.dtype(np.object_),
}


@dataclass(frozen=True)
class TensorInfo:
    """An input or output as clients see it: what metadata says is what infer accepts."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    """-1 where any size may come, or any size within `bounds`."""
    bounds: tuple[tuple[int, int | None], ...]
    """Smallest and largest size of each dimension; None: no upper bound."""
    buckets: tuple[tuple[int, ...], ...] = ()
    """Where not every shape within `bounds` may come: those that one of these holds."""
    is_base64: bool = False
    """Whether its BYTES are no text, so that JSON carries them in base64; in binary they are as they are."""


class Engine(Protocol):
    """A compiled model that can be asked. Thread-safe on the event loop that it was made on."""

    @property
    def inputs(self) -> tuple[TensorInfo, ...]: ...

    @property
    def outputs(self) -> tuple[TensorInfo, ...]: ...

    @property
    def size(self) -> int:
        """How many requests it takes at once; others wait outside, where they are counted and can be refused."""
        ...

    async def infer(self, tensors: Sequence[Array]) -> Sequence[Array]:
        """One inference: a C-contiguous array per input, in the order of `inputs`; an array per output.

        The arrays were checked against `inputs`. They are only read, and must not change until the result is
        there; the result belongs to the caller. Raises `errors.InferenceError` where the engine fails, and
        `protocol.errors.InvalidRequestError` where arrays that are right one by one don't fit together.
        """
        ...


@runtime_checkable
class QuickEngine(Engine, Protocol):
    """An engine that may be quick enough to be waited for on the event loop."""

    @property
    def is_quick(self) -> bool:
        """Whether `infer_now` is worth a try; found out by the warm-up, and the same ever after."""
        ...

    def infer_now(self, tensors: Sequence[Array]) -> Sequence[Array] | None:
        """As `infer`, and done when it returns; None where that would take too long or failed: `infer` says why."""
        ...
