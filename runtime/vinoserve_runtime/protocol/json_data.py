"""`data` of a JSON tensor to numpy and back.

`array.array` reads a list of Python numbers at the speed of numpy, but strictly: it refuses text and null, fractions
for integers and what is out of range, where numpy would convert them silently.
"""

from array import array
from base64 import b64decode
from collections.abc import Sequence
from itertools import chain
from math import prod
from typing import Any, Final

import numpy as np

from vinoserve_runtime.protocol.errors import InvalidRequestError
from vinoserve_runtime.protocol.signature import shown
from vinoserve_runtime.tensors import NUMPY_DTYPES, Array

NUMBERS: Final[dict[str, tuple[str, np.dtype[Any]]]] = {
    "INT8": ("b", np.dtype(np.int8)),
    "INT16": ("h", np.dtype(np.int16)),
    "INT32": ("i", np.dtype(np.int32)),
    "INT64": ("q", np.dtype(np.int64)),
    "UINT8": ("B", np.dtype(np.uint8)),
    "UINT16": ("H", np.dtype(np.uint16)),
    "UINT32": ("I", np.dtype(np.uint32)),
    "UINT64": ("Q", np.dtype(np.uint64)),
    "FP16": ("d", np.dtype(np.float64)),
    "BF16": ("f", np.dtype(np.float32)),
    "FP32": ("f", np.dtype(np.float32)),
    "FP64": ("d", np.dtype(np.float64)),
}
"""What each datatype is read as: array's type code, and the numpy type of the same layout."""
EXACT_IN_DOUBLE: Final = 1 << 53


def array_from_json(
    where: str, datatype: str, shape: tuple[int, ...], data: object, *, may_hold_booleans: bool
) -> Array:
    """A C-contiguous array of `shape` from a flat list in row-major order, or from lists nested as `shape` says.

    `where` heads the message of InvalidRequestError. `may_hold_booleans` False says that the JSON text has neither
    `true` nor `false` in it, which spares a look at each element.
    """
    if not isinstance(data, list):
        raise InvalidRequestError(f"{where}: data must be an array, not {shown(data)}")
    flat = _flatten(where, shape, data)
    if datatype == "BYTES":
        values = _from_text(where, flat)
    elif datatype == "BOOL":
        values = _from_booleans(where, flat)
    else:
        values = _from_numbers(where, datatype, flat, may_hold_booleans)
    return values.reshape(shape)


def from_base64(where: str, texts: Array) -> Array:
    """BYTES that came in base64, as they are. Raises InvalidRequestError, headed by `where`, for what isn't base64."""
    values = np.empty(texts.shape, np.object_)
    for index, text in enumerate(texts.flat):
        try:
            values.flat[index] = b64decode(text, validate=True)
        except ValueError:
            raise InvalidRequestError(
                f"{where}: data[{index}] is not base64, which JSON carries files in; encode it, or send it as binary data"
            ) from None
    return values


def json_from_array(where: str, datatype: str, values: Array) -> Array | list[str]:
    """What orjson writes as `data`: flat, in row-major order. Non-finite numbers become null.

    Raises InvalidRequestError where BYTES aren't UTF-8: JSON can't carry them, the binary extension can.
    """
    flat = (values if values.flags.c_contiguous else np.ascontiguousarray(values)).reshape(-1)
    if datatype == "BF16":
        return (flat.astype(np.uint32) << 16).view(np.float32)
    if datatype != "BYTES":
        return flat
    try:
        return [element.decode() for element in flat.tolist()]
    except UnicodeDecodeError:
        raise InvalidRequestError(
            f'{where}: holds bytes that are not UTF-8; ask for it with "binary_data": true'
        ) from None


def _flatten(where: str, shape: tuple[int, ...], data: list[Any]) -> list[Any]:
    count = prod(shape)
    if not data or type(data[0]) is not list:
        if len(data) != count:
            raise InvalidRequestError(
                f"{where}: data has {len(data)} elements, but shape {list(shape)} takes {count}"
            )
        return data
    level: list[Any] = [data]
    for size in shape:
        if level and set(map(type, level)) != {list}:
            raise InvalidRequestError(f"{where}: data is nested unevenly")
        if any(length != size for length in set(map(len, level))):
            raise InvalidRequestError(f"{where}: data is nested otherwise than shape {list(shape)}")
        level = list(chain.from_iterable(level))
    if level and type(level[0]) is list:
        raise InvalidRequestError(f"{where}: data is nested deeper than shape {list(shape)}")
    return level


def _from_numbers(where: str, datatype: str, flat: list[Any], may_hold_booleans: bool) -> Array:
    typecode, dtype = NUMBERS[datatype]
    if may_hold_booleans and bool in set(map(type, flat)):
        raise _wrong_element(where, datatype, flat)
    try:
        values: Array = np.frombuffer(array(typecode, flat), dtype)
    except (TypeError, OverflowError):
        whole = None if dtype.kind == "f" else _whole_numbers(flat)
        if whole is None:
            raise _wrong_element(where, datatype, flat) from None
        return _from_numbers(where, datatype, whole, may_hold_booleans=False)
    if dtype.kind != "f" or datatype == "FP64":
        return values
    if datatype == "FP16":
        with np.errstate(over="ignore"):
            values = values.astype(np.float16)
    # JSON has no infinite numbers: one that is infinite now was out of range.
    if not np.logical_and.reduce(np.isfinite(values)):  # as all(), without its detour through Python
        raise _wrong_element(where, datatype, flat)
    if datatype == "BF16":
        values = bfloat16_bits(values)
        if ((values & 0x7F80) == 0x7F80).any():
            raise _wrong_element(where, datatype, flat)
    return values


def bfloat16_bits(values: Array) -> Array:
    """float32 to bfloat16, rounded to nearest even, as raw bits; the values must be finite."""
    bits = values.view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)


def _from_booleans(where: str, flat: list[Any]) -> Array:
    try:
        values = np.frombuffer(bytes(flat), np.uint8)
    except (TypeError, ValueError):
        raise _wrong_element(where, "BOOL", flat) from None
    if (values > 1).any():
        raise _wrong_element(where, "BOOL", flat)
    return values.view(np.bool_)


def _from_text(where: str, flat: list[Any]) -> Array:
    if flat and set(map(type, flat)) != {str}:
        raise _wrong_element(where, "BYTES", flat)
    values = np.empty(len(flat), np.object_)
    values[:] = [text.encode() for text in flat]
    return values


def _whole_numbers(flat: Sequence[Any]) -> list[int] | None:
    """The same list with 2.0 written as 2, which JSON doesn't tell apart; None where that isn't all that is odd."""
    if not set(map(type, flat)) <= {int, float}:
        return None
    floats = [value for value in flat if type(value) is float]
    if not floats or any(not value.is_integer() or abs(value) > EXACT_IN_DOUBLE for value in floats):
        return None
    return [int(value) for value in flat]


def _wrong_element(where: str, datatype: str, flat: Sequence[Any]) -> InvalidRequestError:
    """Names the first element that `datatype` can't take."""
    for index, value in enumerate(flat):
        why = _why_wrong(datatype, value)
        if why is not None:
            return InvalidRequestError(f"{where}: data[{index}] is {shown(value)}, but {why}")
    return InvalidRequestError(f"{where}: data doesn't fit {datatype}")


def _why_wrong(datatype: str, value: object) -> str | None:
    if type(value) is list:
        return "the elements before it are not nested"
    if datatype == "BYTES":
        return None if type(value) is str else "BYTES takes strings"
    if datatype == "BOOL":
        return (
            None
            if type(value) is bool or (type(value) is int and value in {0, 1})
            else "BOOL takes true or false"
        )
    if type(value) is not int and type(value) is not float:
        return f"{datatype} takes numbers"
    if datatype in {"FP16", "BF16", "FP32", "FP64"}:
        return None if abs(value) < _float_limit(datatype) else f"that is out of range for {datatype}"
    if type(value) is float and not value.is_integer():
        return f"{datatype} takes whole numbers"
    limits = np.iinfo(NUMPY_DTYPES[datatype])
    if not limits.min <= value <= limits.max:
        return f"that is out of range for {datatype} ({limits.min} to {limits.max})"
    if type(value) is float and abs(value) > EXACT_IN_DOUBLE:
        return "a whole number of that size must be written without fraction or exponent"
    return None


def _float_limit(datatype: str) -> float:
    """The smallest number that rounds to infinity."""
    return {
        "FP16": 65520.0,
        "BF16": float.fromhex("0x1.ffp127"),
        "FP32": float.fromhex("0x1.ffffffp127"),
        "FP64": float("inf"),
    }[datatype]
