"""Messages of many frames: received in their place, answered whole, and not before there is room for them."""

import socket
from collections.abc import Iterator
from typing import Any

import grpc
import numpy as np
import pytest
from tritonclient.grpc.service_pb2 import ModelInferRequest, ModelInferResponse, ModelStreamInferResponse

from tests.runtime.grpc import http2
from tests.runtime.grpc.serving import Running, serving
from tests.runtime.rest.serving import LIMITS, FakeEngine, tensor
from tests.runtime.rest.waiting import wait_for
from vinoserve_runtime.grpc import calls
from vinoserve_runtime.http2.settings import FRAME_BYTES, STREAM_WINDOW

SERVICE = "/inference.GRPCInferenceService"
LARGE = LIMITS.model_copy(update={"max_request_bytes": 32 << 20})
SEEN: list[int] = []
"""Where the tensors lay in memory."""


def work(given: Any) -> Any:
    SEEN.append(given[0].ctypes.data)
    return given


@pytest.fixture
def server() -> Iterator[Running]:
    engine = FakeEngine([tensor("x", "FP32", -1)], [tensor("y", "FP32", -1)], work, size=4)
    with serving(engine, LARGE) as running:
        yield running
        room = running.dataplane.room
        wait_for(lambda: room.free == room.size)


def values(count: int) -> Any:
    return np.arange(count, dtype=np.float32)


def ask(count: int, ident: str = "") -> bytes:
    request = ModelInferRequest(model_name="m", id=ident, raw_input_contents=[values(count).tobytes()])
    request.inputs.add(name="x", datatype="FP32", shape=[count])
    return request.SerializeToString()


def infer(server: Running, count: int) -> ModelInferResponse:
    with grpc.insecure_channel(
        f"127.0.0.1:{server.server.port}", [("grpc.max_receive_message_length", -1)]
    ) as channel:
        return ModelInferResponse.FromString(
            channel.unary_unary(f"{SERVICE}/ModelInfer")(ask(count), timeout=60)
        )


@pytest.mark.parametrize("count", [STREAM_WINDOW // 4 - 20, STREAM_WINDOW // 4, 300_000, 5_000_000])
def test_large_tensors_are_where_the_engine_wants_them(server: Running, count: int) -> None:
    SEEN.clear()
    response = infer(server, count)
    assert response.raw_output_contents[0] == values(count).tobytes()
    assert SEEN[0] % 4 == 0
    if count > STREAM_WINDOW // 4:
        assert SEEN[0] % 64 == 0


def receive(client: socket.socket, until: bytes) -> bytes:
    """The DATA that comes until trailers with `until` do; more of it is asked for at once."""
    data, body = b"", b""
    while True:
        while len(data) >= 9 and len(data) >= 9 + int.from_bytes(data[:3], "big"):
            length, kind = int.from_bytes(data[:3], "big"), data[3]
            payload, data = data[9 : 9 + length], data[9 + length :]
            if kind == http2.DATA:
                body += payload
            elif kind == 1 and until in payload:
                return body
        more = client.recv(1 << 20)
        assert more
        data += more


@pytest.mark.parametrize("size", [1000, 16384, FRAME_BYTES // 2])
@pytest.mark.parametrize("padded", [False, True])
def test_frames_of_any_length(server: Running, size: int, padded: bool) -> None:
    content = http2.message(ask(700_000))
    first, size = content[:900], size - 6
    frames = []
    for start in range(len(first), len(content), size):
        piece = content[start : start + size]
        flags = 8 if padded else 0
        frames.append(http2.frame(http2.DATA, flags, 1, b"\5" + piece + bytes(5) if padded else piece))
    wide = http2.frame(http2.SETTINGS, 0, 0, b"\0\4\x7f\0\0\0") + http2.frame(8, 0, 0, b"\x7f\0\0\0")
    with socket.create_connection(("127.0.0.1", server.server.port), 60) as client:
        client.sendall(http2.PREFACE + wide + http2.headers(f"{SERVICE}/ModelInfer"))
        client.sendall(http2.frame(http2.DATA, 0, 1, first))  # its prefix widens the window for the rest
        wait_for(lambda: server.dataplane.room.free < server.dataplane.room.size)
        for frame in frames:
            client.sendall(frame)
        client.sendall(http2.frame(http2.DATA, http2.END_STREAM, 1))
        body = receive(client, b"grpc-status\x010")
    response = ModelInferResponse.FromString(body[5:])
    assert response.raw_output_contents[0] == values(700_000).tobytes()


def test_large_and_small_messages_on_a_stream(server: Running) -> None:
    counts = [500_000, 1, 0, 1_000_000, 70_000, 3] * 3
    with grpc.insecure_channel(
        f"127.0.0.1:{server.server.port}", [("grpc.max_receive_message_length", -1)]
    ) as channel:
        asked = [ask(count, str(index)) for index, count in enumerate(counts)]
        said = channel.stream_stream(f"{SERVICE}/ModelStreamInfer")(iter(asked), timeout=60)
        answers = [ModelStreamInferResponse.FromString(one).infer_response for one in said]
    assert len(answers) == len(counts)
    for answer in answers:
        assert answer.raw_output_contents[0] == values(counts[int(answer.id)]).tobytes()


@pytest.mark.parametrize("count", [4, 60_000, 1_000_000])
def test_messages_wait_for_room(server: Running, count: int) -> None:
    """Those of health don't."""
    room = server.dataplane.room
    server.call(lambda: room.take(room.size))
    with grpc.insecure_channel(
        f"127.0.0.1:{server.server.port}", [("grpc.max_receive_message_length", -1)]
    ) as channel:
        waiting = channel.unary_unary(f"{SERVICE}/ModelInfer").future(ask(count), timeout=60)
        stream = channel.stream_stream(f"{SERVICE}/ModelStreamInfer")(iter([ask(count)]), timeout=60)
        wait_for(lambda: len(room._waiting) == 2)
        assert channel.unary_unary(f"{SERVICE}/ServerLive")(b"", timeout=60)
        assert not waiting.done()
        server.call(lambda: room.give(room.size))
        assert ModelInferResponse.FromString(waiting.result()).outputs[0].shape == [count]
        assert len(list(stream)) == 1


def test_no_room_for_too_long(server: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls, "ROOM_SECONDS", 1.0)
    room = server.dataplane.room
    server.call(lambda: room.take(room.size))
    with pytest.raises(grpc.RpcError) as caught:
        infer(server, 4)
    assert caught.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "bytes of requests already" in caught.value.details()
    server.call(lambda: room.give(room.size))
    assert infer(server, 4).outputs
