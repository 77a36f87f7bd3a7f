"""ModelStreamInfer: Triton's client, the order of answers, errors, limits and ends."""

import asyncio
import itertools
import queue
import socket
import struct
import threading
from collections.abc import Iterator
from typing import Any

import grpc
import numpy as np
import pytest
from tritonclient.grpc import InferInput, InferResult
from tritonclient.grpc.service_pb2 import InferTensorContents, ModelInferRequest, ModelStreamInferResponse

from tests.runtime.grpc import http2
from tests.runtime.grpc.serving import Running, serving
from tests.runtime.rest.gate import Gate, make_limits
from tests.runtime.rest.serving import LIMITS, FakeEngine, make_adder, tensor
from tests.runtime.rest.waiting import wait_for
from vinoserve_runtime.grpc import application, stream

METHOD = "/inference.GRPCInferenceService/ModelStreamInfer"


def ask(ident: str = "", value: float = 7, model: str = "m") -> ModelInferRequest:
    contents = InferTensorContents(fp32_contents=[value])
    given = ModelInferRequest.InferInputTensor(name="x", datatype="FP32", shape=[1], contents=contents)
    return ModelInferRequest(model_name=model, id=ident, inputs=[given])


class Stream:
    """A stream by hand: requests go when they are sent, answers are read when they are wanted."""

    def __init__(self, server: Running, **call: Any) -> None:
        self._requests: queue.SimpleQueue[ModelInferRequest | None] = queue.SimpleQueue()
        self.answers = server.stub.ModelStreamInfer(iter(self._requests.get, None), **call)

    def send(self, *requests: ModelInferRequest) -> None:
        for request in requests:
            self._requests.put(request)

    def end(self) -> None:
        self._requests.put(None)

    def next(self) -> ModelStreamInferResponse:
        return next(self.answers)

    def fails_with(self) -> tuple[str, str]:
        with pytest.raises(grpc.RpcError) as caught:
            list(self.answers)
        return caught.value.code().name, caught.value.details()


@pytest.fixture
def server(gate: Gate) -> Iterator[Running]:
    with serving(gate.engine, make_limits(4)) as running:
        yield running


def test_tritons_client() -> None:
    """Each answer with its id; an error is the request's alone, and the stream goes on."""
    found: queue.Queue[tuple[InferResult | None, Any]] = queue.Queue()
    with serving(make_adder(), make_limits(8)) as server:
        server.triton.start_stream(lambda result, error: found.put((result, error)))
        for index in range(20):
            shape = [1, 5] if index % 5 == 4 else [1, 4]
            given = InferInput("x", shape, "FP32")
            given.set_data_from_numpy(np.full(shape, index, np.float32))
            server.triton.async_stream_infer("m", [given], request_id=str(index))
        answers = [found.get(timeout=60) for _ in range(20)]
        server.triton.stop_stream()
    good = {result.get_response().id: result for result, error in answers if result is not None}
    assert sorted(map(int, good)) == [index for index in range(20) if index % 5 != 4]
    for ident, result in good.items():
        assert result.as_numpy("y").tolist() == [[int(ident) + 1] * 4]
        assert result.get_response().parameters["triton_final_response"].bool_param
    wrong = [error.message() for _, error in answers if error is not None]
    assert len(wrong) == 4
    assert all('input "x": shape [1, 5] doesn\'t fit' in message for message in wrong)


def test_an_error_has_the_id_of_its_request(server: Running, gate: Gate) -> None:
    server.call(gate.open.set)
    conversation = Stream(server)
    conversation.send(ask("a", model="other"))
    answer = conversation.next()
    assert "no model" in answer.error_message
    assert answer.infer_response.id == "a"
    conversation.send(ask("b"))
    answer = conversation.next()
    assert (answer.error_message, answer.infer_response.id) == ("", "b")
    conversation.end()
    assert list(conversation.answers) == []
    counted = server.dataplane.metrics.requests
    assert counted == {("grpc", "infer", "NOT_FOUND"): 1, ("grpc", "infer", "OK"): 1}


def test_a_message_that_is_none_is_answered_like_other_errors(server: Running, gate: Gate) -> None:
    server.call(gate.open.set)
    good = ask("good").SerializeToString()
    answers = server.channel.stream_stream(METHOD)(iter([b"\xff", good]))
    said = {ModelStreamInferResponse.FromString(answer).error_message for answer in answers}
    assert "" in said
    assert any("malformed message" in text for text in said)


def test_answers_come_as_they_are_done() -> None:
    """The first request waits for the second."""
    second_came = asyncio.Event()

    async def work(given: Any) -> Any:
        if given[0][0] == 1:
            await second_came.wait()
        else:
            second_came.set()
        return given

    engine = FakeEngine([tensor("x", "FP32", 1)], [tensor("y", "FP32", 1)], work, size=2)
    with serving(engine) as server:
        conversation = Stream(server)
        conversation.send(ask("first", 1), ask("second", 2))
        assert [conversation.next().infer_response.id for _ in range(2)] == ["second", "first"]
        conversation.end()


def test_past_the_queue_a_request_is_refused_and_the_stream_goes_on(server: Running, gate: Gate) -> None:
    conversation = Stream(server)
    conversation.send(*[ask(str(index)) for index in range(6)])
    answer = conversation.next()
    assert "4 requests wait" in answer.error_message
    server.call(gate.open.set)
    assert {conversation.next().error_message for _ in range(5)} == {""}
    conversation.end()


def test_a_stream_has_so_many_requests_in_flight(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    """Others are left in the connection, and asked when there is room."""
    monkeypatch.setattr(stream, "IN_FLIGHT", 3)
    with serving(gate.engine, make_limits(100)) as server:
        most, rounds = 0, 20
        conversation = Stream(server)
        conversation.send(*[ask(str(index)) for index in range(rounds)])
        wait_for(lambda: server.dataplane.queue_length == 2)
        server.call(gate.open.set)
        for _ in range(rounds):
            most = max(most, server.dataplane.in_flight + server.dataplane.queue_length)
            assert conversation.next().error_message == ""
        assert most <= 3
        assert gate.began == rounds
        conversation.end()


def test_a_client_that_takes_no_answers_is_not_read_from() -> None:
    """What it costs is bounded by the requests in flight, not by what it sends."""
    size = 1 << 20
    engine = FakeEngine(
        [tensor("x", "FP32", 1)], [tensor("y", "UINT8", size)], lambda _: [np.zeros(size, np.uint8)]
    )
    with serving(engine) as server:
        conversation = Stream(server)
        conversation.send(*[ask(str(index)) for index in range(400)])
        counted = server.dataplane.metrics.requests
        settled = itertools.pairwise(_watch(lambda: counted["grpc", "infer", "OK"]))
        assert next(before for before, after in settled if before == after and before > 0) < 200
        for _ in range(400):
            conversation.next()
        conversation.end()


def _watch(value: Any) -> Iterator[int]:
    """Once a second."""
    while True:
        yield value()
        threading.Event().wait(1)


@pytest.mark.parametrize("how", ["cancelled", "deadline"])
def test_a_stream_that_ends_takes_its_requests_along(server: Running, gate: Gate, how: str) -> None:
    conversation = Stream(server, timeout=2 if how == "deadline" else 60)
    conversation.send(ask(), ask(), ask())
    wait_for(lambda: (server.dataplane.in_flight, server.dataplane.queue_length) == (1, 2))
    if how == "cancelled":
        conversation.answers.cancel()
    wait_for(lambda: (server.dataplane.in_flight, server.dataplane.queue_length) == (0, 0))
    assert gate.began == 1
    conversation.end()


def test_each_request_has_the_servers_timeout(gate: Gate) -> None:
    with serving(gate.engine, make_limits(4, seconds=1)) as server:
        conversation = Stream(server)
        conversation.send(ask("late"))
        answer = conversation.next()
        assert (answer.error_message, answer.infer_response.id) == ("no result within 1 seconds", "late")
        server.call(gate.open.set)
        conversation.send(ask("in time"))
        assert conversation.next().infer_response.id == "in time"
        conversation.end()


def test_a_closing_server_ends_streams_when_they_are_answered(server: Running, gate: Gate) -> None:
    conversation = Stream(server)
    conversation.send(ask("in flight"))
    wait_for(lambda: server.dataplane.in_flight == 1)
    drained = asyncio.run_coroutine_threadsafe(server.dataplane.drain(60), server.loop)
    wait_for(lambda: server.dataplane._refusing)
    conversation.send(ask("too late"))
    answer = conversation.next()
    assert (answer.error_message, answer.infer_response.id) == ("the server is shutting down", "too late")
    server.call(gate.open.set)
    assert conversation.next().infer_response.id == "in flight"
    assert drained.result(60)
    server.call(server.server.close)
    assert conversation.fails_with() == ("UNAVAILABLE", "the server is shutting down")
    conversation.end()


def test_so_many_streams(server: Running, gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(application, "MAX_STREAMS", 2)
    server.call(gate.open.set)
    streams = [Stream(server) for _ in range(2)]
    for one in streams:
        one.send(ask())
        assert one.next().infer_response.model_name == "m"
    third = Stream(server)
    assert third.fails_with() == ("RESOURCE_EXHAUSTED", "2 streams are open already")
    for one in (*streams, third):
        one.end()
    assert list(streams[0].answers) == []
    wait_for(lambda: _is_let_in(server))


def _is_let_in(server: Running) -> bool:
    one = Stream(server)
    one.send(ask())
    one.end()
    try:
        return bool(list(one.answers))
    except grpc.RpcError:
        return False


def test_a_message_that_is_too_large_ends_the_stream(
    server: Running, gate: Gate, caplog: pytest.LogCaptureFixture
) -> None:
    """It can't be read, nor what comes after it; what came before has its place no more."""
    conversation = Stream(server)
    conversation.send(ask(), ask("x" * LIMITS.max_request_bytes))
    code, details = conversation.fails_with()
    assert code == "RESOURCE_EXHAUSTED"
    assert "larger than max" in details
    conversation.end()
    wait_for(lambda: server.dataplane.in_flight == 0)
    assert not caplog.records


def test_a_client_that_vanishes_takes_its_requests_along(
    server: Running, gate: Gate, caplog: pytest.LogCaptureFixture
) -> None:
    message = http2.frame(http2.DATA, 0, 1, http2.message(ask().SerializeToString()))
    with socket.create_connection(("127.0.0.1", server.server.port), 60) as client:
        client.sendall(http2.hello() + http2.headers(METHOD) + message * 3)
        wait_for(lambda: (server.dataplane.in_flight, server.dataplane.queue_length) == (1, 2))
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # close by reset
    wait_for(lambda: (server.dataplane.in_flight, server.dataplane.queue_length) == (0, 0))
    wait_for(lambda: server.dataplane.room.free == server.dataplane.room.size)
    assert gate.began == 1
    assert not caplog.records
