"""Length-prefixed messages out of a stream's bytes: one at a time, each with room in memory before it is received."""

import asyncio
from collections import deque
from math import inf
from struct import Struct
from typing import Final, Protocol

import numpy as np

from vinoserve_runtime.grpc.status import TooLargeError
from vinoserve_runtime.grpc.wire import find_raw
from vinoserve_runtime.http2.settings import STREAM_WINDOW
from vinoserve_runtime.http2.stream import Stream
from vinoserve_runtime.protocol.errors import DeadlineExceededError, InvalidRequestError
from vinoserve_runtime.room import ROOM_SECONDS, Room

Message = bytes | memoryview

PREFIX: Final = Struct(">BI")
"""Whether the message is compressed, and its length."""
PREFIX_BYTES: Final = PREFIX.size

MESSAGE_SECONDS: Final = 10.0
MESSAGE_BYTES: Final = 64 << 10
"""In any MESSAGE_SECONDS this much more of a message that was begun must come, or the rest of it."""
ALIGNMENT: Final = 64
SPARE_BYTES: Final = 16 << 10
"""Beside what is missing of a message, for the padding of the last frame."""


class Sink(Protocol):
    """Whom the inbox tells."""

    def message_received(self, message: Message, *, is_coded: bool, held: int) -> None:
        """`held` bytes of room are the sink's now. No other one comes before `Inbox.go_on`."""
        ...

    def message_refused(self, error: Exception) -> None:
        """Nothing more comes."""
        ...

    def moved(self) -> None:
        """Room was found: what waited for it is looked at."""
        ...


class Inbox:
    """`room`: None where messages come in whether or not there is any. `patience`: seconds that one waits for room."""

    def __init__(self, stream: Stream, sink: Sink, room: Room | None, limit: int, patience: float) -> None:
        self._stream = stream
        self._sink = sink
        self._room = room
        self._limit = limit
        self._patience = patience
        self._loop = asyncio.get_running_loop()
        self._prefix = b""
        self._is_coded = False
        self._view: memoryview | None = None
        self._received = 0
        self._held = 0
        self._found: asyncio.Future[None] | None = None
        """There while the message waits for room."""
        self._wanted = 0
        self._waits_until = self._in_by = inf
        self._deadline = inf
        self._mark = 0
        self._is_full = False
        """The sink has not taken the last message."""
        self._later: deque[bytes] = deque()
        self._is_closed = False

    @property
    def is_between(self) -> bool:
        """No message was begun, and nothing waits to be read."""
        return not (self._prefix or self._view is not None or self._found is not None or self._later)

    @property
    def is_waiting(self) -> bool:
        """For room, or for the sink."""
        return self._found is not None or bool(self._later)

    def feed(self, data: bytes) -> None:
        """More of the stream. Raises TooLargeError or InvalidRequestError."""
        if self._found is not None or self._is_full or self._later:
            if data:
                self._later.append(data)
                self._stream.hold()
            return
        while data and not self._is_closed:
            data = self._fill(data) if self._view is not None else self._begin(data)
            if data and (self._found is not None or self._is_full):
                self._later.append(data)
                self._stream.hold()
                return

    def go_on(self) -> None:
        """The sink takes another message. Raises as `feed` does."""
        self._is_full = False
        missing = STREAM_WINDOW - self._stream.credit
        if missing >= STREAM_WINDOW // 2 and not self._stream.ended:
            self._stream.extend(missing)
        self._feed_later()

    def get_buffer(self) -> memoryview | None:
        return None if self._view is None else self._view[self._received :]

    def received(self, size: int) -> None:
        """So much was put into `get_buffer()`."""
        self._received += size
        self._grew()

    def check(self, now: float) -> None:
        """Raises DeadlineExceededError or QueueFullError where it takes too long."""
        if self._found is not None:
            if now >= self._waits_until and self._room is not None:
                raise self._room.why_not()
        elif self._view is not None or self._prefix:
            if self._deadline == inf or self._received - self._mark >= MESSAGE_BYTES:
                self._deadline, self._mark = now + MESSAGE_SECONDS, self._received
            is_late = now >= self._deadline
            if is_late or (now >= self._in_by and self._room is not None and self._room.contended):
                raise DeadlineExceededError("the request's message did not arrive in time")

    def close(self) -> None:
        """Nothing is read any more; the room of what has not come whole is given back."""
        self._is_closed = True
        self._later.clear()
        self._view = None
        if self._found is not None:
            self._found.cancel()
            self._found = None
        if self._held and self._room is not None:
            self._room.give(self._held)
            self._held = 0

    # ---- details ----

    def _begin(self, data: bytes) -> bytes:
        """What follows the prefix, and the message where it is there; returns what is left."""
        if self._prefix:
            data = self._prefix + data
            self._prefix = b""
        if len(data) < PREFIX_BYTES:
            self._prefix = data
            return b""
        coded, length = PREFIX.unpack_from(data)
        if coded > 1:
            raise InvalidRequestError("malformed message: its first byte must be 0 or 1")
        check_length(length, self._limit)
        self._is_coded = bool(coded)
        self._received = 0
        self._deadline = inf
        rest = data[PREFIX_BYTES:]
        if self._room is None or self._room.take(length):
            return self._take_place(length, rest)
        self._wanted = length
        self._waits_until = self._loop.time() + self._patience
        self._found = self._room.wait(length)
        self._found.add_done_callback(self._room_found)
        if not rest:
            self._stream.hold()
        return rest

    def _take_place(self, length: int, data: bytes) -> bytes:
        if self._room is not None:
            self._held = length
            self._in_by = self._loop.time() + ROOM_SECONDS
        if len(data) >= length:
            self._deliver(data[:length])
            return data[length:]
        self._view = make_place(length, find_raw(data))
        missing = length - len(data) - self._stream.credit
        if missing > 0:
            self._stream.extend(missing + SPARE_BYTES)
        return self._fill(data)

    def _fill(self, data: bytes) -> bytes:
        view = self._view
        assert view is not None  # noqa: S101 - who calls has looked
        size = min(len(data), len(view) - self._received)
        view[self._received : self._received + size] = data[:size]
        self._received += size
        self._grew()
        return data[size:]

    def _grew(self) -> None:
        view = self._view
        if view is not None and self._received == len(view):
            self._view = None
            self._deliver(view)

    def _deliver(self, message: Message) -> None:
        held, self._held = self._held, 0
        self._is_full = True
        self._sink.message_received(message, is_coded=self._is_coded, held=held)

    def _room_found(self, found: asyncio.Future[None]) -> None:
        if found.cancelled() or self._room is None:
            return
        if self._found is not found:
            self._room.give(self._wanted)  # it was given up just as room was found
            return
        self._found = None
        try:
            later = b"".join(self._later)
            self._later.clear()
            self._stream.release()
            rest = self._take_place(self._wanted, later)
            if rest:
                self._later.append(rest)
            if not self._is_full:
                self._feed_later()
            self._sink.moved()
        except Exception as error:  # noqa: BLE001 - the sink knows what it means
            self._sink.message_refused(error)

    def _feed_later(self) -> None:
        if self._later:
            later = b"".join(self._later)
            self._later.clear()
            self._stream.release()
            self.feed(later)


def check_length(length: int, limit: int) -> None:
    """Raises TooLargeError."""
    if length > limit:
        raise TooLargeError(f"a message of {length} bytes is larger than maxRequestBytes, which is {limit}")


def make_place(length: int, aligned_at: int) -> memoryview:
    """For `length` bytes; the memory is the process's only as they come. The one at `aligned_at` is aligned."""
    memory = np.empty(length + ALIGNMENT, np.uint8)
    start = -(memory.ctypes.data + aligned_at) % ALIGNMENT
    return memory[start : start + length].data
