"""Sockets, and the connections on them."""

import asyncio
from collections.abc import Callable
from email.utils import formatdate
from typing import Final

from vinoserve_runtime.rest.connection import Connection
from vinoserve_runtime.rest.heads import Heads
from vinoserve_runtime.rest.messages import App
from vinoserve_runtime.room import Room, make_room
from vinoserve_runtime.sockets import BACKLOG, count_connections, listen

SWEEP_SECONDS: Final = 1.0
MAX_CONNECTIONS: Final = 4096


class Server:
    """Listens from `start` to `close`. `room`: shared with other servers, else one of its own.

    `closed` is called when the last connection is gone.
    """

    def __init__(self, app: App, room: Room | None = None, closed: Callable[[], None] = lambda: None) -> None:
        self.app = app
        self.room = make_room(app.max_body_bytes) if room is None else room
        self.loop = asyncio.get_running_loop()
        self.closing = False
        self.date = b""
        self.heads = Heads()
        self._closed = closed
        self._connections: set[Connection] = set()
        self._most = count_connections(MAX_CONNECTIONS, share=2)
        self._sockets: asyncio.Server | None = None
        self._port = 0
        self._empty = asyncio.Event()
        self._empty.set()
        self._timer: asyncio.TimerHandle | None = None

    @property
    def port(self) -> int:
        return self._port

    @property
    def connections(self) -> int:
        return len(self._connections)

    async def start(self, host: str | None, port: int) -> None:
        """Raises OSError where the address can't be had."""
        listener = listen(host, port)
        self._sweep()
        self._port = listener.getsockname()[1]
        self._sockets = await self.loop.create_server(
            lambda: Connection(self), sock=listener, backlog=BACKLOG
        )

    def close(self) -> None:
        """Takes no more connections, answers what has come, and closes each connection after that."""
        self.closing = True
        if self._sockets is not None:
            self._sockets.close()
        for connection in list(self._connections):
            connection.shut_down()

    async def wait_closed(self) -> None:
        """Until the last connection is gone."""
        await self._empty.wait()
        if self._timer is not None:
            self._timer.cancel()
        self._closed()

    def add(self, connection: Connection) -> bool:
        """False where there are too many connections already."""
        self._connections.add(connection)
        self._empty.clear()
        return len(self._connections) <= self._most

    def discard(self, connection: Connection) -> None:
        self._connections.discard(connection)
        if not self._connections:
            self._empty.set()

    def _sweep(self) -> None:
        """One timer for all deadlines: a timer per request would cost more than the request."""
        self.date = formatdate(usegmt=True).encode()
        now = self.loop.time()
        for connection in list(self._connections):
            connection.check(now)
        self._timer = self.loop.call_later(SWEEP_SECONDS, self._sweep)
