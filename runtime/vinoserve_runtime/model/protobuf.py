"""Just enough of protobuf's wire format to look into a model's file: which fields it has, without reading the weights."""

import mmap
from collections.abc import Iterator
from typing import Final

Span = tuple[int, int]
"""Where a message begins and ends in its file."""

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_LONGEST_VARINT: Final = 70


def fields(data: mmap.mmap, span: Span, *wanted: int) -> Iterator[tuple[int, Span]]:
    """(number, span) of the wanted length-delimited fields of the message at `span`; the others are stepped over.

    Raises ValueError or IndexError where the bytes are no message.
    """
    at, end = span
    while at < end:
        tag, at = _varint(data, at)
        number, kind = tag >> 3, tag & 7
        if number == 0:
            raise ValueError("field 0")
        if kind == _BYTES:
            size, at = _varint(data, at)
            if at + size > end:
                raise ValueError("a field that ends after its message")
            if number in wanted:
                yield number, (at, at + size)
            at += size
        elif kind == _VARINT:
            _, at = _varint(data, at)
        elif kind in (_FIXED64, _FIXED32):
            at += 8 if kind == _FIXED64 else 4
        else:
            raise ValueError(f"wire type {kind}")


def _varint(data: mmap.mmap, at: int) -> tuple[int, int]:
    value = shift = 0
    while shift < _LONGEST_VARINT:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
    raise ValueError("a varint without an end")
