"""A request body of known length, received where the tensors will be read from."""

import asyncio
from collections.abc import Callable

import numpy as np

ALIGNMENT = 64


class Body:
    """Room for `length` bytes; the memory is the process's only as bytes arrive (the kernel backs untouched pages lazily).

    `aligned_at` is the offset, in the body, of what should be aligned in memory: the first binary tensor, so that it can
    be handed to OpenVINO as it is.
    """

    def __init__(self, length: int, aligned_at: int) -> None:
        memory = np.empty(length + ALIGNMENT, np.uint8)
        start = -(memory.ctypes.data + aligned_at) % ALIGNMENT
        self.view = memory[start : start + length].data
        self.received = 0

    @property
    def missing(self) -> int:
        return len(self.view) - self.received

    def write(self, data: bytes | memoryview) -> bytes | memoryview:
        """Takes what belongs to the body, returns the rest."""
        taken = min(len(data), self.missing)
        self.view[self.received : self.received + taken] = data[:taken]
        self.received += taken
        return data[taken:]


class BodyReceiver(asyncio.BufferedProtocol):
    """Stands in for the connection while a large body comes: the transport reads straight into it."""

    def __init__(self, connection: asyncio.Protocol, body: Body, received: Callable[[], None]) -> None:
        self._connection = connection
        self._body = body
        self._received = received

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - as much as the body still takes
        return self._body.view[self._body.received :]

    def buffer_updated(self, nbytes: int) -> None:
        self._body.received += nbytes
        self._received()

    def eof_received(self) -> bool | None:
        return self._connection.eof_received()

    def pause_writing(self) -> None:
        self._connection.pause_writing()

    def resume_writing(self) -> None:
        self._connection.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        self._connection.connection_lost(exc)
