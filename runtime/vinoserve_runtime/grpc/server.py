"""The socket, and grpcio's settings."""

import asyncio
from typing import Final

import grpc.aio

from vinoserve_runtime.dataplane import Dataplane
from vinoserve_runtime.grpc.health import Health
from vinoserve_runtime.grpc.methods import Methods
from vinoserve_runtime.grpc.reflection import make_reflection_handler
from vinoserve_runtime.grpc.service import InferenceService
from vinoserve_runtime.sockets import count_connections, listen

SPARE_RPCS: Final = 1024
"""Beside the inferences that wait: health, metadata, streams, and messages that are still coming."""

GRACE_SECONDS: Final = 1.0
"""For the last responses to leave, once all inferences are done."""

OPTIONS: Final = (
    ("grpc.so_reuseport", 0),  # else two servers share a port and nobody is told
    ("grpc.max_send_message_length", -1),
    # A client that is gone without a word is found out, and its place in the queue freed.
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    # Clients may ask as often whether the server is there.
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
    # Connections on which nothing sensible comes.
    ("grpc.server_handshake_timeout_ms", 10_000),
    ("grpc.max_connection_idle_ms", 600_000),
)

MAX_CONNECTIONS: Final = 1024
"""Each carries any number of calls."""


class Server:
    """Listens from `start` to `close`."""

    def __init__(self, dataplane: Dataplane) -> None:
        limits = dataplane.limits
        self._server = grpc.aio.server(
            options=[
                *OPTIONS,
                ("grpc.max_receive_message_length", limits.max_request_bytes),
                ("grpc.max_allowed_incoming_connections", count_connections(MAX_CONNECTIONS, share=4)),
            ],
            maximum_concurrent_rpcs=limits.max_queued_requests + SPARE_RPCS,
        )
        methods = Methods(dataplane)
        self._service = InferenceService(dataplane, methods)
        self._health = Health(dataplane, methods)
        self._server.add_generic_rpc_handlers(
            (self._service.make_handler(), self._health.make_handler(), make_reflection_handler(methods))
        )
        self._port = 0
        self._stopping: asyncio.Task[None] | None = None

    @property
    def port(self) -> int:
        return self._port

    async def start(self, host: str | None, port: int) -> None:
        """Raises OSError where the address can't be had."""
        listen(host, port).close()  # says why not, which grpcio doesn't
        shown = "[::]" if host is None else f"[{host}]" if ":" in host else host
        self._port = self._server.add_insecure_port(f"{shown}:{port}")
        starting = asyncio.ensure_future(self._server.start())
        try:
            await asyncio.shield(starting)  # grpcio can't be stopped half-way
        except asyncio.CancelledError:
            await starting
            await self._server.stop(None)  # else it is, in vain, when the loop is closed
            raise

    def close(self) -> None:
        """Takes no more requests, and ends each connection after its last answer."""
        self._health.close()
        self._service.close()
        self._stopping = asyncio.ensure_future(self._server.stop(GRACE_SECONDS))

    async def wait_closed(self) -> None:
        """Until the last connection is gone."""
        if self._stopping is not None:
            await self._stopping
