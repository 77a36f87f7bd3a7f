"""Clients that know HTTP/2 and mean no good: each is told why and cut off, others are served, and nothing is left behind."""

import contextlib
import socket
import time
from collections.abc import Iterator

import numpy as np
import psutil
import pytest
from tritonclient.grpc.service_pb2 import InferTensorContents, ModelInferRequest

from tests.runtime.grpc import http2
from tests.runtime.grpc.serving import Running, serving
from tests.runtime.rest.gate import make_limits
from tests.runtime.rest.serving import LIMITS, FakeEngine, make_adder, tensor
from tests.runtime.rest.waiting import wait_for
from vinoserve_runtime.grpc import messages
from vinoserve_runtime.http2 import endpoint, outlet
from vinoserve_runtime.http2.errors import ErrorCode

METHOD = "/inference.GRPCInferenceService/ModelInfer"
STREAM = "/inference.GRPCInferenceService/ModelStreamInfer"
Input = ModelInferRequest.InferInputTensor
GOOD = ModelInferRequest(
    model_name="m",
    inputs=[
        Input(name="x", datatype="FP32", shape=[1, 4], contents=InferTensorContents(fp32_contents=[1] * 4))
    ],
)
CONTINUATION, WINDOW_UPDATE = 9, 8
CALM = ErrorCode.ENHANCE_YOUR_CALM


@pytest.fixture
def server() -> Iterator[Running]:
    with serving(make_adder()) as running:
        yield running
        assert running.stub.ModelInfer(GOOD, timeout=60).outputs
        wait_for(lambda: running.dataplane.in_flight == 0)
        wait_for(lambda: running.dataplane.room.free == running.dataplane.room.size)


@contextlib.contextmanager
def connected(server: Running) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", server.server.port), timeout=60) as client:
        yield client


def last_words(client: socket.socket) -> bytes:
    """All that comes until the server closes its side."""
    said = b""
    with contextlib.suppress(ConnectionResetError):
        while data := client.recv(1 << 16):
            said += data
    return said


def goaway_of(said: bytes) -> int | None:
    """The code of the GOAWAY in it."""
    while said:
        length, kind = int.from_bytes(said[:3], "big"), said[3]
        if kind == http2.GOAWAY:
            return int.from_bytes(said[13:17], "big")
        said = said[9 + length :]
    return None


def flood(server: Running, data: bytes) -> int | None:
    with connected(server) as client:
        with contextlib.suppress(ConnectionResetError, BrokenPipeError):
            client.sendall(data)
        return goaway_of(last_words(client))


def test_http1_is_told_where_it_is(server: Running) -> None:
    for request in (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"POST /v2/models/m/infer HTTP/1.1\r\n\r\n{}"):
        with connected(server) as client:
            client.sendall(request)
            said = last_words(client)
        assert said.startswith(b"HTTP/1.1 400 Bad Request\r\n")
        assert b"HTTP/2" in said


@pytest.mark.parametrize(
    "data", [b"\x16\x03\x01\x02\x00\x01\x00", b"\0" * 100, b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n"]
)
def test_what_is_no_http2_at_all(server: Running, data: bytes) -> None:
    assert flood(server, data) == ErrorCode.PROTOCOL_ERROR


def opened(stream: int, flags: int = 5) -> bytes:
    whole = http2.headers(METHOD, stream=stream)
    return whole[:4] + bytes([flags]) + whole[5:]


FLOODS = {
    "pings": (http2.frame(http2.PING, 0, 0, bytes(8)) * 20_000, CALM),
    "settings": (http2.frame(http2.SETTINGS, 0, 0) * 20_000, CALM),
    "empty data": (opened(1, 4) + http2.frame(http2.DATA, 0, 1) * 20_000, CALM),
    "continuations": (opened(1, 0) + http2.frame(CONTINUATION, 0, 1) * 100, CALM),
    "long continuations": (opened(1, 0) + http2.frame(CONTINUATION, 0, 1, bytes(16_000)) * 10, CALM),
    "windows": (opened(1, 4) + http2.frame(WINDOW_UPDATE, 0, 1, b"\0\0\0\1") * 20_000, CALM),
    "rapid resets": (
        b"".join(opened(i, 4) + http2.frame(http2.RST_STREAM, 0, i, bytes(4)) for i in range(1, 6001, 2)),
        CALM,
    ),
    "resets by us": (b"".join(http2.frame(1, 5, i, b"\x83\x84") for i in range(1, 6001, 2)), CALM),
    "a bomb": (
        http2.frame(1, 5, 1, b"\x83\x86\x84\x40\x01x\x7f\xa1\x1e" + b"y" * 4000 + b"\xbe" * 12_000),
        CALM,
    ),
    "no hpack": (http2.frame(1, 5, 1, b"\xff\xff\xff\xff\xff\xff\xff"), ErrorCode.COMPRESSION_ERROR),
    "an oversized frame": (opened(1, 4) + b"\xff\xff\xff\0\0\0\0\0\1", ErrorCode.FRAME_SIZE_ERROR),
    "too much data": (
        opened(1, 4)
        + http2.frame(http2.DATA, 0, 1, http2.message(b"", length=900_000))
        # the window grows with what is expected, and not further
        + http2.frame(http2.DATA, 0, 1, bytes(1_000_000)),
        ErrorCode.FLOW_CONTROL_ERROR,
    ),
}


@pytest.mark.parametrize("name", FLOODS)
def test_floods(server: Running, name: str) -> None:
    data, code = FLOODS[name]
    assert flood(server, http2.hello() + data) == code


def test_resets_cancel_what_they_asked_for(server: Running) -> None:
    """Below what is too much, too."""
    good = http2.message(GOOD.SerializeToString())
    data = b"".join(
        opened(i, 4) + http2.frame(http2.DATA, 1, i, good) + http2.frame(http2.RST_STREAM, 0, i, bytes(4))
        for i in range(1, 1000, 2)
    )
    with connected(server) as client:
        client.sendall(http2.hello() + data + http2.frame(http2.PING, 0, 0, b"the last"))
        said = b""
        while b"the last" not in said:
            said += client.recv(1 << 16)
    assert goaway_of(said) is None


ROW = 1 << 20
BIG_LIMITS = LIMITS.model_copy(update={"max_queued_requests": 2000, "max_request_bytes": 1 << 20})


def test_answers_that_nobody_takes_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """In memory by the room that all share, and in time; who has room to read is served then."""
    monkeypatch.setattr(outlet, "STALL_SECONDS", 3.0)
    engine = FakeEngine(
        [tensor("x", "FP32", 1, 4)], [tensor("y", "UINT8", ROW)], lambda _: [np.zeros(ROW, np.uint8)]
    )
    asked = b"".join(
        opened(i, 4) + http2.frame(http2.DATA, 1, i, http2.message(GOOD.SerializeToString()))
        for i in range(1, 1001, 2)
    )
    no_window = http2.PREFACE + http2.frame(http2.SETTINGS, 0, 0, b"\0\4\0\0\0\0")
    with serving(engine, BIG_LIMITS) as server:
        assert server.stub.ModelInfer(GOOD, timeout=60).outputs
        before = psutil.Process().memory_info().rss
        most = 0
        with contextlib.ExitStack() as stack:
            for _ in range(4):  # 2,000 answers of 1 MiB
                client = stack.enter_context(connected(server))
                client.sendall(no_window + asked)
            wait_for(lambda: server.dataplane.room.free < 1 << 20)
            end = time.monotonic() + 2
            while time.monotonic() < end:
                most = max(most, psutil.Process().memory_info().rss - before)
            wait_for(lambda: server.dataplane.room.free == server.dataplane.room.size)
            assert server.stub.ModelInfer(GOOD, timeout=60).outputs
        assert most < 2 * server.dataplane.room.size


def test_a_message_that_trickles_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    """Long before the time for a whole message is over; on streams too."""
    monkeypatch.setattr(messages, "MESSAGE_SECONDS", 2.0)
    with serving(make_adder(), make_limits(4, seconds=600)) as server:
        for method in (METHOD, STREAM):
            with connected(server) as client:
                client.sendall(http2.hello() + http2.headers(method))
                client.sendall(http2.frame(http2.DATA, 0, 1, http2.message(b"x", length=1000)))
                client.settimeout(0.2)
                said, began = b"", time.monotonic()
                while b"did not arrive in time" not in said:
                    client.sendall(http2.frame(http2.DATA, 0, 1, b"x"))
                    with contextlib.suppress(TimeoutError):
                        said += client.recv(1 << 16)
                assert 1 < time.monotonic() - began < 30
        wait_for(lambda: server.dataplane.room.free == server.dataplane.room.size)


def test_a_client_that_is_gone_without_a_word_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is asked, and doesn't answer; one that does stays."""
    monkeypatch.setattr(endpoint, "PING_SECONDS", 1.0)
    monkeypatch.setattr(endpoint, "PONG_SECONDS", 2.0)
    with serving(make_adder()) as server, connected(server) as silent:
        silent.sendall(http2.hello())
        assert server.stub.ModelInfer(GOOD, timeout=60).outputs
        said = last_words(silent)
        assert http2.frame(http2.PING, 0, 0, bytes(8)) in said
        assert server.server._server.connections == 1
        assert server.stub.ModelInfer(GOOD, timeout=60).outputs


def test_idle_connections_are_closed_politely(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoint, "IDLE_SECONDS", 1.0)
    with serving(make_adder()) as server, connected(server) as client:
        client.sendall(http2.hello())
        assert goaway_of(last_words(client)) == ErrorCode.NO_ERROR
        assert server.stub.ModelInfer(GOOD, timeout=60).outputs


def test_no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoint, "HANDSHAKE_SECONDS", 1.0)
    with serving(make_adder()) as server, connected(server) as client:
        client.sendall(http2.PREFACE)
        assert goaway_of(last_words(client)) == ErrorCode.SETTINGS_TIMEOUT
