"""The server, and what it asks of the application behind it."""

from typing import Final, Generic, Protocol, TypeVar

from vinoserve_runtime.http2.endpoint import Endpoint
from vinoserve_runtime.http2.requests import RequestHead
from vinoserve_runtime.http2.stream import Application as Opener
from vinoserve_runtime.listener import Listener

_T = TypeVar("_T")

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


class Server(Listener[Endpoint], Generic[_T]):
    """Listens from `start` to `close`."""

    def __init__(self, application: Application[_T], most: int) -> None:
        super().__init__(most)
        self.application = application
        self.space = memoryview(bytearray(SPACE_BYTES))
        """Where all connections read to: what one read brings is looked at before the next."""

    def connect(self) -> Endpoint:
        return Endpoint(self)

    def sweep(self, now: float) -> None:
        self.application.check(now)

    def close(self, grace: float) -> None:
        """Takes no more connections and streams; after `grace` seconds what is not answered is cut."""
        self.stop_listening()
        for endpoint in self.held:
            endpoint.shut_down()
        self.loop.call_later(grace, self._cut)

    def _cut(self) -> None:
        for endpoint in self.held:
            endpoint.abort()
