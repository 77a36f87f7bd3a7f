"""A connection on an event loop: the socket, and the clocks.

The transport reads into one buffer of the server's, or straight into the place of a large message.
"""

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, cast

import structlog

from vinoserve_runtime.http2.connection import Connection
from vinoserve_runtime.http2.errors import ConnectionFault, ErrorCode
from vinoserve_runtime.http2.outlet import Buffer
from vinoserve_runtime.http2.stream import JOINED_BYTES

if TYPE_CHECKING:
    from vinoserve_runtime.http2.server import Server

HANDSHAKE_SECONDS: Final = 10.0
"""For the client's preface and its SETTINGS."""
PING_SECONDS: Final = 60.0
"""A client from which nothing came is asked whether it is there,"""
PONG_SECONDS: Final = 20.0
"""and must answer."""
IDLE_SECONDS: Final = 600.0
"""Without a request."""
WRITE_STALL_SECONDS: Final = 60.0
LINGER_SECONDS: Final = 5.0
"""How long what a client still sends is read and dropped after the last word: closing at once would reset the connection,
and the client might never see why."""
WRITE_BUFFER_BYTES: Final = 1 << 20
DIRECT_BYTES: Final = 64 << 10
"""From this many missing bytes of a frame on, they are read straight into their place."""

_HTTP1: Final = (b"GET ", b"POST ", b"HEAD ", b"PUT ", b"DELETE ", b"OPTIONS ", b"PATCH ")
_NO_HTTP1: Final = b"This port speaks HTTP/2 alone.\n"
_HTTP1_ANSWER: Final = (
    b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nConnection: close\r\n"
    b"Content-Length: %d\r\n\r\n%b" % (len(_NO_HTTP1), _NO_HTTP1)
)

log = structlog.get_logger(__name__)


class Endpoint(asyncio.BufferedProtocol):
    def __init__(self, server: "Server[Any]") -> None:
        self._server = server
        self._loop = server.loop
        self._outbox = server.outbox
        self._space = server.space
        self._connection: Connection[Any] = cast("Connection[Any]", None)
        self._transport: asyncio.Transport = cast("asyncio.Transport", None)
        self._direct = False
        self._began = False
        self._gone = False
        """Nothing is written any more."""
        self._is_lingering = False
        self._deadline = 0.0
        self._heard = True
        self._heard_at = self._active_at = 0.0
        self._last_stream = 0
        self._pings = 0
        self._pinged_at: float | None = None
        self._unwritten = 0
        self._unwritten_at: float | None = None

    # ---- the transport calls ----

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=WRITE_BUFFER_BYTES)
        self._heard_at = self._active_at = now = self._loop.time()
        self._deadline = now + HANDSHAKE_SECONDS
        self._connection = Connection(
            self._server.application, self._server.application.interpret, self._write, self._write_pieces
        )
        if not self._server.add(self):
            self._fail(ConnectionFault(ErrorCode.ENHANCE_YOUR_CALM, "too many connections"))

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - as much as there may come
        place = self._connection.get_buffer()
        if place is not None and len(place) >= DIRECT_BYTES and not self._is_lingering:
            self._direct = True
            return place
        self._direct = False
        return self._space

    def buffer_updated(self, nbytes: int) -> None:
        self._heard = True
        if self._is_lingering:
            return
        try:
            if self._direct:
                self._connection.received(nbytes)
            else:
                data = bytes(self._space[:nbytes])
                if not self._began:
                    self._began = True
                    if data.startswith(_HTTP1):
                        self._write(_HTTP1_ANSWER)
                        self._linger()
                        return
                self._connection.receive(data)
            self._server.application.settle()
        except ConnectionFault as fault:
            self._fail(fault)
        except Exception:
            log.exception("connection failed")
            self._fail(ConnectionFault(ErrorCode.INTERNAL_ERROR, "internal error"))
        else:
            self._check_end()

    def eof_received(self) -> None:
        """Who has closed one side waits for no answers, among gRPC's clients; the transport closes."""
        self._outbox.send(self._transport)

    def pause_writing(self) -> None:
        self._connection.pause()

    def resume_writing(self) -> None:
        self._unwritten_at = None
        self._connection.resume()
        self._check_end()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        self._gone = self._is_lingering = True
        self._connection.close()
        self._server.discard(self)

    # ---- the server calls ----

    def check(self, now: float) -> None:
        """Once a second: acts where a deadline has passed."""
        connection = self._connection
        if self._is_lingering:
            if now >= self._deadline:
                self._transport.abort()
            return
        if not connection.is_ready:
            if now >= self._deadline:
                self._fail(ConnectionFault(ErrorCode.SETTINGS_TIMEOUT, "no SETTINGS came"))
            return
        connection.check(now)
        self._check_end()
        if connection.is_paused:
            self._check_writing(now)
        if connection.streams or connection.last_stream != self._last_stream:
            self._last_stream = connection.last_stream
            self._active_at = now
        elif now - self._active_at >= IDLE_SECONDS:
            self.shut_down()
        if self._heard:
            self._heard = False
            self._heard_at = now
            self._pinged_at = None
        elif self._pinged_at is not None:
            if now - self._pinged_at >= PONG_SECONDS:
                self._transport.abort()
        elif now - self._heard_at >= PING_SECONDS:
            self._pinged_at = now
            connection.ping()

    def shut_down(self) -> None:
        """Opens no more streams, and closes when those that are open are answered."""
        if not self._is_lingering:
            self._connection.end()
            self._check_end()

    def abort(self) -> None:
        self._transport.abort()

    # ---- details ----

    def _check_writing(self, now: float) -> None:
        unwritten = self._transport.get_write_buffer_size()
        if self._unwritten_at is None or unwritten < self._unwritten:
            self._unwritten_at, self._unwritten = now, unwritten
        elif now - self._unwritten_at >= WRITE_STALL_SECONDS:
            self._transport.abort()

    def _check_end(self) -> None:
        if self._connection.is_ending and not self._connection.streams and not self._is_lingering:
            self._linger()

    def _fail(self, fault: ConnectionFault) -> None:
        if self._is_lingering:
            return
        self._connection.fail(fault)
        self._linger()

    def _linger(self) -> None:
        """The last word is said."""
        self._is_lingering = True
        self._connection.close()
        self._deadline = self._loop.time() + LINGER_SECONDS
        if self._gone or self._transport.is_closing():
            return
        self._gone = True
        self._outbox.send(self._transport)
        self._transport.write_eof()

    def _write(self, data: bytes) -> None:
        if not self._gone:
            self._outbox.put(self._transport, data)

    def _write_pieces(self, pieces: Sequence[Buffer]) -> None:
        if self._gone:
            return
        if sum(map(len, pieces)) <= JOINED_BYTES:
            self._outbox.put(self._transport, b"".join(pieces))
        else:
            self._outbox.send(self._transport)
            self._transport.writelines(pieces)
