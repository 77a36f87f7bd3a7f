"""The quick lane: requests that are answered within the read that brought them."""

import asyncio
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import orjson
import pytest

from tests.runtime.rest.raw_http import Wire, request
from tests.runtime.rest.serving import LIMITS, FakeEngine, Running, binary, serving, tensor
from vinoserve_runtime import rest
from vinoserve_runtime.dataplane import Dataplane
from vinoserve_runtime.metrics import Metrics
from vinoserve_runtime.rest.connection import Connection
from vinoserve_runtime.tensors import Array

INFER = "/v2/models/m/infer"


class QuickAdder(FakeEngine):
    """y = x + 1, FP32 of [2], at once; negative numbers in its own time."""

    is_quick = True

    def __init__(self) -> None:
        self.slow = 0
        super().__init__([tensor("x", "FP32", 2)], [tensor("y", "FP32", 2)], self._add)

    def infer_now(self, tensors: Sequence[Array]) -> Sequence[Array] | None:
        return None if (tensors[0] < 0).any() else [tensors[0] + 1]

    def _add(self, given: Sequence[Array]) -> Sequence[Array]:
        self.slow += 1
        return [given[0] + 1]


@pytest.fixture(scope="module")
def engine() -> QuickAdder:
    return QuickAdder()


@pytest.fixture(scope="module")
def server(engine: QuickAdder) -> Iterator[Running]:
    with serving(engine) as running:
        yield running


def body(*values: float) -> bytes:
    return orjson.dumps({"inputs": [{"name": "x", "datatype": "FP32", "shape": [2], "data": values}]})


def counts(metrics: Metrics) -> tuple[int, ...]:
    histograms = (metrics.request_seconds, metrics.queue_seconds, metrics.inference_seconds)
    return metrics.requests["rest", "infer", 200], *(histogram.count for histogram in histograms)


def test_json_and_binary(server: Running) -> None:
    for values in ([1, 2], [3, 4]):
        assert server.infer(body(*values)).json["outputs"][0]["data"] == [value + 1 for value in values]
        header = {
            "inputs": [
                {"name": "x", "datatype": "FP32", "shape": [2], "parameters": {"binary_data_size": 8}}
            ],
            "parameters": {"binary_data_output": True},
        }
        answer = server.infer(*binary(header, np.array(values, np.float32).tobytes()))
        assert (
            answer.body[int(answer.headers["inference-header-content-length"]) :]
            == (np.array(values, np.float32) + 1).astype(np.float32).tobytes()
        )


def test_what_is_not_quick_is_asked_for_in_turn(server: Running, engine: QuickAdder) -> None:
    before = counts(server.dataplane.metrics), engine.slow
    assert server.infer(body(-1, 0)).json["outputs"][0]["data"] == [0, 1]
    assert server.infer(body(1, 0)).json["outputs"][0]["data"] == [2, 1]
    assert counts(server.dataplane.metrics) == tuple(count + 2 for count in before[0])
    assert engine.slow == before[1] + 1


def test_refusals_and_compressed_answers(server: Running) -> None:
    assert server.infer(body(1)).status == 400
    assert server.infer(b"{").status == 400
    zipped = server.infer(body(1, 2), {"Accept-Encoding": "gzip"})
    assert (zipped.status, zipped.headers["content-encoding"]) == (200, "gzip")


def test_requests_sent_ahead_are_answered_in_order(server: Running) -> None:
    with Wire(server) as wire:
        wire.send(b"".join(request("POST", INFER, body(number, 0)) for number in range(40)))
        for number in range(40):
            assert wire.answer().json["outputs"][0]["data"] == [number + 1, 1]


def test_a_server_that_drains_refuses_at_once() -> None:
    with serving(QuickAdder()) as server:
        assert server.call(lambda: server.dataplane.drain(5))
        assert server.infer(body(1, 2)).status == 503


class Transport:
    """Notes what is written."""

    def __init__(self) -> None:
        self.written: list[bytes] = []

    def is_closing(self) -> bool:
        return False

    def write(self, data: bytes) -> None:
        self.written.append(data)

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass


async def test_a_connection_has_one_request_answered_in_a_turn_of_the_loop() -> None:
    """So that a client that sends a thousand at once keeps nobody waiting for a thousand inferences."""
    dataplane = Dataplane("m", "1", LIMITS, Metrics("m", "1"))
    dataplane.attach(QuickAdder())
    server = await rest.start(dataplane, "127.0.0.1", 0)
    transport: Any = Transport()
    connection = Connection(server)
    connection.connection_made(transport)
    connection.data_received(request("POST", INFER, body(1, 2)) * 5)
    for turn in range(1, 6):
        await asyncio.sleep(0)
        assert len(transport.written) == turn
    await asyncio.sleep(0)
    assert len(transport.written) == 5
    connection.data_received(request("POST", INFER, body(1, 2)))
    await asyncio.sleep(0)
    assert len(transport.written) == 6
    connection.connection_lost(None)
    server.close()
    await server.wait_closed()
