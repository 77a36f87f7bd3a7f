"""The ports of one model: admin first, so that probes are answered, then REST and gRPC."""

import asyncio
import errno
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from typing import Any, Final

from prometheus_client import CollectorRegistry

from vinoserve_api.conditions import FailureReason
from vinoserve_api.contract import RuntimeReport
from vinoserve_runtime import admin, rest
from vinoserve_runtime.admin import Check
from vinoserve_runtime.dataplane import Dataplane
from vinoserve_runtime.errors import StartupError
from vinoserve_runtime.settings import ServeSettings

_CLOSE_SECONDS: Final = 2.0


class Servers:
    """The ports are 0 until they are listened on."""

    def __init__(self, settings: ServeSettings, dataplane: Dataplane) -> None:
        self._settings = settings
        self._dataplane = dataplane
        self._started: list[Any] = []
        self.admin_port = self.rest_port = self.grpc_port = 0
        self.all_listen = asyncio.Event()

    async def start(
        self,
        *,
        live: Check,
        ready: Check,
        started: Check,
        report: Callable[[], RuntimeReport],
        registry: CollectorRegistry,
    ) -> None:
        """All but gRPC; the admin port alone where nothing is served. Raises StartupError PortInUse or InvalidConfig."""
        settings, host = self._settings, self._settings.host or None
        self.admin_port = await self._listen(
            admin.start(
                host,
                settings.admin_port,
                live=live,
                ready=ready,
                started=started,
                report=report,
                registry=registry,
            ),
            settings.admin_port,
        )
        if settings.precompile:
            return
        self.rest_port = await self._listen(
            rest.start(self._dataplane, host, settings.http_port), settings.http_port
        )

    async def start_grpc(self) -> None:
        """While the model is compiled: protobuf takes a moment to import. Raises as `start` does."""
        settings, host = self._settings, self._settings.host or None
        grpc = await asyncio.to_thread(import_module, "vinoserve_runtime.grpc")
        self.grpc_port = await self._listen(
            grpc.start(self._dataplane, host, settings.grpc_port), settings.grpc_port
        )
        self.all_listen.set()

    async def close(self) -> None:
        """The last started first; what doesn't close soon is left."""
        for server in reversed(self._started):
            server.close()
        with suppress(TimeoutError):
            async with asyncio.timeout(_CLOSE_SECONDS):
                for server in reversed(self._started):
                    await server.wait_closed()

    async def _listen(self, starting: Any, port: int) -> int:
        try:
            server = await starting
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise StartupError(
                    FailureReason.PORT_IN_USE, f"port {port} is taken on this machine; choose another"
                ) from error
            raise StartupError(
                FailureReason.INVALID_CONFIG,
                f"can't listen on port {port} of this address: {error.strerror or error}",
            ) from error
        self._started.append(server)
        return int(server.port)
