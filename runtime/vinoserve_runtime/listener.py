"""A socket that is listened on, and the connections that have come: what the servers of all protocols have in common."""

import asyncio
from abc import ABC, abstractmethod
from typing import Final, Generic, Protocol, TypeVar

from vinoserve_runtime.outbox import Outbox
from vinoserve_runtime.sockets import BACKLOG, listen

SWEEP_SECONDS: Final = 1.0


class Connection(Protocol):
    """What is asked of one beside being asyncio's protocol."""

    def check(self, now: float) -> None:
        """Acts where a deadline has passed."""
        ...


_C = TypeVar("_C", bound=Connection)


class Listener(ABC, Generic[_C]):
    """Listens from `start` on, on the event loop that runs; holds `most` connections."""

    def __init__(self, most: int) -> None:
        self.loop = asyncio.get_running_loop()
        self.outbox = Outbox(self.loop)
        self._held: set[_C] = set()
        self._most = most
        self._sockets: asyncio.Server | None = None
        self._port = 0
        self._empty = asyncio.Event()
        self._empty.set()
        self._timer: asyncio.TimerHandle | None = None

    @abstractmethod
    def connect(self) -> asyncio.BaseProtocol:
        """A connection that has just come."""

    @abstractmethod
    def sweep(self, now: float) -> None:
        """Once a second, before the connections are checked, and before the first of them comes."""

    @property
    def port(self) -> int:
        return self._port

    @property
    def connections(self) -> int:
        return len(self._held)

    @property
    def held(self) -> list[_C]:
        """The connections that there are."""
        return list(self._held)

    async def start(self, host: str | None, port: int) -> None:
        """Raises OSError where the address can't be had."""
        listener = listen(host, port)
        self._sweep()
        self._port = listener.getsockname()[1]
        self._sockets = await self.loop.create_server(
            self.connect, sock=listener, backlog=BACKLOG, start_serving=False
        )
        try:
            await self._sockets.start_serving()
        except asyncio.CancelledError:
            self.stop_listening()
            raise

    def stop_listening(self) -> None:
        """Takes no more connections."""
        if self._sockets is not None:
            self._sockets.close()

    async def wait_closed(self) -> None:
        """Until the last connection is gone."""
        await self._empty.wait()
        if self._timer is not None:
            self._timer.cancel()

    def add(self, connection: _C) -> bool:
        """False where there are too many connections already."""
        self._held.add(connection)
        self._empty.clear()
        return len(self._held) <= self._most

    def discard(self, connection: _C) -> None:
        self._held.discard(connection)
        if not self._held:
            self._empty.set()

    def _sweep(self) -> None:
        """One timer for all deadlines: a timer per request would cost more than the request."""
        now = self.loop.time()
        self.sweep(now)
        for connection in self.held:
            connection.check(now)
        self._timer = self.loop.call_later(SWEEP_SECONDS, self._sweep)
