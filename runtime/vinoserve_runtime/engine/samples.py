"""Inputs to compare devices with: those that the user has put beside the model, or random ones that are always the same."""

import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from vinoserve_api.conditions import FailureReason
from vinoserve_runtime.errors import StartupError
from vinoserve_runtime.tensors import NUMPY_DTYPES, Array, TensorInfo

_SEED: Final = 20260401
_SMALL: Final = 10
"""Integers of which nothing is known are less than this: counts, classes, positions."""

#: What hands an index on unchanged to where it is looked up.
_PASSING: Final = frozenset({"Convert", "Reshape", "Squeeze", "Unsqueeze", "Transpose", "Broadcast"})
#: Where indices come in, and along which axis of input 0 they count; None: the Gather's own axis.
_LOOKUPS: Final[Mapping[str, tuple[int, int | None]]] = {
    "Gather": (1, None),
    "EmbeddingBagOffsetsSum": (1, 0),
    "EmbeddingBagPackedSum": (1, 0),
    "EmbeddingSegmentsSum": (1, 0),
    "EmbeddingBagOffsets": (1, 0),
    "EmbeddingBagPacked": (1, 0),
}

#: Sizes that are tried for dimensions of any size, the first batch excepted: what convolutions divide by, and short texts.
FREE_SIZES: Final = (32, 64, 256, 8, 1)


def load_samples(folder: Path, written: str, inputs: Sequence[TensorInfo]) -> Iterator[list[Array]]:
    """The arrays of each .npz file that `written` (relative to `folder`) names, in the order of `inputs`.

    Raises StartupError InvalidConfig, naming the file and the array.
    """
    for path in _find_files(folder, written):
        shown = f"spec.parity.samples: {path.relative_to(folder.resolve())}"
        try:
            with np.load(path, allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}
        except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
            raise StartupError(FailureReason.INVALID_CONFIG, f"{shown} is no .npz file: {error}") from error
        names = {tensor.name for tensor in inputs}
        for name in sorted(arrays.keys() ^ names):
            what = "has no array" if name in names else "has an array for no input of the model:"
            raise StartupError(
                FailureReason.INVALID_CONFIG,
                f"{shown} {what} {name!r}; the inputs are {', '.join(sorted(names))}",
            )
        yield [_fit(shown, tensor, arrays[tensor.name]) for tensor in inputs]


def _find_files(folder: Path, written: str) -> list[Path]:
    root = folder.resolve()
    path = (root / written).resolve()
    if not path.is_relative_to(root):
        raise StartupError(
            FailureReason.INVALID_CONFIG, f"spec.parity.samples: {written} leads out of the model's folder"
        )
    files = sorted(path.glob("*.npz")) if path.is_dir() else [path]
    files = [file for file in files if file.is_file() and file.resolve().is_relative_to(root)]
    if not files:
        raise StartupError(
            FailureReason.INVALID_CONFIG,
            f"spec.parity.samples: there is no .npz file {written} beside the model; the path is relative to the model's folder",
        )
    return files


def _fit(shown: str, tensor: TensorInfo, array: Array) -> Array:
    """`array` as `tensor` takes it, where nothing is lost by that."""
    where = f"{shown}: array {tensor.name!r}"
    fits = len(array.shape) == len(tensor.bounds) and all(
        low <= size and (high is None or size <= high)
        for size, (low, high) in zip(array.shape, tensor.bounds, strict=True)
    )
    if not fits:
        raise StartupError(
            FailureReason.INVALID_CONFIG,
            f"{where} has shape {list(array.shape)}, and the model takes {list(tensor.shape)}",
        )
    if tensor.datatype == "BYTES" and array.dtype.kind in "SU":
        encoded = [e.encode() if isinstance(e, str) else e for e in array.ravel().tolist()]
        return np.array(encoded, dtype=np.object_).reshape(array.shape)
    if tensor.datatype == "BF16" and array.dtype.kind == "f":
        return to_bf16(array)
    dtype = NUMPY_DTYPES[tensor.datatype]
    if tensor.datatype != "BYTES" and np.can_cast(array.dtype, dtype, "same_kind"):
        cast = array.astype(dtype)
        if dtype.kind == "f" or np.array_equal(cast, array):
            return np.ascontiguousarray(cast)
    raise StartupError(
        FailureReason.INVALID_CONFIG,
        f"{where} is of type {array.dtype}, and the model takes {tensor.datatype} ({dtype.name})",
    )


def to_bf16(array: Array) -> Array:
    """The raw bits."""
    return (np.ascontiguousarray(array, np.float32).view(np.uint32) >> 16).astype(np.uint16)


def make_random(
    inputs: Sequence[TensorInfo], limits: Sequence[int | None], count: int, free_size: int
) -> Iterator[list[Array]]:
    """`count` samples, the same ones each time. `limits`: how many values an index may have (`find_index_limits`)."""
    for number in range(count):
        random = np.random.default_rng((_SEED, number))
        yield [
            _make_array(random, tensor, limit, free_size)
            for tensor, limit in zip(inputs, limits, strict=True)
        ]


def _make_array(random: np.random.Generator, tensor: TensorInfo, limit: int | None, free_size: int) -> Array:
    shape = tuple(
        _choose_size(low, high, 1 if axis == 0 and len(tensor.bounds) > 1 else free_size)
        for axis, (low, high) in enumerate(tensor.bounds)
    )
    if tensor.buckets:  # which hold all inputs' shapes together
        shape = tensor.buckets[0]
    dtype = NUMPY_DTYPES[tensor.datatype]
    if tensor.datatype == "BYTES":
        words = [f"sample {n}".encode() for n in random.integers(0, 1000, int(np.prod(shape)))]
        return np.array(words, dtype=np.object_).reshape(shape)
    if tensor.datatype == "BF16":
        return to_bf16(random.standard_normal(shape))
    if dtype.kind == "f":
        return random.standard_normal(shape).astype(dtype)
    if dtype.kind == "b":
        return random.integers(0, 2, shape).astype(dtype)
    if "mask" in tensor.name.lower():
        return np.ones(shape, dtype)
    if limit is None:
        limit = 256 if dtype.itemsize == 1 else _SMALL
    return random.integers(0, min(limit, np.iinfo(dtype).max + 1), shape).astype(dtype)


def _choose_size(low: int, high: int | None, wanted: int) -> int:
    return max(low, 1, min(wanted, high if high is not None else wanted))


def find_index_limits(model: Any) -> list[int | None]:
    """For each input of the graph how many values it may have where it is looked up in tables: the rows of the smallest."""
    return [_find_index_limit(port.get_node()) for port in model.inputs]


def _find_index_limit(parameter: Any) -> int | None:
    limits: list[int] = []
    seen: set[str] = set()
    waiting = [parameter.output(0)]
    while waiting:
        for consumer in waiting.pop().get_target_inputs():
            node, at = consumer.get_node(), consumer.get_index()
            kind = node.get_type_name()
            if kind in _LOOKUPS and _LOOKUPS[kind][0] == at:
                limits += _count_rows(node, _LOOKUPS[kind][1])
            elif kind in _PASSING and at == 0 and node.get_name() not in seen:
                seen.add(node.get_name())
                waiting.append(node.output(0))
    return min(limits, default=None)


def _count_rows(node: Any, axis: int | None) -> Iterator[int]:
    table = node.input_value(0).get_partial_shape()
    if axis is None:
        constant = node.input_value(2).get_node()
        if constant.get_type_name() != "Constant":
            return
        axis = int(np.asarray(constant.data).ravel()[0])
    if table.rank.is_static and table[axis].is_static:
        yield int(table[axis].get_length())
