"""One client's connection: requests are answered one after the other, in the order in which they came.

What a client may cost is bounded: how long requests may take to arrive (receiver.py) and answers to be read, how many
requests it may send ahead of their turn, and how long the connection may idle.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Final, cast

from vinoserve_runtime.rest.body import BodyReceiver
from vinoserve_runtime.rest.coding import MOST_TIMES_SHORTER, compress, decompress
from vinoserve_runtime.rest.messages import STATUS_LINES, HttpError, Later, Request, Response, Route
from vinoserve_runtime.rest.receiver import HEADER_SECONDS, UNCOUNTED_BYTES, Receiver
from vinoserve_runtime.room import ROOM_SECONDS

if TYPE_CHECKING:
    from vinoserve_runtime.rest.server import Server

KEEP_ALIVE_SECONDS: Final = 75.0
WRITE_STALL_SECONDS: Final = 30.0
LINGER_SECONDS: Final = 5.0
"""How long what a refused client still sends is read and dropped: closing at once would reset the connection, and the
client might never see why."""

DIRECT_BYTES: Final = 64 << 10
"""From this many missing bytes on, the transport reads a body straight into its place."""
INLINE_CODING_BYTES: Final = 4 << 10
"""Longer bodies are (de)compressed in a thread."""
JOINED_BYTES: Final = 64 << 10
"""Longer responses are not copied into one piece."""


class Connection(asyncio.Protocol):
    def __init__(self, server: "Server") -> None:
        self._server = server
        self._app = server.app
        self._loop = server.loop
        self._transport: asyncio.Transport = cast("asyncio.Transport", None)
        self._outbox = server.outbox
        self._room = server.room
        self._receiver = Receiver(server.app, server.room, server.loop.time, self, server.heads)
        self._queue: deque[Request] = deque()
        self._request: Request | None = None
        """Being answered."""
        self._busy = False
        self._task: asyncio.Task[None] | None = None
        self._continue_owed = False
        self._has_answered = False
        """One of the requests that came with this read; the others wait for the loop's next turn."""
        self._next: asyncio.Handle | None = None
        """That turn."""
        self._ahead = False
        """Reading is paused: the client is ahead of its answers."""
        self._ended = False
        """The client has closed its side."""
        self._write_paused = False
        self._unwritten = 0
        self._closing = False
        self._deadline = 0.0
        """For the client to send a request, or to read an answer, or to close."""

    # ---- the transport calls ----

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._deadline = self._loop.time() + HEADER_SECONDS
        if not self._server.add(self):
            request = Request()
            request.refusal = HttpError(503, "too many connections", (b"Retry-After", b"1"))
            self.request_refused(request)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        self._server.discard(self)
        self._receiver.stop()
        self._closing = True
        self._drop_queue()
        if self._request is not None:
            self._release(self._request)
        if self._task is not None:
            self._task.cancel()

    def data_received(self, data: bytes) -> None:
        receiver = self._receiver
        self._has_answered = False
        receiver.feed(data)
        if receiver.body is not None and not receiver.stalled:
            self._receive_directly()
        elif receiver.stalled:
            self._transport.pause_reading()

    def eof_received(self) -> bool:
        self._ended = True
        self._outbox.send(self._transport)  # which closes where nothing is owed any more
        if self._task is not None and self._app.can_abandon(self._task):
            return False
        # The client may have closed its sending side only: what it asked for is still answered.
        return self._busy or bool(self._queue)

    def pause_writing(self) -> None:
        self._write_paused = True
        self._unwritten = self._transport.get_write_buffer_size()
        self._deadline = self._loop.time() + WRITE_STALL_SECONDS

    def resume_writing(self) -> None:
        self._write_paused = False
        self._start_next()

    # ---- the receiver calls ----

    def request_received(self, request: Request) -> None:
        if self._busy or self._queue or self._write_paused or self._has_answered:
            self._queue.append(request)
            self._start_soon()
            if not self._ahead:
                self._ahead = True
                self._transport.pause_reading()
        else:
            self._start(request)

    def request_refused(self, request: Request) -> None:
        request.linger = True
        self._queue.append(request)
        self._start_next()

    def continue_expected(self) -> None:
        self._continue_owed = True
        if not self._busy and not self._queue:
            self._continue()

    def room_found(self) -> None:
        if self._closing:
            return
        self._receive_directly()
        if not self._ahead:
            self._transport.resume_reading()

    # ---- the server calls ----

    def check(self, now: float) -> None:
        """Acts where a deadline has passed."""
        if self._write_paused and not self._closing:
            if now < self._deadline:
                return
            unwritten = self._transport.get_write_buffer_size()
            if unwritten >= self._unwritten:
                self._transport.abort()
            self._unwritten = unwritten
            self._deadline = now + WRITE_STALL_SECONDS
        elif self._closing:
            if now >= self._deadline:
                self._transport.abort()
        elif self._receiver.request is not None:
            if self._receiver.is_late(now) and not self._ahead:
                self._receiver.give_up()
        elif not self._busy and not self._queue and now >= self._deadline:
            self._close(linger=False)

    def shut_down(self) -> None:
        """Closes as soon as what has come is answered."""
        if not self._busy and not self._queue and self._receiver.request is None and not self._closing:
            self._close(linger=False)

    # ---- answering ----

    def _start_soon(self) -> None:
        """The next request, in the loop's next turn: others have theirs before."""
        if self._next is None and not self._busy:
            self._next = self._loop.call_soon(self._start_next)

    def _start_next(self) -> None:
        self._next = None
        if self._busy or self._write_paused or self._closing:
            return
        if self._queue:
            self._start(self._queue.popleft())
        else:
            self._rest()

    def _rest(self) -> None:
        """All that came is answered."""
        self._deadline = self._loop.time() + KEEP_ALIVE_SECONDS
        if self._ended:
            self._close(linger=False)
        elif self._ahead:
            self._ahead = False
            self._receiver.restart_clock()
            if not self._receiver.stalled:
                self._transport.resume_reading()
        if self._continue_owed:
            self._continue()

    def _start(self, request: Request) -> None:
        self._busy = True
        self._request = request
        try:
            outcome = self._handle(request)
        except Exception as error:  # noqa: BLE001 - the application's table knows what it means
            outcome = self._app.refuse(error)
        if isinstance(outcome, Response):
            self._answer(request, outcome)
        else:
            self._task = self._loop.create_task(self._finish(request, outcome))

    def _handle(self, request: Request) -> Response | Later:
        route = request.route
        if request.refusal is not None or route is None:
            raise request.refusal or HttpError(404, "no such path")
        outcome: Response | Later
        if request.coding is not None and request.body:
            outcome = partial(self._decompress_and_handle, request, request.coding, route)
        else:
            outcome = route.handle(request)
        if not request.accepts_gzip:
            return outcome
        if isinstance(outcome, Response) and sum(map(len, outcome.chunks)) <= INLINE_CODING_BYTES:
            return _gzipped(outcome, compress(b"".join(outcome.chunks)))
        return partial(self._compress, outcome)

    async def _finish(self, request: Request, later: Later) -> None:
        try:
            response = await later()
        except Exception as error:  # noqa: BLE001 - the application's table knows what it means
            response = self._app.refuse(error)
        self._task = None
        if not self._closing:
            self._answer(request, response)

    async def _decompress_and_handle(self, request: Request, coding: bytes, route: Route) -> Response:
        request.body = await self._decompress(request, coding)
        outcome = route.handle(request)
        return outcome if isinstance(outcome, Response) else await outcome()

    async def _compress(self, outcome: Response | Later) -> Response:
        response = outcome if isinstance(outcome, Response) else await outcome()
        whole = b"".join(response.chunks)
        return _gzipped(response, await self._offload(len(whole), compress, whole))

    async def _decompress(self, request: Request, coding: bytes) -> bytes:
        """A large body brought the room for this along."""
        most = min(self._app.max_body_bytes, len(request.body) * MOST_TIMES_SHORTER)
        if not request.held and most > UNCOUNTED_BYTES:
            await self._room.enter(most, ROOM_SECONDS)
            request.held = most
        plain = await self._offload(
            len(request.body), decompress, coding, request.body, self._app.max_body_bytes
        )
        if request.held:
            self._room.settle(request.held, len(plain))
            request.held = len(plain)
        return plain

    async def _offload(self, size: int, work: Callable[..., bytes], *args: Any) -> bytes:
        if size <= INLINE_CODING_BYTES:
            return work(*args)
        return await self._loop.run_in_executor(None, work, *args)

    def _answer(self, request: Request, response: Response) -> None:
        keep_alive = request.keep_alive and not self._app.closing and not self._server.closing
        self._write(request, response, keep_alive)
        self._app.answered(request, response.status)
        self._release(request)
        self._request = None
        self._busy = False
        self._has_answered = True
        if not keep_alive:
            self._close(linger=request.linger)
        elif self._queue:
            self._start_soon()
        elif not self._write_paused:
            self._rest()

    def _write(self, request: Request, response: Response, keep_alive: bool) -> None:
        chunks = response.chunks
        length = len(chunks[0]) if len(chunks) == 1 else sum(map(len, chunks))
        more = b"".join([b"%b: %b\r\n" % header for header in response.headers]) if response.headers else b""
        if not keep_alive:
            more += b"Connection: close\r\n"
        elif b"connection" in request.headers:
            more += b"Connection: keep-alive\r\n"  # HTTP/1.0 asks for it, and wants to be told
        head = b"%bContent-Type: %b\r\nContent-Length: %d\r\nDate: %b\r\n%b\r\n" % (
            STATUS_LINES[response.status],
            response.content_type,
            length,
            self._server.date,
            more,
        )
        if request.method == "HEAD":
            self._outbox.put(self._transport, head)
        elif length <= JOINED_BYTES:
            self._outbox.put(self._transport, b"".join((head, *chunks)))
        else:
            self._outbox.send(self._transport)
            self._transport.writelines((head, *chunks))

    def _continue(self) -> None:
        self._continue_owed = False
        self._outbox.put(self._transport, b"HTTP/1.1 100 Continue\r\n\r\n")

    def _close(self, *, linger: bool) -> None:
        self._closing = True
        self._drop_queue()
        self._receiver.stop()
        self._deadline = self._loop.time() + (LINGER_SECONDS if linger else WRITE_STALL_SECONDS)
        if self._transport.get_protocol() is not self:
            self._switch(self)
        self._outbox.send(self._transport)
        if linger and not self._ended:
            self._transport.write_eof()
            self._transport.resume_reading()
        else:
            self._transport.close()

    def _drop_queue(self) -> None:
        while self._queue:
            self._release(self._queue.popleft())

    def _release(self, request: Request) -> None:
        if request.held:
            self._room.give(request.held)
            request.held = 0

    # ---- receiving large bodies ----

    def _receive_directly(self) -> None:
        body = self._receiver.body
        if body is not None and body.missing >= DIRECT_BYTES and not self._closing:
            self._switch(BodyReceiver(self, body, self._body_grew))

    def _body_grew(self) -> None:
        self._has_answered = False
        self._receiver.body_grew()
        if self._receiver.body is None and not self._closing:
            self._switch(self)

    def _switch(self, protocol: asyncio.BaseProtocol) -> None:
        """Lets `protocol` have what comes next; transports choose how to read when they start reading."""
        self._transport.pause_reading()
        self._transport.set_protocol(protocol)
        if not self._ahead and not self._receiver.stalled:
            self._transport.resume_reading()


def _gzipped(response: Response, body: bytes) -> Response:
    headers = [*response.headers, (b"Content-Encoding", b"gzip")]
    return Response(response.status, [body], response.content_type, headers)
