"""What a frame must be like, whatever the state of the connection (RFC 9113, 4.2 and 6)."""

from typing import Final

from vinoserve_runtime.http2.blocks import MAX_BLOCK_BYTES
from vinoserve_runtime.http2.errors import ConnectionFault, ErrorCode
from vinoserve_runtime.http2.frames import (
    CONTINUATION,
    DATA,
    GOAWAY,
    HEADERS,
    PADDED,
    PING,
    PRIORITY,
    PUSH_PROMISE,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    WITH_PRIORITY,
)
from vinoserve_runtime.http2.settings import FRAME_BYTES

_SIZES: Final = {RST_STREAM: 4, PING: 8, WINDOW_UPDATE: 4}
_OF_THE_CONNECTION: Final = frozenset({SETTINGS, PING, GOAWAY})
_OF_STREAMS: Final = frozenset({DATA, HEADERS, PRIORITY, RST_STREAM, CONTINUATION})
_GOAWAY_BYTES: Final = 8
_PRIORITY_BYTES: Final = 5


def check_frame(kind: int, length: int, ident: int) -> None:
    """By its header alone. Raises ConnectionFault."""
    if length > FRAME_BYTES:
        raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, f"a frame is longer than {FRAME_BYTES} bytes")
    if kind == PUSH_PROMISE:
        raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "clients don't push")
    if (ident and kind in _OF_THE_CONNECTION) or (not ident and kind in _OF_STREAMS):
        raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, f"a frame of type {kind} on stream {ident}")
    if length != _SIZES.get(kind, length) or (kind == GOAWAY and length < _GOAWAY_BYTES):
        raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, f"a frame of type {kind} with {length} bytes")
    if kind != DATA and length > MAX_BLOCK_BYTES:
        raise ConnectionFault(
            ErrorCode.ENHANCE_YOUR_CALM, f"a frame other than DATA is longer than {MAX_BLOCK_BYTES} bytes"
        )


def strip_headers(flags: int, payload: bytes) -> bytes:
    """HEADERS without padding and priority. Raises ConnectionFault."""
    start = padding = 0
    if flags & PADDED:
        if not payload:
            raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "padding without its length")
        start, padding = 1, payload[0]
    if flags & WITH_PRIORITY:
        start += _PRIORITY_BYTES
    if start + padding > len(payload):
        raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "more padding than HEADERS")
    return payload[start : len(payload) - padding]
