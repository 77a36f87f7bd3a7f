"""Calls with any number of messages each way."""

from math import inf
from typing import TYPE_CHECKING

from vinoserve_runtime.grpc.coding import unpack
from vinoserve_runtime.grpc.heads import HEAD, Opening, make_trailers
from vinoserve_runtime.grpc.messages import PREFIX, Inbox, Message
from vinoserve_runtime.grpc.methods import Streaming
from vinoserve_runtime.grpc.status import Code, make_refusal
from vinoserve_runtime.http2.outlet import Buffer
from vinoserve_runtime.http2.stream import Stream
from vinoserve_runtime.protocol.errors import InvalidRequestError

if TYPE_CHECKING:
    import asyncio

    from vinoserve_runtime.grpc.application import Application


class Conversation:
    """The receiver of its stream, and the dialogue of its method. At most one message is there before it is read."""

    def __init__(self, app: "Application", stream: Stream, opening: Opening, method: Streaming) -> None:
        self._app = app
        self._stream = stream
        self._opening = opening
        room = app.room if method.needs_room else None
        self._room = room
        self._inbox = Inbox(stream, self, room, app.max_message_bytes, inf)
        self._message: Message | None = None
        self._is_coded = False
        self._held = 0
        self._error: Exception | None = None
        self._has_spoken = False
        self._is_over = False
        self._news: asyncio.Future[None] | None = None
        """Done when something comes."""
        self._drained: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._task = app.loop.create_task(self._run(method))

    # ---- the method calls ----

    async def read(self) -> tuple[Message, int] | None:
        while self._message is None:
            if self._error is not None:
                raise self._error
            if self._stream.ended and not self._inbox.is_waiting:
                if self._inbox.is_between:
                    return None
                raise InvalidRequestError("the request ends within a message")
            self._news = self._app.loop.create_future()
            await self._news
        message, held = self._message, self._held
        self._message, self._held = None, 0
        if self._is_coded:
            message, held = await unpack(
                self._opening.coding, message, self._app.max_message_bytes, self._room, held
            )
        try:
            self._inbox.go_on()
        except Exception as error:  # noqa: BLE001 - the next call raises it
            self.message_refused(error)
        return message, held

    async def write(self, *pieces: Buffer) -> None:
        stream = self._stream
        if not self._has_spoken:
            self._has_spoken = True
            stream.send_headers(HEAD)
        stream.send(PREFIX.pack(0, sum(map(len, pieces))), *pieces)
        if stream.pending:
            self._drained = self._app.loop.create_future()
            await self._drained

    # ---- the stream calls ----

    def receive(self, data: bytes, ended: bool) -> None:  # noqa: ARG002 - the stream knows
        if self._is_over or self._error is not None:
            return
        try:
            self._inbox.feed(data)
        except Exception as error:  # noqa: BLE001 - `read` raises it
            self.message_refused(error)
        self._tell()

    def get_buffer(self) -> memoryview | None:
        return self._inbox.get_buffer()

    def received(self, size: int) -> None:
        try:
            self._inbox.received(size)
        except Exception as error:  # noqa: BLE001 - `read` raises it
            self.message_refused(error)
        self._tell()

    def sent(self) -> None:
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)

    def closed(self) -> None:
        self._is_over = True
        self._inbox.close()
        if self._timer is not None:
            self._timer.cancel()
        self._task.cancel()
        if self._held and self._room is not None:
            self._room.give(self._held)  # nobody has read it
        self._app.leave(self)

    # ---- the inbox calls ----

    def message_received(self, message: Message, *, is_coded: bool, held: int) -> None:
        self._message = message
        self._is_coded = is_coded
        self._held = held

    def message_refused(self, error: Exception) -> None:
        if self._error is None:
            self._error = error
            self._inbox.close()
            self._tell()

    def moved(self) -> None:
        self._tell()

    # ---- the application calls ----

    def start_clock(self) -> bool:
        if self._is_over:
            return False
        if self._opening.timeout is not None:
            self._timer = self._app.loop.call_later(self._opening.timeout, self._expire)
        return True

    def check(self, now: float) -> None:
        try:
            self._inbox.check(now)
        except Exception as error:  # noqa: BLE001 - `read` raises it
            self.message_refused(error)

    # ---- details ----

    async def _run(self, method: Streaming) -> None:
        try:
            await method.converse(self)
        except Exception as error:  # noqa: BLE001 - make_refusal tells what was foreseen
            self._end(*make_refusal(error))
        else:
            self._end(Code.OK, "")

    def _expire(self) -> None:
        self._task.cancel()
        self._end(Code.DEADLINE_EXCEEDED, "the deadline of the call has passed")

    def _end(self, code: Code, details: str) -> None:
        if not self._is_over:
            self._is_over = True
            trailers = make_trailers(code, details)
            self._stream.send_headers(trailers if self._has_spoken else HEAD + trailers, end=True)

    def _tell(self) -> None:
        if self._news is not None and not self._news.done():
            self._news.set_result(None)
