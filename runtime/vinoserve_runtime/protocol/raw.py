"""Tensors as raw bytes: the binary extension of REST, `raw_input_contents` of gRPC. Little-endian, row-major."""

from math import prod
from struct import Struct
from typing import Final

import numpy as np

from vinoserve_runtime.protocol.errors import InvalidRequestError
from vinoserve_runtime.tensors import NUMPY_DTYPES, Array

LENGTH: Final = Struct("<I")


def array_from_raw(where: str, datatype: str, shape: tuple[int, ...], raw: memoryview) -> Array:
    """A C-contiguous array over `raw`; a copy only where the bytes aren't aligned for the datatype.

    Raises InvalidRequestError, headed by `where`, unless `raw` holds exactly as many elements as `shape` says.
    """
    count = prod(shape)
    if datatype == "BYTES":
        return _from_prefixed(where, shape, count, raw)
    dtype = NUMPY_DTYPES[datatype]
    if len(raw) != count * dtype.itemsize:
        raise InvalidRequestError(
            f"{where}: {len(raw)} bytes of binary data, but {datatype} of shape {list(shape)} takes "
            f"{count * dtype.itemsize}"
        )
    if count == 0:
        return np.empty(shape, dtype)
    if datatype == "BOOL" and (np.frombuffer(raw, np.uint8) > 1).any():
        raise InvalidRequestError(f"{where}: the bytes of a BOOL are 0 or 1")
    values = np.frombuffer(raw, dtype).reshape(shape)
    return values if values.flags.aligned else values.copy()


def raw_from_array(datatype: str, values: Array) -> memoryview:
    """The bytes of an array, without a copy where it is C-contiguous; BYTES with their lengths before them."""
    if datatype == "BYTES":
        return memoryview(
            b"".join(LENGTH.pack(len(element)) + element for element in values.reshape(-1).tolist())
        )
    if not values.flags.c_contiguous:
        values = np.ascontiguousarray(values)
    return values.reshape(-1).view(np.uint8).data


def _from_prefixed(where: str, shape: tuple[int, ...], count: int, raw: memoryview) -> Array:
    if count * LENGTH.size > len(raw):
        raise InvalidRequestError(
            f"{where}: {len(raw)} bytes of binary data are too few for {count} BYTES elements with their lengths"
        )
    values = np.empty(count, np.object_)
    offset = 0
    for index in range(count):
        start = offset + LENGTH.size
        if start > len(raw):
            raise InvalidRequestError(f"{where}: the binary data ends before element {index} of {count}")
        offset = start + LENGTH.unpack_from(raw, offset)[0]
        if offset > len(raw):
            raise InvalidRequestError(
                f"{where}: element {index} is said to be {offset - start} bytes long, but {len(raw) - start} are left"
            )
        values[index] = bytes(raw[start:offset])
    if offset != len(raw):
        raise InvalidRequestError(
            f"{where}: {len(raw) - offset} bytes of binary data are left over after {count} elements"
        )
    return values.reshape(shape)
