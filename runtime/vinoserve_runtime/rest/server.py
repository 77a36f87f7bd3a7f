"""The HTTP server, and what its connections share."""

from collections.abc import Callable
from email.utils import formatdate
from typing import Final

from vinoserve_runtime.listener import Listener
from vinoserve_runtime.rest.connection import Connection
from vinoserve_runtime.rest.heads import Heads
from vinoserve_runtime.rest.messages import App
from vinoserve_runtime.room import Room, make_room
from vinoserve_runtime.sockets import count_connections

MAX_CONNECTIONS: Final = 4096


class Server(Listener[Connection]):
    """Listens from `start` to `close`. `room`: shared with other servers, else one of its own.

    `closed` is called when the last connection is gone.
    """

    def __init__(self, app: App, room: Room | None = None, closed: Callable[[], None] = lambda: None) -> None:
        super().__init__(count_connections(MAX_CONNECTIONS, share=2))
        self.app = app
        self.room = make_room(app.max_body_bytes) if room is None else room
        self.closing = False
        self.date = b""
        self.heads = Heads()
        self._closed = closed

    def connect(self) -> Connection:
        return Connection(self)

    def sweep(self, now: float) -> None:  # noqa: ARG002
        self.date = formatdate(usegmt=True).encode()

    def close(self) -> None:
        """Takes no more connections, answers what has come, and closes each connection after that."""
        self.closing = True
        self.stop_listening()
        for connection in self.held:
            connection.shut_down()

    async def wait_closed(self) -> None:
        """Until the last connection is gone."""
        await super().wait_closed()
        self._closed()
