"""Large JSON is decoded in a process of its own: orjson holds the interpreter while it reads, so that a thread would stop
everybody else nearly as long (0.23 s of 0.32 s for 37 MB, measured).
"""

import asyncio
import subprocess
import sys
from multiprocessing.connection import Connection, Pipe
from typing import Final, cast

from vinoserve_runtime import json_process
from vinoserve_runtime.json_process import Decoded
from vinoserve_runtime.protocol.errors import NotReadyError, RequestError
from vinoserve_runtime.protocol.signature import Signature

LARGE_JSON_BYTES: Final = 2 << 20
"""Decoded in about 20 ms; a picture in float32 for one of the usual networks is shorter."""


class Decoder:
    """Decodes one body after the other, and leaves the event loop to others meanwhile. Starts its process when it must."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: Connection | None = None

    async def decode(
        self, signature: Signature, body: bytes | memoryview, header_length: int | None
    ) -> Decoded:
        """As `Codec.decode`. Raises NotReadyError where the process is killed, as for want of memory."""
        async with self._lock:
            working = asyncio.get_running_loop().run_in_executor(
                None, self._ask, signature, body, header_length
            )
            try:
                return await asyncio.shield(working)
            except asyncio.CancelledError:
                await asyncio.wait([working])  # the next one needs the connection
                raise

    def close(self) -> None:
        """Nothing is decoded any more."""
        if self._process is None or self._connection is None:
            return
        self._connection.close()
        self._process.kill()
        self._process.wait()
        self._process = self._connection = None

    def _ask(self, signature: Signature, body: bytes | memoryview, header_length: int | None) -> Decoded:
        """In a thread."""
        connection = self._connection or self._start()
        try:
            connection.send((signature, header_length))
            connection.send_bytes(body)
            outcome = json_process.receive(connection)
        except (OSError, EOFError):
            self.close()
            raise NotReadyError(
                "the process that decodes large JSON has ended: is there memory for it?"
            ) from None
        if isinstance(outcome, RequestError):
            raise outcome
        return cast("Decoded", outcome)

    def _start(self) -> Connection:
        ours, its = Pipe()
        with its:
            self._process = subprocess.Popen(
                [sys.executable, "-m", json_process.__name__, str(its.fileno())],
                pass_fds=[its.fileno()],
                stdin=subprocess.DEVNULL,
            )
        self._connection = ours
        return ours
