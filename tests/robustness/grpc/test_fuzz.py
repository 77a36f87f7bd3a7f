"""Whatever is sent, the server lives, and what a client does wrong is never the server's fault: no INTERNAL, no UNKNOWN."""

import logging
import os
import socket
from collections.abc import Iterator

import grpc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tritonclient.grpc.service_pb2 import InferParameter, InferTensorContents, ModelInferRequest

from tests.runtime.grpc import http2
from tests.runtime.grpc.serving import Running, serving
from tests.runtime.rest.serving import FakeEngine, tensor
from tests.runtime.rest.waiting import wait_for
from vinoserve_runtime.grpc import wire
from vinoserve_runtime.tensors import NUMPY_DTYPES

SOAK = bool(os.environ.get("VINOSERVE_SOAK"))
BODIES = 50_000 if SOAK else 1_500
CONNECTIONS = 10_000 if SOAK else 300

SERVICE = "/inference.GRPCInferenceService"
CODES = {"OK", "INVALID_ARGUMENT", "NOT_FOUND", "RESOURCE_EXHAUSTED", "UNIMPLEMENTED"}
INPUTS = [
    tensor("x", "FP32", (1, 3), -1),
    tensor("n", "INT8", -1),
    tensor("b", "BYTES", 2),
    tensor("t", "BOOL"),
]
Input = ModelInferRequest.InferInputTensor
Output = ModelInferRequest.InferRequestedOutputTensor
RAW = [bytes(8), b"\x07", b"\x01\0\0\0a\x02\0\0\0bc", b"\x01"]


def typed() -> ModelInferRequest:
    request = ModelInferRequest(model_name="m", id="1", outputs=[Output(name="x"), Output(name="n")])
    for info, shape, contents in zip(
        INPUTS,
        ([1, 2], [1], [2], []),
        (
            InferTensorContents(fp32_contents=[0.5, 1]),
            InferTensorContents(int_contents=[7]),
            InferTensorContents(bytes_contents=[b"a", b"bc"]),
            InferTensorContents(bool_contents=[True]),
        ),
        strict=True,
    ):
        request.inputs.add(name=info.name, datatype=info.datatype, shape=shape, contents=contents)
    return request


def raw() -> ModelInferRequest:
    request = typed()
    for one in request.inputs:
        one.ClearField("contents")
    request.raw_input_contents.extend(RAW)
    return request


class Errors(logging.Handler):
    """What the server logs as errors: nothing that clients send is one."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append(self.format(record))


@pytest.fixture(scope="module")
def server() -> Iterator[Running]:
    errors = Errors()
    logging.getLogger().addHandler(errors)
    with (
        pytest.MonkeyPatch.context() as patch,
        serving(FakeEngine(INPUTS, INPUTS, list)) as running,
    ):
        patch.setattr(wire, "LARGE_BYTES", 150)  # about half of what follows
        assert_alive(running)
        yield running
        assert_alive(running)
        wait_for(lambda: running.dataplane.in_flight == 0)
        room = running.dataplane.room
        wait_for(lambda: room.free == room.size)
        assert {code for _, _, code in running.dataplane.metrics.requests} <= CODES
    logging.getLogger().removeHandler(errors)
    assert errors.said == []


def assert_alive(server: Running) -> None:
    for request in (typed(), raw()):
        assert server.stub.ModelInfer(request, timeout=60).model_name == "m"


NAMES = st.sampled_from(["x", "n", "b", "t", "y", "m", "", "1"]) | st.text(max_size=5)
INTEGERS = st.sampled_from([0, 1, 2, -1, 2**31, 2**62, 2**63 - 1, -(2**63)]) | st.integers(-4, 300)
SMALL = st.integers(-(2**31), 2**31 - 1)
CONTENTS = st.builds(
    InferTensorContents,
    bool_contents=st.lists(st.booleans(), max_size=3),
    int_contents=st.lists(SMALL, max_size=3),
    uint_contents=st.lists(st.integers(0, 2**32 - 1), max_size=2),
    fp32_contents=st.lists(st.floats(width=32), max_size=3),
    fp64_contents=st.lists(st.floats(), max_size=2),
    bytes_contents=st.lists(st.binary(max_size=4), max_size=3),
)
PARAMETERS = st.dictionaries(
    st.sampled_from(
        ["binary_data_size", "classification", "shared_memory_region", "priority", "sequence_id"]
    ),
    st.builds(InferParameter, int64_param=SMALL)
    | st.builds(InferParameter, string_param=st.text(max_size=3)),
    max_size=2,
)
TENSORS = st.builds(
    Input,
    name=NAMES,
    datatype=st.sampled_from([*NUMPY_DTYPES, "fp32", ""]),
    shape=st.lists(INTEGERS, max_size=4),
    parameters=PARAMETERS,
    contents=CONTENTS,
)


@st.composite
def messages(draw: st.DrawFn) -> bytes:
    """A good request with some places changed, in its fields and in its bytes."""
    request = draw(st.sampled_from([typed, raw]))()
    for _ in range(draw(st.integers(0, 2))):
        change(draw, request)
    message = bytearray(request.SerializeToString())
    for _ in range(draw(st.sampled_from([0, 0, 1, 3]))):
        place = draw(st.integers(0, len(message)))
        message[place : place + draw(st.integers(0, 3))] = draw(st.binary(max_size=4))
    return bytes(message)


def change(draw: st.DrawFn, request: ModelInferRequest) -> None:
    inputs, raws = request.inputs, request.raw_input_contents
    which = draw(st.integers(0, 9))
    some = inputs[draw(st.integers(0, len(inputs) - 1))] if inputs else request.inputs.add()
    if which == 0:
        request.model_name, request.model_version = draw(NAMES), draw(NAMES)
    elif which == 1:
        some.name = draw(NAMES)
    elif which == 2:
        some.datatype = draw(st.sampled_from([*NUMPY_DTYPES, "fp32", ""]))
    elif which == 3:
        some.shape[:] = draw(st.lists(INTEGERS, max_size=4))
    elif which == 4:
        some.contents.CopyFrom(draw(CONTENTS))
    elif which == 5:
        inputs.append(draw(TENSORS))
    elif which == 6:
        del inputs[draw(st.integers(0, len(inputs) - 1)) if inputs else 0 :]
    elif which == 7 and raws:
        raws[draw(st.integers(0, len(raws) - 1))] = draw(st.binary(max_size=20))
    elif which == 8:
        raws.append(draw(st.binary(max_size=9)))
    else:
        request.outputs.add(name=draw(NAMES), parameters=draw(PARAMETERS))


@settings(max_examples=BODIES)
@given(messages())
def test_messages(server: Running, message: bytes) -> None:
    assert ask(server, "ModelInfer", message) in CODES


@settings(max_examples=BODIES // 20)
@given(st.sampled_from(["ModelReady", "ModelMetadata", "RepositoryIndex"]), st.binary(max_size=20))
def test_other_methods(server: Running, method: str, message: bytes) -> None:
    assert ask(server, method, message) in CODES


def ask(server: Running, method: str, message: bytes) -> str:
    try:
        server.channel.unary_unary(f"{SERVICE}/{method}")(message, timeout=60)
    except grpc.RpcError as error:
        code: str = error.code().name
        return code
    return "OK"


@settings(max_examples=BODIES // 20)
@given(st.lists(messages(), max_size=8))
def test_streams(server: Running, given: list[bytes]) -> None:
    """Every message gets its answer, and none ends the stream."""
    answers = list(server.channel.stream_stream(f"{SERVICE}/ModelStreamInfer")(iter(given), timeout=60))
    assert len(answers) == len(given)


GOOD = http2.message(typed().SerializeToString())


@st.composite
def frames(draw: st.DrawFn) -> bytes:
    stream = draw(st.sampled_from([0, 1, 1, 1, 2, 3, 5, 2**31 - 1]))
    flags = draw(st.sampled_from([0, 1, 4, 5, 255]))
    match draw(st.integers(0, 7)):
        case 0:
            method = draw(st.sampled_from(["ModelInfer", "ModelStreamInfer", "ServerLive", "Nothing"]))
            more = draw(
                st.lists(
                    st.sampled_from(
                        [
                            ("grpc-timeout", "1n"),
                            ("grpc-timeout", "x"),
                            ("grpc-encoding", "gzip"),
                            ("grpc-encoding", "br"),
                            ("content-length", "-1"),
                            (":path", "/"),
                            ("Upper", "case"),
                        ]
                    ),
                    max_size=2,
                )
            )
            return http2.headers(f"{SERVICE}/{method}", *more, stream=stream)
        case 1:
            return http2.frame(http2.DATA, flags, stream, GOOD)
        case 2:
            length = draw(st.sampled_from([0, 1, len(GOOD), 2**31, 2**32 - 1]))
            content = http2.message(
                draw(st.binary(max_size=30)), length=length, compressed=draw(st.integers(0, 2))
            )
            return http2.frame(http2.DATA, flags, stream, content)
        case 3:
            kind = draw(
                st.sampled_from([http2.RST_STREAM, http2.SETTINGS, http2.PING, http2.GOAWAY, 8, 9, 99])
            )
            return http2.frame(kind, flags, stream, draw(st.binary(max_size=16)))
        case 4:
            return http2.frame(http2.HEADERS, flags, stream, draw(st.binary(max_size=30)))
        case 5:
            return draw(st.binary(max_size=40))
        case _:
            path = f"{SERVICE}/ModelInfer"
            return http2.headers(path) + http2.frame(http2.DATA, http2.END_STREAM, 1, GOOD)


@settings(max_examples=CONNECTIONS)
@given(
    st.sampled_from([http2.hello(), http2.hello(), http2.hello(), http2.PREFACE, b""]),
    st.lists(frames(), max_size=8),
)
def test_connections(server: Running, hello: bytes, given: list[bytes]) -> None:
    with socket.create_connection(("127.0.0.1", server.server.port), timeout=60) as client:
        try:
            client.sendall(hello + b"".join(given))
            client.shutdown(socket.SHUT_WR)
            while client.recv(1 << 16):
                pass
        except OSError:
            pass  # the server has closed
