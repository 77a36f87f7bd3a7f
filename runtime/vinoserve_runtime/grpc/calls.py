"""Calls with one message each way, from the first byte of the request to the last of the answer."""

import asyncio
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

from vinoserve_runtime.grpc.coding import unpack
from vinoserve_runtime.grpc.heads import HEAD, OK_TRAILERS, Opening, make_trailers
from vinoserve_runtime.grpc.messages import PREFIX, PREFIX_BYTES, Inbox, Message
from vinoserve_runtime.grpc.methods import Pieces, Unary
from vinoserve_runtime.grpc.status import Code, make_refusal
from vinoserve_runtime.http2.stream import Stream
from vinoserve_runtime.protocol.errors import DeadlineExceededError, InvalidRequestError
from vinoserve_runtime.room import ROOM_SECONDS

if TYPE_CHECKING:
    from vinoserve_runtime.grpc.application import Application


class UnaryCall:
    """The receiver of its stream."""

    __slots__ = (
        "_app",
        "_began",
        "_held",
        "_inbox",
        "_is_coded",
        "_is_over",
        "_message",
        "_method",
        "_opening",
        "_stream",
        "_task",
        "_timer",
    )

    def __init__(self, app: "Application", stream: Stream, opening: Opening, method: Unary) -> None:
        self._app = app
        self._stream = stream
        self._opening = opening
        self._method = method
        self._inbox: Inbox | None = None
        self._message: Message | None = None
        self._is_coded = False
        self._held = 0
        self._task: asyncio.Task[Pieces] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._began = 0.0
        self._is_over = False
        """It is answered, or not wanted any more."""

    # ---- the stream calls ----

    def receive(self, data: bytes, ended: bool) -> None:
        if ended and self._inbox is None and not self._is_over and len(data) >= PREFIX_BYTES:
            coded, length = PREFIX.unpack_from(data)
            if (
                not coded
                and length == len(data) - PREFIX_BYTES
                and length <= self._app.max_message_bytes
                and (not self._method.needs_room or self._app.room.take(length))
            ):
                self._held = length if self._method.needs_room else 0
                self._answer(data[PREFIX_BYTES:])
                return
        self._receive_slowly(data)

    def get_buffer(self) -> memoryview | None:
        return None if self._inbox is None else self._inbox.get_buffer()

    def received(self, size: int) -> None:
        if self._inbox is not None:
            self._inbox.received(size)  # the message's end alone is no request's yet

    def sent(self) -> None: ...

    def closed(self) -> None:
        self._is_over = True
        if self._inbox is not None:
            self._inbox.close()
        if self._timer is not None:
            self._timer.cancel()
        if self._task is not None:
            self._task.cancel()
        if self._held:
            self._app.room.give(self._held)
        self._app.leave(self)

    # ---- the inbox calls ----

    def message_received(self, message: Message, *, is_coded: bool, held: int) -> None:
        self._message = message
        self._is_coded = is_coded
        self._held = held

    def message_refused(self, error: Exception) -> None:
        if not self._is_over:
            self._refuse(error)

    def moved(self) -> None:
        self._receive_slowly(b"")

    # ---- the application calls ----

    def start_clock(self) -> bool:
        """It was not answered at once. Whether its message must be waited for."""
        if self._is_over:
            return False
        loop = self._app.loop
        if self._opening.timeout is not None:
            self._timer = loop.call_later(self._opening.timeout, self._expire)
        if self._task is not None:
            return False
        self._began = loop.time()
        return True

    def check(self, now: float) -> None:
        """Once a second, while the message is waited for."""
        try:
            self._check(now)
        except Exception as error:  # noqa: BLE001 - make_refusal tells what was foreseen
            self._refuse(error)

    def _check(self, now: float) -> None:
        if now - self._began >= self._app.receive_seconds:
            raise DeadlineExceededError(
                f"the request's message did not arrive within {self._app.receive_seconds} seconds"
            )
        if self._inbox is not None:
            self._inbox.check(now)

    # ---- receiving ----

    def _receive_slowly(self, data: bytes) -> None:
        if self._is_over:
            return
        inbox = self._inbox
        if inbox is None:
            room = self._app.room if self._method.needs_room else None
            limit = self._app.max_message_bytes
            inbox = self._inbox = Inbox(self._stream, self, room, limit, ROOM_SECONDS)
        try:
            inbox.feed(data)
            self._look(inbox)
        except Exception as error:  # noqa: BLE001 - make_refusal tells what was foreseen
            self._refuse(error)

    def _look(self, inbox: Inbox) -> None:
        """What has come."""
        if self._message is not None and not inbox.is_between:
            raise InvalidRequestError("the request has more than one message")
        if self._stream.ended:
            self._end(inbox)

    def _end(self, inbox: Inbox) -> None:
        """The client has sent its last."""
        message, self._message = self._message, None
        if message is None:
            if inbox.is_waiting:
                return
            what = "has no message" if inbox.is_between else "ends within its message"
            raise InvalidRequestError(f"the request {what}")
        if self._is_coded:
            self._start(self._unpack_and_answer(message))
        else:
            self._answer(message)

    async def _unpack_and_answer(self, message: Message) -> Pieces:
        room = self._app.room if self._method.needs_room else None
        held, self._held = self._held, 0
        plain, self._held = await unpack(
            self._opening.coding, message, self._app.max_message_bytes, room, held
        )
        del message
        answer = self._method.answer(plain)
        return answer if isinstance(answer, list) else await answer

    # ---- answering ----

    def _answer(self, message: Message) -> None:
        try:
            answer = self._method.answer(message)
        except Exception as error:  # noqa: BLE001 - make_refusal tells what was foreseen
            self._refuse(error)
            return
        if isinstance(answer, list):
            self._respond(answer)
        else:
            self._start(answer)

    def _start(self, answering: Coroutine[Any, Any, Pieces]) -> None:
        self._app.stop_waiting(self)
        self._task = self._app.loop.create_task(answering)
        self._task.add_done_callback(self._finish)

    def _finish(self, task: asyncio.Task[Pieces]) -> None:
        if self._is_over or task.cancelled():
            return
        self._task = None
        error = task.exception()
        if error is None:
            self._respond(task.result())
        elif isinstance(error, Exception):
            self._refuse(error)
        else:
            raise error

    def _respond(self, pieces: Pieces) -> None:
        self._is_over = True
        self._app.count(self._method.operation, Code.OK)
        stream = self._stream
        size = len(pieces[0]) if len(pieces) == 1 else sum(map(len, pieces))
        stream.respond(HEAD, (PREFIX.pack(0, size), *pieces), size + PREFIX_BYTES, OK_TRAILERS)
        if stream.pending:
            self._app.room.settle(self._held, stream.pending)
            self._held = stream.pending  # until the client has taken it

    def _refuse(self, error: Exception) -> None:
        code, details = make_refusal(error)
        self._app.count(self._method.operation, code)
        self._give_up(code, details)

    def _expire(self) -> None:
        """The client has given up; it isn't counted, as one that says so isn't."""
        if not self._is_over:
            self._give_up(Code.DEADLINE_EXCEEDED, "the deadline of the call has passed")

    def _give_up(self, code: Code, details: str) -> None:
        self._is_over = True
        self._app.stop_waiting(self)
        if self._task is not None:
            self._task.cancel()
            self._task = None
        self._stream.send_headers(HEAD + make_trailers(code, details), end=True)
