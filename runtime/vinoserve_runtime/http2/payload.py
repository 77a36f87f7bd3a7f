"""DATA as it comes: flow control for what clients send, and a frame's content before the frame is whole (RFC 9113, 5.2 and 6.1)."""

from typing import Final

from vinoserve_runtime.http2.errors import ConnectionFault, ErrorCode
from vinoserve_runtime.http2.frames import END_STREAM, PADDED, make_window_update
from vinoserve_runtime.http2.guard import Guard
from vinoserve_runtime.http2.outlet import Outlet
from vinoserve_runtime.http2.settings import CONNECTION_WINDOW
from vinoserve_runtime.http2.stream import Stream

TINY_BYTES: Final = 16
"""DATA of less is noise, unless it ends the stream."""
CREDIT_STEP: Final = CONNECTION_WINDOW // 2


class Payload:
    """Of one connection. `credit`: what the client may still send on it; `left`: what is missing of the frame's content."""

    def __init__(self, outlet: Outlet, guard: Guard) -> None:
        self._outlet = outlet
        self._guard = guard
        self.credit = CONNECTION_WINDOW
        self.uncredited = 0
        self.left = 0
        self._pad = 0
        self._ends = False
        self._stream: Stream | None = None

    @property
    def is_open(self) -> bool:
        """Within a frame."""
        return bool(self.left or self._pad)

    def take_credit(self, stream: Stream | None, length: int) -> None:
        """For a frame. Raises ConnectionFault where that is more than the client was given."""
        self.credit -= length
        if self.credit < 0:
            raise ConnectionFault(ErrorCode.FLOW_CONTROL_ERROR, "more DATA than the connection's window")
        if stream is not None:
            stream.credit -= length
            if stream.credit < 0:
                raise ConnectionFault(ErrorCode.FLOW_CONTROL_ERROR, "more DATA than the stream's window")

    def add_credit(self, size: int) -> None:
        """The client may send so much more, on whichever stream."""
        self.uncredited += size
        if self.uncredited >= CREDIT_STEP:
            self.credit += self.uncredited
            self._outlet.write(make_window_update(0, self.uncredited))
            self.uncredited = 0

    def begin(self, stream: Stream | None, length: int, flags: int, padding: int) -> None:
        """A frame of `length` bytes; `stream`: None where nobody wants it. `padding`: with the byte that tells its length."""
        self.take_credit(stream, length)
        if padding:
            self._guard.hear_noise()
            self.add_credit(padding)
            if stream is not None:
                stream.extend(padding)  # nobody else gives it back
        elif length < TINY_BYTES and not flags & END_STREAM:
            self._guard.hear_noise()
        self.left, self._pad = length - padding, max(padding - 1, 0)
        self._stream = stream
        self._ends = bool(flags & END_STREAM)
        if not self.left:
            self._end()

    def go_on(self, data: bytes, position: int) -> int:
        """With what has come of the frame; where it goes on from there."""
        if self.left:
            piece = data[position : position + self.left]
            position += len(piece)
            self.left -= len(piece)
            stream = self._stream
            if stream is None:
                self.add_credit(len(piece))
            elif piece:
                stream.receiver.receive(piece, ended=False)
                stream.account(len(piece))
            if not self.left:
                self._end()
        if not self.left:
            skipped = min(self._pad, len(data) - position)
            position += skipped
            self._pad -= skipped
        return position

    def get_buffer(self) -> memoryview | None:
        """Where the next bytes may be put at once."""
        if self._stream is None or not self.left:
            return None
        view = self._stream.receiver.get_buffer()
        return None if view is None else view[: self.left]

    def received(self, size: int) -> None:
        """So much was put there."""
        stream = self._stream
        if stream is not None:
            self.left -= size
            stream.receiver.received(size)
            stream.account(size)
            if not self.left:
                self._end()

    def forget(self, stream: Stream) -> None:
        """It is over; what still comes on it is dropped."""
        if stream is self._stream:
            self._stream = None

    def _end(self) -> None:
        stream, self._stream = self._stream, None
        if stream is not None and self._ends:
            stream.ended = True
            stream.receiver.receive(b"", ended=True)


def read_padding(data: bytes, start: int, length: int, flags: int) -> int | None:
    """How many bytes of a DATA frame are no content; None where that hasn't come yet. Raises ConnectionFault."""
    if not flags & PADDED:
        return 0
    if not length:
        raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "padded DATA without the length of the padding")
    if start >= len(data):
        return None
    padding = data[start] + 1
    if padding > length:
        raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "more padding than DATA")
    return padding
