"""Messages as they come: none, several, damaged, compressed, too large; and what is said of them."""

import gzip
import socket
from typing import Any

import grpc
import numpy as np
import pytest
from tritonclient.grpc.service_pb2 import ModelInferRequest

from tests.runtime.grpc import http2
from tests.runtime.grpc.asking import METHOD, REQUEST, infer_error
from tests.runtime.grpc.serving import Running, serving
from tests.runtime.rest.serving import LIMITS, FakeEngine, tensor

GZIP = (("grpc-encoding", "gzip"),)


def test_no_message_at_all(adder: Running) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        adder.channel.stream_unary(METHOD)(iter(()))
    assert (caught.value.code(), caught.value.details()) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        "the request has no message",
    )


@pytest.mark.parametrize("message", [b"\xff", b"\x0a\x02\xff\xfe"], ids=["cut off", "not UTF-8"])
def test_malformed_messages(adder: Running, message: bytes) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        adder.channel.unary_unary(METHOD)(message)
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert "malformed message" in caught.value.details()


@pytest.mark.parametrize("compression", [grpc.Compression.Gzip, grpc.Compression.Deflate])
@pytest.mark.parametrize("size", [1, 50_000])
def test_compressed_messages(adder: Running, compression: grpc.Compression, size: int) -> None:
    name = "x" * size
    code, details = infer_error(adder, ModelInferRequest(model_name=name), compression=compression)
    assert code == "NOT_FOUND"
    assert f'no model "{name[:50]}' in details
    assert adder.dataplane.room.free == adder.dataplane.room.size


def raw_call(server: Running, frames: bytes) -> bytes:
    """All that is answered to the bytes of a connection, until the stream is over."""
    answer = b""
    with socket.create_connection(("127.0.0.1", server.server.port), 60) as client:
        client.sendall(frames)
        while b"grpc-status" not in answer and (data := client.recv(1 << 16)):
            answer += data
    return answer


@pytest.mark.parametrize(
    ("more", "message", "status", "details"),
    [
        ((), http2.message(b"x", compressed=1), 3, b"grpc-encoding doesn't say how"),
        (GZIP, http2.message(b"no gzip", compressed=1), 3, b"not what grpc-encoding says"),
        (
            GZIP,
            http2.message(gzip.compress(b"x", mtime=0)[:-1], compressed=1),
            3,
            b"doesn't end where it should",
        ),
        (
            GZIP,
            http2.message(gzip.compress(b"x", mtime=0) + b"y", compressed=1),
            3,
            b"doesn't end where it should",
        ),
        (
            GZIP,
            http2.message(gzip.compress(bytes(2 << 20), mtime=0), compressed=1),
            8,
            b"larger than maxRequestBytes",
        ),
        ((("grpc-encoding", "br"),), http2.message(b"x"), 12, b"identity, deflate and gzip are"),
        ((), http2.message(b"x", compressed=2), 3, b"first byte must be 0 or 1"),
        ((("grpc-timeout", "1x"),), http2.message(b"x"), 3, b"grpc-timeout must be"),
    ],
    ids=["no coding", "damaged", "cut", "longer", "too large", "unknown", "malformed prefix", "timeout"],
)
def test_codings_and_timeouts_that_are_none(
    adder: Running, more: Any, message: bytes, status: int, details: bytes
) -> None:
    answer = raw_call(
        adder, http2.hello() + http2.headers(METHOD, *more) + http2.frame(http2.DATA, 1, 1, message)
    )
    assert b"grpc-status" + bytes([len(str(status))]) + str(status).encode() in answer
    assert details in answer


@pytest.mark.parametrize(
    ("data", "details"),
    [
        (http2.message(b"x") * 2, b"more than one message"),
        (http2.message(b"xy")[:-1], b"ends within its message"),
        (b"\0\0", b"ends within its message"),
    ],
    ids=["two", "cut", "prefix"],
)
def test_not_just_one_message(adder: Running, data: bytes, details: bytes) -> None:
    answer = raw_call(adder, http2.hello() + http2.headers(METHOD) + http2.frame(http2.DATA, 1, 1, data))
    assert details in answer


def test_details_in_any_language(adder: Running) -> None:
    code, details = infer_error(adder, ModelInferRequest(model_name="müll %41\n⚡"))
    assert (code, details) == ("NOT_FOUND", 'no model "müll %41\n⚡" here; this server has "m"')


@pytest.mark.parametrize("compression", [grpc.Compression.NoCompression, grpc.Compression.Gzip])
def test_messages_that_are_too_large(adder: Running, compression: grpc.Compression) -> None:
    """As they come, and as they unpack."""
    with pytest.raises(grpc.RpcError) as caught:
        adder.channel.unary_unary(METHOD)(bytes(LIMITS.max_request_bytes + 1), compression=compression)
    assert caught.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "larger than max" in caught.value.details()


def test_a_response_may_be_larger_than_a_request() -> None:
    size = 3 * LIMITS.max_request_bytes
    engine = FakeEngine(
        [tensor("x", "FP32", 1)], [tensor("y", "UINT8", size)], lambda _: [np.zeros(size, np.uint8)]
    )
    with serving(engine) as server:
        assert len(server.stub.ModelInfer(REQUEST).raw_output_contents[0]) == size


def test_a_long_name_comes_back_short(adder: Running) -> None:
    long = ModelInferRequest(model_name="m", inputs=[{"name": "ü" * 100_000}])
    code, details = infer_error(adder, long)
    assert code == "INVALID_ARGUMENT"
    assert len(details) < 2048
