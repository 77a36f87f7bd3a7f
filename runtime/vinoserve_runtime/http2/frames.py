"""HTTP/2's frames as bytes (RFC 9113, 4 and 6); what they mean together is the connection's business."""

from collections.abc import Iterable
from struct import Struct
from typing import Final

from vinoserve_runtime.http2.errors import ErrorCode

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
HEADER_BYTES: Final = 9

DATA: Final = 0x0
HEADERS: Final = 0x1
PRIORITY: Final = 0x2
RST_STREAM: Final = 0x3
SETTINGS: Final = 0x4
PUSH_PROMISE: Final = 0x5
PING: Final = 0x6
GOAWAY: Final = 0x7
WINDOW_UPDATE: Final = 0x8
CONTINUATION: Final = 0x9

END_STREAM: Final = 0x1
ACK: Final = 0x1
END_HEADERS: Final = 0x4
PADDED: Final = 0x8
WITH_PRIORITY: Final = 0x20

NUMBER: Final = Struct(">I")
HEADER: Final = Struct(">IBI")
"""Length and type in one number (`length << 8 | type`), flags, stream: fewer numbers are read and written faster."""
STREAM_MASK: Final = 0x7FFFFFFF
"""The bit above is reserved, and ignored."""
LEAST_FRAME_BYTES: Final = 1 << 14
"""So long a frame every peer takes,"""
MOST_FRAME_BYTES: Final = (1 << 24) - 1
"""and none takes a longer one than this."""

_SETTING: Final = Struct(">HI")
_MAX_DEBUG_BYTES: Final = 512


def make_frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return HEADER.pack(len(payload) << 8 | kind, flags, stream) + payload


def make_settings(values: Iterable[tuple[int, int]]) -> bytes:
    return make_frame(SETTINGS, 0, 0, b"".join(_SETTING.pack(*value) for value in values))


def make_window_update(stream: int, increment: int) -> bytes:
    """`stream` 0: the connection's window."""
    return make_frame(WINDOW_UPDATE, 0, stream, NUMBER.pack(increment))


def make_rst_stream(stream: int, code: ErrorCode) -> bytes:
    return make_frame(RST_STREAM, 0, stream, NUMBER.pack(code))


def make_goaway(last_stream: int, code: ErrorCode, reason: str = "") -> bytes:
    """Streams above `last_stream` were not looked at."""
    debug = reason.encode()[:_MAX_DEBUG_BYTES]
    return make_frame(GOAWAY, 0, 0, NUMBER.pack(last_stream) + NUMBER.pack(code) + debug)


def read_number(payload: bytes, offset: int = 0) -> int:
    """Four bytes."""
    number: int = NUMBER.unpack_from(payload, offset)[0]
    return number


def read_settings(payload: bytes) -> list[tuple[int, int]]:
    """`payload`: whole ones, of six bytes each."""
    return list(_SETTING.iter_unpack(payload))
