"""Raw tensors out of a request's bytes, where they are: protobuf would copy each of them twice."""

from typing import Final

LARGE_BYTES: Final = 64 << 10
"""Smaller messages are copied sooner than walked through."""
MAX_FIELDS: Final = 256
"""No sensible request has more; this many are walked through in a moment."""

_RAW: Final = (7 << 3) | 2
"""The tag of ModelInferRequest.raw_input_contents."""
_FIXED_BYTES: Final = {1: 8, 5: 4}


def split_raw(message: bytes) -> tuple[bytes, list[memoryview]]:
    """The message without its raw_input_contents, and these as views of it; all of it, and none, where it is small or odd.

    What is odd is left for protobuf to judge (https://protobuf.dev/programming-guides/encoding/).
    """
    if len(message) < LARGE_BYTES:
        return message, []
    view = memoryview(message)
    raws: list[memoryview] = []
    rest: list[memoryview] = []
    position = 0
    try:
        for _ in range(MAX_FIELDS):
            start = position
            tag, position = _read_varint(message, position)
            if tag & 7 == 2:
                length, position = _read_varint(message, position)
                position += length
            elif tag & 7 == 0:
                position = _read_varint(message, position)[1]
            else:
                position += _FIXED_BYTES[tag & 7]
            if position > len(message):
                return message, []
            if tag == _RAW:
                raws.append(view[position - length : position])
            else:
                rest.append(view[start:position])
            if position == len(message):
                return b"".join(rest), raws
    except (IndexError, KeyError):
        pass
    return message, []


def _read_varint(message: bytes, position: int) -> tuple[int, int]:
    """The number, and where it ends. Raises IndexError where it doesn't, or is too long."""
    value = 0
    for shift in range(0, 64, 7):
        byte = message[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
    raise IndexError
