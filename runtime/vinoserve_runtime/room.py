"""Memory for the bodies of requests: bounded over all connections together, whatever each of them may send."""

import asyncio
from collections import deque
from typing import Final

from vinoserve_runtime.protocol.errors import QueueFullError

LARGEST_BODIES: Final = 8
"""There is room for so many bodies of the largest size at once,"""
LEAST_BYTES: Final = 256 << 20
"""and for this much in any case."""
SMALL_BYTES: Final = 64 << 10
"""So little is let in before larger bodies that wait."""
ROOM_SECONDS: Final = 10.0
"""How long a body waits for room; and how long one may take to come once it has room that others wait for."""


def make_room(max_body_bytes: int) -> "Room":
    return Room(max(LARGEST_BODIES * max_body_bytes, LEAST_BYTES))


class Room:
    """`size` bytes: taken before a body is received, given back when its request is answered. First come, first served.

    Belongs to one event loop.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self._free = size
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    @property
    def free(self) -> int:
        return self._free

    @property
    def contended(self) -> bool:
        """Whether somebody waits."""
        while self._waiting and self._waiting[0][1].done():
            self._waiting.popleft()
        return bool(self._waiting)

    def take(self, size: int) -> bool:
        """At once, or not at all."""
        if size > self._free or (size > SMALL_BYTES and self.contended):
            return False
        self._free -= size
        return True

    def wait(self, size: int) -> asyncio.Future[None]:
        """Done when it is taken. Who cancels it too late must give it back."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((size, future))
        return future

    def give(self, size: int) -> None:
        self._free += size
        while self.contended and self._waiting[0][0] <= self._free:
            wanted, future = self._waiting.popleft()
            self._free -= wanted
            future.set_result(None)

    def settle(self, taken: int, used: int) -> None:
        """`used` is what it was in the end; where that is more, others wait the longer for it."""
        self.give(taken - used)

    async def enter(self, size: int, seconds: float | None) -> None:
        """Takes it, waiting for `seconds` at most. Raises QueueFullError."""
        if self.take(size):
            return
        future = self.wait(size)
        try:
            async with asyncio.timeout(seconds):
                await future
        except BaseException as error:
            if future.done() and not future.cancelled():
                self.give(size)
            if isinstance(error, TimeoutError):
                raise self.why_not() from None
            raise

    def why_not(self) -> QueueFullError:
        return QueueFullError(f"the server holds {self.size} bytes of requests already, and takes no more")
