"""A REST server on an engine of numpy, in a thread of its own, and a plain-socket client for it."""

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPResponse
from typing import Any

import numpy as np
import orjson

from tests.runtime.own_loop import on_own_loop
from vinoserve_api.contract import RuntimeLimits
from vinoserve_runtime import rest
from vinoserve_runtime.dataplane import Dataplane
from vinoserve_runtime.metrics import Metrics
from vinoserve_runtime.tensors import NUMPY_DTYPES, Array, TensorInfo

LIMITS = RuntimeLimits(
    max_request_bytes=1 << 20, max_queued_requests=4, request_timeout_seconds=30, max_image_pixels=64_000_000
)


def tensor(name: str, datatype: str, *sizes: int | tuple[int, int | None]) -> TensorInfo:
    """`sizes` as the model has them: a number, -1, or (least, most)."""
    bounds = tuple(
        size if isinstance(size, tuple) else (0, None) if size == -1 else (size, size) for size in sizes
    )
    return TensorInfo(name, datatype, tuple(low if low == high else -1 for low, high in bounds), bounds)


class FakeEngine:
    """Answers with `work`; as many at once as `size`."""

    def __init__(
        self,
        inputs: Sequence[TensorInfo],
        outputs: Sequence[TensorInfo],
        work: Callable[[Sequence[Array]], Sequence[Array] | Awaitable[Sequence[Array]]],
        size: int = 1,
    ) -> None:
        self.inputs = tuple(inputs)
        self.outputs = tuple(outputs)
        self.size = size
        self._work = work

    async def infer(self, tensors: Sequence[Array]) -> Sequence[Array]:
        results = self._work(tensors)
        return await results if isinstance(results, Awaitable) else results


def make_echo() -> FakeEngine:
    """Has an input of each datatype with any number of elements, and gives each back."""
    infos = [tensor(f"in_{datatype}", datatype, -1) for datatype in NUMPY_DTYPES]
    outputs = [tensor(f"out_{datatype}", datatype, -1) for datatype in NUMPY_DTYPES]
    return FakeEngine(infos, outputs, list)


def make_adder() -> FakeEngine:
    """y = max(x + 1, 0), of shape [1, 4]."""
    return FakeEngine(
        [tensor("x", "FP32", 1, 4)], [tensor("y", "FP32", 1, 4)], lambda given: [np.maximum(given[0] + 1, 0)]
    )


@dataclass
class Running:
    port: int
    dataplane: Dataplane
    loop: asyncio.AbstractEventLoop
    server: rest.Server

    def call(self, function: Callable[[], Any]) -> Any:
        """Runs `function` on the server's loop."""

        async def run() -> Any:
            result = function()
            return await result if isinstance(result, Awaitable) else result

        return asyncio.run_coroutine_threadsafe(run(), self.loop).result(60)

    def request(
        self, method: str, path: str, body: object = None, headers: dict[str, str] | None = None
    ) -> "Answer":
        """One request on a connection of its own; a body that isn't bytes or an iterator is sent as JSON."""
        content = orjson.dumps(body) if isinstance(body, (dict, list)) else body
        connection = HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(method, path, content, headers or {})
            return Answer.read(connection.getresponse())
        finally:
            connection.close()

    def get(self, path: str, **headers: str) -> "Answer":
        return self.request("GET", path, headers=headers)

    def infer(
        self, body: object, headers: dict[str, str] | None = None, path: str = "/v2/models/m/infer"
    ) -> "Answer":
        return self.request("POST", path, body, headers)


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @classmethod
    def read(cls, response: HTTPResponse) -> "Answer":
        return cls(
            response.status, {name.lower(): value for name, value in response.getheaders()}, response.read()
        )

    @property
    def json(self) -> Any:
        return orjson.loads(self.body)

    @property
    def error(self) -> str:
        assert set(self.json) == {"error"}
        return self.json["error"]


@contextlib.contextmanager
def serving(
    engine: FakeEngine | None = None, limits: RuntimeLimits = LIMITS, name: str = "m"
) -> Iterator[Running]:
    """A server of version 1 of a model, on a loop in another thread."""

    async def start() -> tuple[rest.Server, tuple[Dataplane, rest.Server]]:
        dataplane = Dataplane(name, "1", limits, Metrics(name, "1"))
        if engine is not None:
            dataplane.attach(engine)
        server = await rest.start(dataplane, "127.0.0.1", 0)
        return server, (dataplane, server)

    with on_own_loop(start) as (loop, (dataplane, server)):
        yield Running(server.port, dataplane, loop, server)


def refused(server: Running, body: Any, message: str, headers: dict[str, str] | None = None) -> None:
    """The answer is 400 and says `message`, on one line."""
    answer = server.infer(body if isinstance(body, bytes) else json.dumps(body).encode(), headers)
    assert answer.status == 400, answer.body
    assert message in answer.error
    assert "\n" not in answer.error
    assert len(answer.error) < 1000


def binary(header: dict[str, Any], raw: bytes, *, length: str | None = None) -> tuple[bytes, dict[str, str]]:
    """Body and headers of a request with raw tensors after its JSON."""
    text = orjson.dumps(header)
    return text + raw, {"Inference-Header-Content-Length": str(len(text)) if length is None else length}
