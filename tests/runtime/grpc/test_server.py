"""Status codes, health, metadata, limits and the end of the server."""

import asyncio
import gzip
import queue
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import numpy as np
import pytest
from google.protobuf.json_format import MessageToDict
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from tritonclient.grpc.service_pb2 import (
    InferTensorContents,
    ModelInferRequest,
    ModelMetadataRequest,
    ModelReadyRequest,
    ServerLiveRequest,
    ServerMetadataRequest,
    ServerReadyRequest,
)

from tests.runtime.grpc import http2
from tests.runtime.grpc.serving import Running, serving
from tests.runtime.rest.gate import Gate, make_limits
from tests.runtime.rest.serving import LIMITS, FakeEngine, make_adder, tensor
from tests.runtime.rest.waiting import wait_for
from vinoserve_runtime import grpc as transport
from vinoserve_runtime.dataplane import Dataplane
from vinoserve_runtime.errors import InferenceError
from vinoserve_runtime.metrics import Metrics

METHOD = "/inference.GRPCInferenceService/ModelInfer"
X = ModelInferRequest.InferInputTensor(
    name="x", datatype="FP32", shape=[1], contents=InferTensorContents(fp32_contents=[7])
)
REQUEST = ModelInferRequest(model_name="m", inputs=[X])
GZIP = (("grpc-encoding", "gzip"),)


def infer_error(server: Running, request: ModelInferRequest = REQUEST, **call: Any) -> tuple[str, str]:
    with pytest.raises(grpc.RpcError) as caught:
        server.stub.ModelInfer(request, timeout=60, **call)
    return caught.value.code().name, caught.value.details()


@pytest.fixture
def gate() -> Gate:
    return Gate(1)


@pytest.fixture
def server(gate: Gate) -> Iterator[Running]:
    with serving(gate.engine, make_limits(2)) as running:
        yield running


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(8) as executor:
        yield executor


@pytest.fixture(scope="module")
def adder() -> Iterator[Running]:
    with serving(make_adder()) as running:
        yield running


def fails_with(error: Exception) -> FakeEngine:
    def work(_: Any) -> Any:
        raise error

    return FakeEngine([tensor("x", "FP32", 1)], [tensor("y", "FP32", 1)], work)


def test_metadata_is_rests(adder: Running) -> None:
    said = MessageToDict(adder.stub.ServerMetadata(ServerMetadataRequest()))
    assert said == {
        **adder.dataplane.server_metadata(),
        "extensions": ["binary_tensor_data", "model_repository"],
    }
    model = adder.stub.ModelMetadata(ModelMetadataRequest(name="m", version="1"))
    expected = adder.dataplane.model_metadata()
    assert (model.name, model.versions, model.platform) == ("m", ["1"], "openvino")
    for kind in ("inputs", "outputs"):
        assert [
            {"name": one.name, "datatype": one.datatype, "shape": tuple(one.shape)}
            for one in getattr(model, kind)
        ] == expected[kind]


def test_unknown_models_and_versions_are_not_found(adder: Running) -> None:
    for call, request in (
        (adder.stub.ModelReady, ModelReadyRequest(name="other")),
        (adder.stub.ModelReady, ModelReadyRequest(name="m", version="2")),
        (adder.stub.ModelMetadata, ModelMetadataRequest(name="other")),
        (adder.stub.ModelInfer, ModelInferRequest(model_name="other")),
        (adder.stub.ModelInfer, ModelInferRequest(model_name="m", model_version="2")),
    ):
        with pytest.raises(grpc.RpcError) as caught:
            call(request)
        assert caught.value.code() == grpc.StatusCode.NOT_FOUND
        assert "here; this server has" in caught.value.details() or "no version" in caught.value.details()


def test_before_the_model_is_loaded(gate: Gate) -> None:
    with serving(None) as server:
        assert server.stub.ServerLive(ServerLiveRequest()).live
        assert not server.stub.ServerReady(ServerReadyRequest()).ready
        assert not server.stub.ModelReady(ModelReadyRequest(name="m")).ready
        assert infer_error(server) == ("UNAVAILABLE", 'model "m" is not loaded')
        with pytest.raises(grpc.RpcError) as caught:
            server.stub.ModelMetadata(ModelMetadataRequest(name="m"))
        assert caught.value.code() == grpc.StatusCode.UNAVAILABLE
        server.call(lambda: server.dataplane.attach(gate.engine))
        assert server.stub.ServerReady(ServerReadyRequest()).ready
        assert server.stub.ModelReady(ModelReadyRequest(name="m", version="1")).ready


def test_health_follows_readiness(gate: Gate) -> None:
    names = HealthCheckResponse.ServingStatus
    with serving(None) as server:
        watch = server.health.Watch(HealthCheckRequest())
        assert next(watch).status == names.NOT_SERVING
        for service in ("", "inference.GRPCInferenceService"):
            assert server.health.Check(HealthCheckRequest(service=service)).status == names.NOT_SERVING
        with pytest.raises(grpc.RpcError) as caught:
            server.health.Check(HealthCheckRequest(service="other"))
        assert caught.value.code() == grpc.StatusCode.NOT_FOUND
        assert next(server.health.Watch(HealthCheckRequest(service="other"))).status == names.SERVICE_UNKNOWN
        server.call(lambda: server.dataplane.attach(gate.engine))
        assert next(watch).status == names.SERVING
        assert (
            server.health.Check(HealthCheckRequest(service="inference.GRPCInferenceService")).status
            == names.SERVING
        )
        server.call(server.dataplane.detach)
        assert next(watch).status == names.NOT_SERVING


def test_past_the_queue(server: Running, gate: Gate, pool: ThreadPoolExecutor) -> None:
    accepted = [pool.submit(server.stub.ModelInfer, REQUEST) for _ in range(3)]
    wait_for(lambda: (server.dataplane.in_flight, server.dataplane.queue_length) == (1, 2))
    code, details = infer_error(server)
    assert code == "RESOURCE_EXHAUSTED"
    assert "2 requests wait" in details
    server.call(gate.open.set)
    for future in accepted:
        assert np.frombuffer(future.result(60).raw_output_contents[0], np.float32) == [7]


def test_the_servers_timeout(gate: Gate) -> None:
    with serving(gate.engine, make_limits(2, seconds=1)) as server:
        assert infer_error(server) == ("DEADLINE_EXCEEDED", "no result within 1 seconds")
        wait_for(lambda: server.dataplane.in_flight == 0)
        server.call(gate.open.set)
        assert server.stub.ModelInfer(REQUEST).outputs


@pytest.mark.parametrize("how", ["cancelled", "deadline"])
def test_a_client_that_gives_up_leaves_the_queue(server: Running, gate: Gate, how: str) -> None:
    first = server.stub.ModelInfer.future(REQUEST)
    wait_for(lambda: server.dataplane.in_flight == 1)
    second = server.stub.ModelInfer.future(REQUEST, timeout=1 if how == "deadline" else 60)
    wait_for(lambda: server.dataplane.queue_length == 1 or second.done())
    if how == "cancelled":
        second.cancel()
    wait_for(lambda: second.done() and server.dataplane.queue_length == 0)
    server.call(gate.open.set)
    assert first.result(60).outputs
    wait_for(lambda: server.dataplane.in_flight == 0)
    assert gate.began == 1


def test_the_clients_own_deadline_holds_without_its_help(server: Running) -> None:
    """As from a client that is cut off: nothing but the header of its request says when it is over."""
    frames = http2.request(METHOD, REQUEST.SerializeToString(), ("grpc-timeout", "300m"))
    with socket.create_connection(("127.0.0.1", server.server.port), 60) as client:
        client.sendall(frames)
        wait_for(lambda: server.dataplane.in_flight == 1)
        wait_for(lambda: server.dataplane.in_flight == 0)


def test_a_running_request_that_is_cancelled_ends_without_effect(server: Running, gate: Gate) -> None:
    running = server.stub.ModelInfer.future(REQUEST)
    wait_for(lambda: gate.running == 1)
    running.cancel()
    wait_for(lambda: (gate.running, server.dataplane.in_flight) == (0, 0))
    server.call(gate.open.set)
    assert server.stub.ModelInfer(REQUEST).outputs
    assert gate.began == 2


def test_a_message_that_never_comes(gate: Gate) -> None:
    never: queue.SimpleQueue[None] = queue.SimpleQueue()
    with serving(gate.engine, make_limits(2, seconds=1)) as server:
        waiting = server.channel.stream_unary(METHOD).future(iter(never.get, None))
        with pytest.raises(grpc.RpcError) as caught:
            waiting.result()
        assert caught.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
        never.put(None)


def test_no_message_at_all(adder: Running) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        adder.channel.stream_unary(METHOD)(iter(()))
    assert (caught.value.code(), caught.value.details()) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        "the request has no message",
    )


def test_a_failing_engine() -> None:
    with serving(fails_with(InferenceError("the kernel failed"))) as server:
        assert infer_error(server) == ("INTERNAL", "the kernel failed")


def test_what_nobody_foresaw_is_not_told_to_clients() -> None:
    with serving(fails_with(KeyError("secret"))) as server:
        assert infer_error(server) == ("INTERNAL", "internal error")


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


def test_methods_that_are_not_there(adder: Running) -> None:
    for path in ("/inference.GRPCInferenceService/Other", "/other", "/"):
        with pytest.raises(grpc.RpcError) as caught:
            adder.channel.unary_unary(path)(b"")
        assert caught.value.code() == grpc.StatusCode.UNIMPLEMENTED
        assert path in caught.value.details()


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


def test_it_counts(gate: Gate) -> None:
    with serving(gate.engine) as server:
        server.call(gate.open.set)
        server.stub.ModelInfer(REQUEST)
        infer_error(server, ModelInferRequest(model_name="other"))
        server.stub.ServerReady(ServerReadyRequest())
        requests = server.dataplane.metrics.requests
        assert requests == {
            ("grpc", "infer", "OK"): 1,
            ("grpc", "infer", "NOT_FOUND"): 1,
            ("grpc", "health", "OK"): 1,
        }
        requests["rest", "infer", 200] += 1
        (family,) = [f for f in server.dataplane.metrics.collect() if f.name == "vinoserve_requests"]
        assert {sample.labels["code"] for sample in family.samples} == {"OK", "NOT_FOUND", "200"}
        assert server.dataplane.metrics.request_seconds.count == 1


def test_it_ends_when_what_it_has_is_answered(server: Running, gate: Gate) -> None:
    """A watch of its health doesn't hold it up."""
    watch = server.health.Watch(HealthCheckRequest())
    next(watch)
    accepted = server.stub.ModelInfer.future(REQUEST)
    wait_for(lambda: server.dataplane.in_flight == 1)
    drained = asyncio.run_coroutine_threadsafe(server.dataplane.drain(60), server.loop)
    assert next(watch).status == HealthCheckResponse.NOT_SERVING
    wait_for(lambda: _is_refused(server))
    assert not accepted.done()
    server.call(gate.open.set)
    assert drained.result(60)
    server.call(server.server.close)
    assert accepted.result(60).outputs
    server.call(server.server.wait_closed)
    assert list(watch) == []
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", server.server.port), 10).close()


def _is_refused(server: Running) -> bool:
    """Until then it queues like any other, and its client gives up."""
    try:
        server.stub.ModelInfer(REQUEST, timeout=0.5)
    except grpc.RpcError as error:
        return error.code() == grpc.StatusCode.UNAVAILABLE
    return False


async def test_a_port_that_is_taken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(OSError, match="in use"):
        await transport.start(
            Dataplane("m", "1", LIMITS, Metrics("m", "1")), "127.0.0.1", taken.getsockname()[1]
        )


async def test_a_start_that_is_broken_off_leaves_nothing_that_listens() -> None:
    server = transport.Server(Dataplane("m", "1", make_limits(1), Metrics("m", "1")))
    starting = asyncio.ensure_future(server.start("127.0.0.1", 0))
    await asyncio.sleep(0)
    assert server.port
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", server.port), timeout=10)
