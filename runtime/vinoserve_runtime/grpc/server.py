"""All services on one socket."""

from typing import Final

from vinoserve_runtime.dataplane import Dataplane
from vinoserve_runtime.grpc.application import Application
from vinoserve_runtime.grpc.health import HEALTH, Health
from vinoserve_runtime.grpc.reflection import REFLECTIONS, Reflection
from vinoserve_runtime.grpc.service import SERVICE, InferenceService
from vinoserve_runtime.http2.server import Server as Http2Server
from vinoserve_runtime.sockets import count_connections

GRACE_SECONDS: Final = 1.0
"""For the last responses to leave, once all inferences are done."""

MAX_CONNECTIONS: Final = 1024
"""Each carries any number of calls."""


class Server:
    """Listens from `start` to `close`. Made on the event loop that it runs on."""

    def __init__(self, dataplane: Dataplane) -> None:
        self._service = InferenceService(dataplane)
        self._health = Health(dataplane)
        services = {SERVICE: self._service.methods(), HEALTH: self._health.methods()}
        services |= {name: Reflection().methods() for name in REFLECTIONS}
        methods = {
            f"/{service}/{name}".encode(): method
            for service, methods in services.items()
            for name, method in methods.items()
        }
        self._server = Http2Server(
            Application(dataplane, methods), count_connections(MAX_CONNECTIONS, share=4)
        )

    @property
    def port(self) -> int:
        return self._server.port

    async def start(self, host: str | None, port: int) -> None:
        """Raises OSError where the address can't be had."""
        await self._server.start(host, port)

    def close(self) -> None:
        """Takes no more requests, and ends each connection after its last answer."""
        self._health.close()
        self._service.close()
        self._server.close(GRACE_SECONDS)

    async def wait_closed(self) -> None:
        """Until the last connection is gone."""
        await self._server.wait_closed()
