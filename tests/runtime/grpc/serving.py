"""A gRPC server on an engine of numpy, in a thread of its own, with Triton's client and bare stubs for it."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Any

import grpc
from grpc_health.v1.health_pb2_grpc import HealthStub
from tritonclient.grpc import InferenceServerClient
from tritonclient.grpc.service_pb2_grpc import GRPCInferenceServiceStub

from tests.runtime.own_loop import on_own_loop
from tests.runtime.rest.serving import LIMITS, FakeEngine
from vinoserve_api.contract import RuntimeLimits
from vinoserve_runtime import grpc as transport
from vinoserve_runtime.dataplane import Dataplane
from vinoserve_runtime.metrics import Metrics


@dataclass
class Running:
    dataplane: Dataplane
    loop: asyncio.AbstractEventLoop
    server: transport.Server
    channel: grpc.Channel
    triton: InferenceServerClient

    @property
    def stub(self) -> Any:
        return GRPCInferenceServiceStub(self.channel)

    @property
    def health(self) -> Any:
        return HealthStub(self.channel)

    def call(self, function: Callable[[], Any]) -> Any:
        """Runs `function` on the server's loop."""

        async def run() -> Any:
            result = function()
            return await result if isinstance(result, Awaitable) else result

        return asyncio.run_coroutine_threadsafe(run(), self.loop).result(60)


@contextlib.contextmanager
def serving(engine: FakeEngine | None = None, limits: RuntimeLimits = LIMITS) -> Iterator[Running]:
    """A server of version 1 of model `m`, on a loop in another thread."""

    async def start() -> tuple[transport.Server, tuple[Dataplane, transport.Server]]:
        dataplane = Dataplane("m", "1", limits, Metrics("m", "1"))
        if engine is not None:
            dataplane.attach(engine)
        server = await transport.start(dataplane, "127.0.0.1", 0)
        return server, (dataplane, server)

    with on_own_loop(start) as (loop, (dataplane, server)):
        address = f"127.0.0.1:{server.port}"
        with (
            grpc.insecure_channel(address, [("grpc.max_send_message_length", -1)]) as channel,
            InferenceServerClient(address) as triton,
        ):
            yield Running(dataplane, loop, server, channel, triton)
