"""What goes out on a connection: as much as the client's windows and the socket take, each stream in turn (RFC 9113, 5.2)."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from vinoserve_runtime.http2.errors import ConnectionFault, ErrorCode
from vinoserve_runtime.http2.frames import LEAST_FRAME_BYTES
from vinoserve_runtime.http2.guard import Guard
from vinoserve_runtime.http2.settings import DEFAULT_WINDOW, FRAME_BYTES, LARGEST_WINDOW

if TYPE_CHECKING:
    from vinoserve_runtime.http2.stream import Stream

Buffer = bytes | memoryview

STALL_SECONDS: Final = 60.0
STALL_BYTES: Final = 64 << 10
"""In any STALL_SECONDS a client must take this much of an answer, or the rest of it."""
QUANTUM: Final = 256 << 10
"""Of one stream's message, before others have their turn."""


class Outlet:
    """`write` and `write_pieces` are the transport's."""

    def __init__(
        self,
        write: Callable[[bytes], None],
        write_pieces: Callable[[Sequence[Buffer]], None],
        guard: Guard,
    ) -> None:
        self.write = write
        self.write_pieces = write_pieces
        self.window = DEFAULT_WINDOW
        self.initial_window = DEFAULT_WINDOW
        """Of new streams."""
        self.frame_size = LEAST_FRAME_BYTES
        self.is_paused = False
        """The client doesn't read what was written."""
        self.blocked: dict[Stream, None] = {}
        """They have more to send."""
        self._guard = guard

    def reply(self, frame: bytes) -> None:
        """A frame that the client can ask for without limit. Raises ConnectionFault where it doesn't read them."""
        if self.is_paused:
            self._guard.count_unread_reply()
        self.write(frame)

    def resume(self) -> None:
        self.is_paused = False
        self._guard.replies_are_read()
        self.pump()

    def widen(self, size: int) -> None:
        """The client takes so much more on this connection. Raises ConnectionFault where that can't be."""
        if not size:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "WINDOW_UPDATE by nothing")
        self.window += size
        if self.window > LARGEST_WINDOW:
            raise ConnectionFault(ErrorCode.FLOW_CONTROL_ERROR, "the connection's window is too large")
        self.pump()

    def set_up(self, window: int | None, frame: int | None, streams: "Sequence[Stream]") -> None:
        """By the client's SETTINGS; `streams`: those that are open. Raises ConnectionFault."""
        if frame is not None:
            self.frame_size = min(frame, FRAME_BYTES)
        if window is None:
            return
        more = window - self.initial_window
        self.initial_window = window
        for stream in streams:
            stream.window += more
            if stream.window > LARGEST_WINDOW:
                raise ConnectionFault(ErrorCode.FLOW_CONTROL_ERROR, "a stream's window is too large")
        if more > 0:
            self.pump()

    def pump(self) -> None:
        moved = True
        while moved and self.blocked and not self.is_paused:
            moved = False
            for stream in list(self.blocked):
                moved |= stream.pump(QUANTUM)

    def find_stalled(self, now: float) -> "list[Stream]":
        """Once a second: streams whose clients have not taken enough for too long."""
        stalled = []
        for stream in self.blocked:
            if stream.marked_at is None or stream.sent - stream.marked_sent >= STALL_BYTES:
                stream.marked_at, stream.marked_sent = now, stream.sent
            elif now - stream.marked_at >= STALL_SECONDS:
                stalled.append(stream)
        return stalled
