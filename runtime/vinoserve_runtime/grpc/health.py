"""grpc.health.v1: what load balancers and Kubernetes' gRPC probes ask."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any, Final

from grpc import StatusCode
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthServicer

from vinoserve_runtime.dataplane import Dataplane
from vinoserve_runtime.grpc.service import SERVICE

LOOK_SECONDS: Final = 0.5


class Health(HealthServicer):  # type: ignore[misc]
    """Of the server (`""`) and of its one service, which are alike."""

    def __init__(self, dataplane: Dataplane) -> None:
        self._dataplane = dataplane
        self._closing = asyncio.Event()

    def close(self) -> None:
        """Ends the watches, for which the server would wait."""
        self._closing.set()

    async def Check(self, request: HealthCheckRequest, context: Any) -> HealthCheckResponse:  # noqa: N802
        status = self._status(request.service)
        if status == HealthCheckResponse.SERVICE_UNKNOWN:
            await context.abort(StatusCode.NOT_FOUND, f'no such service; there are "" and "{SERVICE}"')
        return HealthCheckResponse(status=status)

    async def Watch(self, request: HealthCheckRequest, _: Any) -> AsyncIterator[HealthCheckResponse]:  # noqa: N802
        said = None
        while not self._closing.is_set():
            status = self._status(request.service)
            if status != said:
                yield HealthCheckResponse(status=status)
                said = status
            with suppress(TimeoutError):
                await asyncio.wait_for(self._closing.wait(), LOOK_SECONDS)

    def _status(self, service: str) -> int:
        if service not in {"", SERVICE}:
            return int(HealthCheckResponse.SERVICE_UNKNOWN)
        ready = self._dataplane.ready
        return int(HealthCheckResponse.SERVING if ready else HealthCheckResponse.NOT_SERVING)
