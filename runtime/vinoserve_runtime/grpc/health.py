"""grpc.health.v1: what load balancers and Kubernetes' gRPC probes ask."""

import asyncio
from contextlib import suppress
from typing import Any, Final

import grpc
import grpc.aio
from grpc_health.v1.health_pb2 import DESCRIPTOR, HealthCheckRequest, HealthCheckResponse

from vinoserve_runtime.dataplane import Dataplane
from vinoserve_runtime.grpc.methods import Methods, read
from vinoserve_runtime.grpc.service import SERVICE
from vinoserve_runtime.protocol.errors import InvalidRequestError, ModelNotFoundError

HEALTH: Final = DESCRIPTOR.services_by_name["Health"].full_name
LOOK_SECONDS: Final = 0.5


class Health:
    """Of the server (`""`) and of its one service, which are alike."""

    def __init__(self, dataplane: Dataplane, methods: Methods) -> None:
        self._dataplane = dataplane
        self._methods = methods
        self._closing = asyncio.Event()

    def make_handler(self) -> grpc.GenericRpcHandler:
        return grpc.method_handlers_generic_handler(
            HEALTH,
            {
                "Check": self._methods.unary("health", self._check),
                "Watch": self._methods.stream(self._watch),
            },
        )

    def close(self) -> None:
        """Ends the watches, for which the server would wait."""
        self._closing.set()

    async def _check(self, message: bytes) -> HealthCheckResponse:
        status = self._status(read(HealthCheckRequest, message).service)
        if status == HealthCheckResponse.SERVICE_UNKNOWN:
            raise ModelNotFoundError(f'no such service; there are "" and "{SERVICE}"')
        return HealthCheckResponse(status=status)

    async def _watch(self, context: Any) -> None:
        message = await context.read()
        if message is grpc.aio.EOF:
            raise InvalidRequestError("the request has no message")
        service = read(HealthCheckRequest, message).service
        said = None
        while not self._closing.is_set():
            status = self._status(service)
            if status != said:
                await context.write(HealthCheckResponse(status=status).SerializeToString())
                said = status
            with suppress(TimeoutError):
                await asyncio.wait_for(self._closing.wait(), LOOK_SECONDS)

    def _status(self, service: str) -> int:
        if service not in {"", SERVICE}:
            return int(HealthCheckResponse.SERVICE_UNKNOWN)
        ready = self._dataplane.ready
        return int(HealthCheckResponse.SERVING if ready else HealthCheckResponse.NOT_SERVING)
