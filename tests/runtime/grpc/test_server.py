"""Health, metadata, failures, counts, and the beginning and end of the server."""

import asyncio
import socket
from typing import Any

import grpc
import pytest
from google.protobuf.json_format import MessageToDict
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from tritonclient.grpc.service_pb2 import (
    ModelInferRequest,
    ModelMetadataRequest,
    ModelReadyRequest,
    ServerLiveRequest,
    ServerMetadataRequest,
    ServerReadyRequest,
)

from tests.runtime.grpc.asking import REQUEST, infer_error
from tests.runtime.grpc.serving import Running, serving
from tests.runtime.rest.gate import Gate, make_limits
from tests.runtime.rest.serving import LIMITS, FakeEngine, tensor
from tests.runtime.rest.waiting import wait_for
from vinoserve_runtime import grpc as transport
from vinoserve_runtime.dataplane import Dataplane
from vinoserve_runtime.errors import InferenceError
from vinoserve_runtime.metrics import Metrics


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


def test_a_failing_engine() -> None:
    with serving(fails_with(InferenceError("the kernel failed"))) as server:
        assert infer_error(server) == ("INTERNAL", "the kernel failed")


def test_what_nobody_foresaw_is_not_told_to_clients() -> None:
    with serving(fails_with(KeyError("secret"))) as server:
        assert infer_error(server) == ("INTERNAL", "internal error")


def test_methods_that_are_not_there(adder: Running) -> None:
    for path in ("/inference.GRPCInferenceService/Other", "/other", "/"):
        with pytest.raises(grpc.RpcError) as caught:
            adder.channel.unary_unary(path)(b"")
        assert caught.value.code() == grpc.StatusCode.UNIMPLEMENTED
        assert path in caught.value.details()


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
