"""The socket, and all its connections."""

import asyncio
from typing import Final, Generic, Protocol, TypeVar

from vinoserve_runtime.http2.endpoint import Endpoint
from vinoserve_runtime.http2.requests import RequestHead
from vinoserve_runtime.http2.stream import Application as Opener
from vinoserve_runtime.sockets import BACKLOG, listen

_T = TypeVar("_T")

SWEEP_SECONDS: Final = 1.0
SPACE_BYTES: Final = 256 << 10


class Application(Opener[_T], Protocol[_T]):
    """What answers the requests of all connections."""

    def interpret(self, head: RequestHead) -> _T:
        """What a request's head means; raises StreamFault. The result may be used again for the same head."""
        ...

    def settle(self) -> None:
        """What came with one read from a socket was handed over."""
        ...

    def check(self, now: float) -> None:
        """Once a second."""
        ...


class Server(Generic[_T]):
    """Listens from `start` to `close`, on the event loop that runs; holds `most` connections."""

    def __init__(self, application: Application[_T], most: int) -> None:
        self.application = application
        self.loop = asyncio.get_running_loop()
        self.space = memoryview(bytearray(SPACE_BYTES))
        """Where all connections read to: what one read brings is looked at before the next."""
        self._most = most
        self._endpoints: set[Endpoint] = set()
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
        return len(self._endpoints)

    async def start(self, host: str | None, port: int) -> None:
        """Raises OSError where the address can't be had."""
        listener = listen(host, port)
        self._port = listener.getsockname()[1]
        self._sockets = await self.loop.create_server(
            lambda: Endpoint(self), sock=listener, backlog=BACKLOG, start_serving=False
        )
        try:
            await self._sockets.start_serving()
        except asyncio.CancelledError:
            self._sockets.close()
            raise
        self._sweep()

    def close(self, grace: float) -> None:
        """Takes no more connections and streams; after `grace` seconds what is not answered is cut."""
        if self._sockets is not None:
            self._sockets.close()
        for endpoint in list(self._endpoints):
            endpoint.shut_down()
        self.loop.call_later(grace, self._cut)

    async def wait_closed(self) -> None:
        """Until the last connection is gone."""
        await self._empty.wait()
        if self._timer is not None:
            self._timer.cancel()

    def add(self, endpoint: Endpoint) -> bool:
        """False where there are too many connections already."""
        self._endpoints.add(endpoint)
        self._empty.clear()
        return len(self._endpoints) <= self._most

    def discard(self, endpoint: Endpoint) -> None:
        self._endpoints.discard(endpoint)
        if not self._endpoints:
            self._empty.set()

    def _cut(self) -> None:
        for endpoint in list(self._endpoints):
            endpoint.abort()

    def _sweep(self) -> None:
        """One timer for all deadlines."""
        now = self.loop.time()
        self.application.check(now)
        for endpoint in list(self._endpoints):
            endpoint.check(now)
        self._timer = self.loop.call_later(SWEEP_SECONDS, self._sweep)
