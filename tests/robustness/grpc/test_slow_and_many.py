"""Clients that stall, lie about sizes or vanish: they are cut or refused, cost nothing, and the others are served."""

import contextlib
import select
import socket
import struct
import time
from collections.abc import Iterator

import grpc
import psutil
import pytest
from tritonclient.grpc.service_pb2 import InferTensorContents, ModelInferRequest

from tests.runtime.grpc import http2
from tests.runtime.grpc.serving import Running, serving
from tests.runtime.rest.gate import Gate, make_limits
from tests.runtime.rest.serving import LIMITS, FakeEngine, make_adder, tensor
from tests.runtime.rest.waiting import wait_for
from vinoserve_runtime.grpc import server as grpc_server

METHOD = "/inference.GRPCInferenceService/ModelInfer"
SLOW = 200
Input = ModelInferRequest.InferInputTensor
GOOD = ModelInferRequest(
    model_name="m",
    inputs=[
        Input(name="x", datatype="FP32", shape=[1, 4], contents=InferTensorContents(fp32_contents=[1] * 4))
    ],
)


@contextlib.contextmanager
def connections(server: Running, count: int, data: bytes) -> Iterator[list[socket.socket]]:
    """So many, each with `data` sent on it."""
    with contextlib.ExitStack() as stack:
        clients = []
        for _ in range(count):
            client = socket.create_connection(("127.0.0.1", server.server.port), timeout=60)
            stack.enter_context(client)
            client.sendall(data)
            clients.append(client)
        yield clients


def is_over(client: socket.socket) -> bool:
    """Reads what there is; whether the server has ended the call or the connection."""
    while select.select([client], [], [], 0)[0]:
        with contextlib.suppress(ConnectionResetError):
            data = client.recv(1 << 16)
            if data and not _ends_a_call(data):
                continue
        return True
    return False


def _ends_a_call(data: bytes) -> bool:
    """Whether one of the frames in it has END_STREAM, or is RST_STREAM or GOAWAY."""
    while len(data) >= 9:
        length, kind, flags = int.from_bytes(data[:3], "big"), data[3], data[4]
        if kind in {http2.RST_STREAM, http2.GOAWAY} or (kind == http2.HEADERS and flags & http2.END_STREAM):
            return True
        data = data[9 + length :]
    return False


def test_messages_that_stop_half_way_are_cut_while_others_are_served() -> None:
    """And so are connections that never become one."""
    half = (
        http2.hello()
        + http2.headers(METHOD)
        + http2.frame(http2.DATA, 0, 1, http2.message(b"x", length=1000))
    )
    with (
        serving(make_adder(), make_limits(4, seconds=5)) as server,
        connections(server, SLOW, half) as messages,
        connections(server, SLOW, http2.PREFACE[:5]) as prefaces,
    ):
        began = time.monotonic()
        alive = [*messages, *prefaces]
        good = 0
        while alive and time.monotonic() < began + 60:
            assert server.stub.ModelInfer(GOOD, timeout=60).outputs
            good += 1
            alive = [client for client in alive if not is_over(client)]
        assert not alive
        assert (
            time.monotonic() - began < 30
        )  # 10 seconds to the later deadline; the rest is for a busy machine
        assert good > 10
        assert server.dataplane.metrics.requests["grpc", "infer", "DEADLINE_EXCEEDED"] == SLOW


@pytest.mark.parametrize("shape", [[2**31, 2**31], [2**62, 1], [1, 2**40], [2**63 - 1, 2**63 - 1]])
def test_huge_declared_tensors_cost_nothing(shape: list[int]) -> None:
    engine = FakeEngine([tensor("x", "FP64", -1, -1)], [tensor("y", "FP64", -1, -1)], list)
    bare = Input(name="x", datatype="FP64", shape=shape)
    typed = Input(name="x", datatype="FP64", shape=shape, contents=InferTensorContents(fp64_contents=[1, 2]))
    with serving(engine) as server:
        before = psutil.Process().memory_info().rss
        for one, raw in ((bare, []), (typed, []), (bare, [bytes(8)]), (bare, [b""])):
            seconds = []
            for _ in range(5):
                began = time.perf_counter()
                with pytest.raises(grpc.RpcError) as caught:
                    server.stub.ModelInfer(
                        ModelInferRequest(model_name="m", inputs=[one], raw_input_contents=raw), timeout=60
                    )
                seconds.append(time.perf_counter() - began)
                assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
                assert caught.value.details().startswith('input "x"')
            assert min(seconds) < 0.1
        assert psutil.Process().memory_info().rss - before < 16 << 20


def test_a_message_said_to_be_a_gigabyte_is_refused_at_once() -> None:
    lie = http2.frame(http2.DATA, 0, 1, http2.message(b"x", length=1 << 30))
    seconds = []
    with serving(make_adder()) as server:
        before = psutil.Process().memory_info().rss
        for _ in range(5):
            with connections(server, 1, http2.hello() + http2.headers(METHOD)) as (client,):
                began = time.perf_counter()
                client.sendall(lie)
                wait_for(lambda client=client: is_over(client))
                seconds.append(time.perf_counter() - began)
        assert min(seconds) < 0.1
        assert psutil.Process().memory_info().rss - before < 16 << 20
        assert server.stub.ModelInfer(GOOD, timeout=60).outputs


def test_lengths_that_are_lies_cost_no_memory() -> None:
    limits = LIMITS.model_copy(update={"max_request_bytes": 64 << 20})
    lie = http2.frame(http2.DATA, 0, 1, http2.message(b"x", length=60_000_000))
    with serving(make_adder(), limits) as server:
        assert server.stub.ModelInfer(GOOD, timeout=60).outputs
        before = psutil.Process().memory_info().rss
        with connections(server, 100, http2.hello() + http2.headers(METHOD) + lie):
            assert server.stub.ModelInfer(GOOD, timeout=60).outputs
            assert psutil.Process().memory_info().rss - before < 64 << 20  # of 6 GB that they announced


def test_connections_past_the_limit_are_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grpc_server, "MAX_CONNECTIONS", 20)
    with serving(make_adder()) as server:
        assert server.stub.ModelInfer(GOOD, timeout=60).outputs  # the client's own is one of them
        with connections(server, 30, http2.hello()) as clients:
            wait_for(lambda: sum(map(is_over, clients)) >= 10)
            assert server.stub.ModelInfer(GOOD, timeout=60).outputs


def test_clients_that_vanish_leave_nothing_behind() -> None:
    gate = Gate(1)
    x = Input(name="x", datatype="FP32", shape=[1], contents=InferTensorContents(fp32_contents=[7]))
    request = ModelInferRequest(model_name="m", inputs=[x])
    data = http2.request(METHOD, request.SerializeToString())
    with serving(gate.engine, make_limits(100)) as server:
        for length in (*range(1, len(data), 7), *[len(data)] * 20):
            with connections(server, 1, data[:length]) as (client,):
                client.setsockopt(
                    socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
                )  # close by reset
        server.call(gate.open.set)
        assert server.stub.ModelInfer(request, timeout=60).outputs
        wait_for(lambda: (server.dataplane.in_flight, server.dataplane.queue_length) == (0, 0))
        assert gate.running == 0
