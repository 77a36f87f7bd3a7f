"""grpc.health.v1: what load balancers and Kubernetes' gRPC probes ask."""

import asyncio
from contextlib import suppress
from typing import Final

from vinoserve_runtime.dataplane import Dataplane
from vinoserve_runtime.grpc.health_pb2 import DESCRIPTOR, HealthCheckRequest, HealthCheckResponse
from vinoserve_runtime.grpc.messages import Message
from vinoserve_runtime.grpc.methods import Dialogue, Pieces, Streaming, Unary, read
from vinoserve_runtime.grpc.service import SERVICE
from vinoserve_runtime.protocol.errors import InvalidRequestError, ModelNotFoundError

HEALTH: Final = DESCRIPTOR.services_by_name["Health"].full_name
LOOK_SECONDS: Final = 0.5


class Health:
    """Of the server (`""`) and of its one service, which are alike."""

    def __init__(self, dataplane: Dataplane) -> None:
        self._dataplane = dataplane
        self._closing = asyncio.Event()

    def methods(self) -> dict[str, Unary | Streaming]:
        return {"Check": Unary("health", self._check), "Watch": Streaming(self._watch)}

    def close(self) -> None:
        """Ends the watches, for which the server would wait."""
        self._closing.set()

    def _check(self, message: Message) -> Pieces:
        status = self._status(read(HealthCheckRequest, message).service)
        if status == HealthCheckResponse.SERVICE_UNKNOWN:
            raise ModelNotFoundError(f'no such service; there are "" and "{SERVICE}"')
        return [HealthCheckResponse(status=status).SerializeToString()]

    async def _watch(self, dialogue: Dialogue) -> None:
        came = await dialogue.read()
        if came is None:
            raise InvalidRequestError("the request has no message")
        service = read(HealthCheckRequest, came[0]).service
        said = None
        while not self._closing.is_set():
            status = self._status(service)
            if status != said:
                await dialogue.write(HealthCheckResponse(status=status).SerializeToString())
                said = status
            with suppress(TimeoutError):
                await asyncio.wait_for(self._closing.wait(), LOOK_SECONDS)

    def _status(self, service: str) -> HealthCheckResponse.ServingStatus:
        if service not in {"", SERVICE}:
            return HealthCheckResponse.SERVICE_UNKNOWN
        ready = self._dataplane.ready
        return HealthCheckResponse.SERVING if ready else HealthCheckResponse.NOT_SERVING
