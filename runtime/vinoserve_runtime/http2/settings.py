"""SETTINGS: what we tell clients, and what they may tell us (RFC 9113, 6.5)."""

from typing import Final

from vinoserve_runtime.http2.blocks import MAX_LIST_BYTES
from vinoserve_runtime.http2.errors import ConnectionFault, ErrorCode
from vinoserve_runtime.http2.frames import (
    LEAST_FRAME_BYTES,
    MOST_FRAME_BYTES,
    make_settings,
    make_window_update,
    read_settings,
)

ENABLE_PUSH: Final = 0x2
MAX_CONCURRENT_STREAMS: Final = 0x3
INITIAL_WINDOW_SIZE: Final = 0x4
MAX_FRAME_SIZE: Final = 0x5
MAX_HEADER_LIST_SIZE: Final = 0x6

DEFAULT_WINDOW: Final = (1 << 16) - 1
LARGEST_WINDOW: Final = (1 << 31) - 1

MAX_STREAMS: Final = 1024
"""At once on one connection. Each may be a request that waits in the queue."""
STREAM_WINDOW: Final = 256 << 10
"""What may come on a stream before anybody has asked for more."""
CONNECTION_WINDOW: Final = 1 << 20
"""On all streams together: so much may be here for which nobody has room."""
FRAME_BYTES: Final = 1 << 20
"""Long frames are read from the socket into their place."""

GREETING: Final = make_settings(
    [
        (MAX_CONCURRENT_STREAMS, MAX_STREAMS),
        (INITIAL_WINDOW_SIZE, STREAM_WINDOW),
        (MAX_FRAME_SIZE, FRAME_BYTES),
        (MAX_HEADER_LIST_SIZE, MAX_LIST_BYTES),
    ]
) + make_window_update(0, CONNECTION_WINDOW - DEFAULT_WINDOW)
"""What the server says first."""


def read_peer_settings(payload: bytes) -> tuple[int | None, int | None]:
    """The client's INITIAL_WINDOW_SIZE and MAX_FRAME_SIZE, None where it says nothing of them.

    Raises ConnectionFault where a value can't be.
    """
    if len(payload) % 6:
        raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "SETTINGS are six bytes each")
    window = frame = None
    for name, value in read_settings(payload):
        if name == ENABLE_PUSH and value > 1:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "ENABLE_PUSH is 0 or 1")
        if name == INITIAL_WINDOW_SIZE:
            if value > LARGEST_WINDOW:
                raise ConnectionFault(ErrorCode.FLOW_CONTROL_ERROR, "INITIAL_WINDOW_SIZE is too large")
            window = value
        elif name == MAX_FRAME_SIZE:
            if not LEAST_FRAME_BYTES <= value <= MOST_FRAME_BYTES:
                raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "MAX_FRAME_SIZE is out of range")
            frame = value
    return window, frame
