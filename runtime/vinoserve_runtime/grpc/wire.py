"""Raw tensors in a request's bytes, where they are: protobuf would copy each of them twice."""

from collections.abc import Iterator
from typing import Final

LARGE_BYTES: Final = 64 << 10
"""Smaller messages are copied sooner than walked through."""
MAX_FIELDS: Final = 256
"""No sensible request has more; this many are walked through in a moment."""

_RAW: Final = (7 << 3) | 2
"""The tag of ModelInferRequest.raw_input_contents."""
_FIXED_BYTES: Final = {1: 8, 5: 4}


def split_raw(message: bytes | memoryview) -> tuple[bytes | memoryview, list[memoryview]]:
    """The message without its raw_input_contents, and these as views of it; all of it, and none, where it is small or odd."""
    if len(message) < LARGE_BYTES:
        return message, []
    view = memoryview(message)
    raws: list[memoryview] = []
    rest: list[memoryview] = []
    try:
        for tag, start, content, end in _walk(message, len(message)):
            if tag == _RAW:
                raws.append(view[content:end])
            else:
                rest.append(view[start:end])
    except ValueError:
        return message, []
    return b"".join(rest), raws


def locate_raw(message: bytes | memoryview) -> list[tuple[int, int]]:
    """Where each of the raw_input_contents begins and ends; none where the message is odd."""
    try:
        return [(content, end) for tag, _, content, end in _walk(message, len(message)) if tag == _RAW]
    except ValueError:
        return []


def find_raw(begun: bytes) -> int:
    """Where, in a message that begins like that, the first of its raw_input_contents lies; 0 where that isn't seen."""
    try:
        return next((content for tag, _, content, _ in _walk(begun, None) if tag == _RAW), 0)
    except ValueError:
        return 0


def make_field(number: int, length: int) -> bytes:
    """What a field of `length` bytes begins with."""
    return _make_varint(number << 3 | 2) + _make_varint(length)


def _walk(message: bytes | memoryview, size: int | None) -> Iterator[tuple[int, int, int, int]]:
    """Each field's tag, and where it, its content and what follows begin; `size`: None where more of the message comes.

    Raises ValueError where the message is odd; that is left for protobuf to judge (https://protobuf.dev/programming-guides/encoding/).
    """
    position = 0
    for _ in range(MAX_FIELDS):
        if position == size:
            return
        start = position
        tag, position = _read_varint(message, position)
        content = position
        if tag & 7 == 2:
            length, content = _read_varint(message, position)
            position = content + length
        elif tag & 7 == 0:
            position = _read_varint(message, position)[1]
        elif tag & 7 in _FIXED_BYTES:
            position += _FIXED_BYTES[tag & 7]
        else:
            raise ValueError("a field of unknown kind")
        if size is not None and position > size:
            raise ValueError("a field is longer than the message")
        yield tag, start, content, position
    if position != size:
        raise ValueError("too many fields")


def _read_varint(message: bytes | memoryview, position: int) -> tuple[int, int]:
    """The number, and where it ends. Raises ValueError where it doesn't, or is too long."""
    value = 0
    for shift in range(0, 64, 7):
        if position >= len(message):
            break
        byte = message[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
    raise ValueError("a number doesn't end")


def _make_varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
