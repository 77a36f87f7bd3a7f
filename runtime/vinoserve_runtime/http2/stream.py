"""One stream: what may still come on it, and what waits to be sent on it (RFC 9113, 5 and 6.9)."""

from collections import deque
from collections.abc import Sequence
from typing import Final, Protocol, TypeVar

from vinoserve_runtime.http2.errors import ErrorCode
from vinoserve_runtime.http2.frames import DATA, END_HEADERS, END_STREAM, HEADER, HEADERS, make_window_update
from vinoserve_runtime.http2.outlet import Buffer, Outlet
from vinoserve_runtime.http2.settings import LARGEST_WINDOW, STREAM_WINDOW

_T_contra = TypeVar("_T_contra", contravariant=True)

JOINED_BYTES: Final = 64 << 10
"""Longer responses are not copied into one piece."""
_DATA_FLAGS: Final = 0
_HEADERS_END: Final = END_HEADERS | END_STREAM


class Receiver(Protocol):
    """What the application has for a stream."""

    def receive(self, data: bytes, ended: bool) -> None:
        """More of the request's body. `ended`: nothing comes after it."""
        ...

    def get_buffer(self) -> memoryview | None:
        """Where what comes next may be put at once, None where it shall be given to `receive`."""
        ...

    def received(self, size: int) -> None:
        """So much was put into `get_buffer()`."""
        ...

    def sent(self) -> None:
        """All that had to wait was sent."""
        ...

    def closed(self) -> None:
        """The stream is over, in whatever way; said once, and last."""
        ...


class Nobody:
    """The receiver of a stream that is over."""

    def receive(self, data: bytes, ended: bool) -> None: ...

    def get_buffer(self) -> memoryview | None:
        return None

    def received(self, size: int) -> None: ...

    def sent(self) -> None: ...

    def closed(self) -> None: ...


NOBODY: Final = Nobody()


class Owner(Protocol):
    """The connection that a stream is on."""

    def add_credit(self, size: int) -> None:
        """The client may send so much more, on whichever stream."""
        ...

    def all_said(self, stream: "Stream") -> None: ...

    def reset(self, stream: "Stream", code: ErrorCode) -> None: ...


class Stream:
    """`window`: what the client takes; `credit`: what it may send; `ended`: it has sent its last.

    Responses go out in the order in which they are handed over, as soon as the windows and the socket take them.
    """

    __slots__ = (
        "_connection",
        "_held",
        "_holding",
        "_out",
        "_outlet",
        "credit",
        "ended",
        "id",
        "marked_at",
        "marked_sent",
        "pending",
        "receiver",
        "sent",
        "window",
    )

    def __init__(self, connection: Owner, outlet: Outlet, ident: int, *, ended: bool) -> None:
        self._connection = connection
        self._outlet = outlet
        self._out: deque[Buffer | tuple[int, bytes]] | None = None
        self._held = 0
        self._holding = False
        self.id = ident
        self.window = outlet.initial_window
        self.credit = STREAM_WINDOW
        self.ended = ended
        self.receiver: Receiver = NOBODY
        self.pending = 0
        """Bytes of messages that wait to be sent."""
        self.sent = 0
        self.marked_sent = 0
        self.marked_at: float | None = None

    # ---- out ----

    def respond(self, head: bytes, body: Sequence[Buffer], size: int, trailers: bytes) -> None:
        """All of a response, at once: header block, the `size` bytes of `body`, and the block of the trailers."""
        outlet = self._outlet
        if (
            size <= self.window
            and size <= outlet.window
            and size <= outlet.frame_size
            and size <= JOINED_BYTES
            and not outlet.is_paused
        ):
            self.window -= size
            outlet.window -= size
            pack, ident = HEADER.pack, self.id
            outlet.write(
                b"".join(
                    (
                        pack(len(head) << 8 | HEADERS, END_HEADERS, ident),
                        head,
                        pack(size << 8 | DATA, _DATA_FLAGS, ident),
                        *body,
                        pack(len(trailers) << 8 | HEADERS, _HEADERS_END, ident),
                        trailers,
                    )
                )
            )
            self._connection.all_said(self)
            return
        self._queue((END_HEADERS, head), *body, (_HEADERS_END, trailers))

    def send_headers(self, block: bytes, *, end: bool = False) -> None:
        """`end`: nothing follows."""
        self._queue((_HEADERS_END if end else END_HEADERS, block))

    def send(self, *pieces: Buffer) -> None:
        self._queue(*pieces)

    def reset(self, code: ErrorCode) -> None:
        """Ends it at once; what waits to be sent is dropped."""
        self._connection.reset(self, code)

    def _queue(self, *items: Buffer | tuple[int, bytes]) -> None:
        if self._out is None:
            self._out = deque()
        for item in items:
            if type(item) is tuple:
                self._out.append(item)
            elif len(item):
                self._out.append(item)
                self.pending += len(item)
        self.pump(LARGEST_WINDOW)

    def pump(self, most: int) -> bool:
        """Sends what may be sent, `most` bytes of messages; whether that was anything."""
        outlet, out = self._outlet, self._out
        pieces: list[Buffer] = []
        said_all = False
        pack, ident = HEADER.pack, self.id
        while out and not outlet.is_paused:
            item = out[0]
            if isinstance(item, tuple):
                flags, block = item
                pieces += (pack(len(block) << 8 | HEADERS, flags, ident), block)
                said_all = flags == _HEADERS_END
                out.popleft()
                continue
            size = min(len(item), self.window, outlet.window, outlet.frame_size, most)
            if size <= 0:
                break
            pieces += (pack(size << 8 | DATA, _DATA_FLAGS, ident), memoryview(item)[:size])
            if size == len(item):
                out.popleft()
            else:
                out[0] = memoryview(item)[size:]
            most -= size
            self.window -= size
            outlet.window -= size
            self.pending -= size
            self.sent += size
        waits = bool(out)
        if waits:
            outlet.blocked[self] = None
        else:
            outlet.blocked.pop(self, None)
            self.marked_at = None
        if pieces:
            outlet.write_pieces(pieces)
        if said_all:
            self._connection.all_said(self)
        elif not waits and pieces:
            self.receiver.sent()
        return bool(pieces)

    # ---- in ----

    def extend(self, size: int) -> None:
        """The client may send so much more than it may now."""
        self.credit += size
        self._outlet.write(make_window_update(self.id, size))

    def hold(self) -> None:
        """What comes counts against the connection's window until `release`: nobody has room for it."""
        self._holding = self.receiver is not NOBODY

    def release(self) -> None:
        self._holding = False
        if self._held:
            self._connection.add_credit(self._held)
            self._held = 0

    def account(self, size: int) -> None:
        """So much came."""
        if self._holding:
            self._held += size
        else:
            self._connection.add_credit(size)

    def close(self) -> None:
        """The connection calls; it is over."""
        if self._out is not None:
            self._outlet.blocked.pop(self, None)
            self._out = None
        self.release()
        self.pending = 0
        receiver, self.receiver = self.receiver, NOBODY
        receiver.closed()


class Application(Protocol[_T_contra]):
    def open(self, stream: Stream, request: _T_contra) -> None:
        """A request begins; sets `stream.receiver`."""
        ...
