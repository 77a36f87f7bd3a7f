"""What grpcurl sees: services and messages, told by the server itself."""

from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from grpc_health.v1 import health_pb2 as grpc_health_pb2
from grpc_reflection.v1alpha import reflection_pb2 as grpc_reflection_pb2
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from tests.runtime.grpc.serving import Running, serving
from tests.runtime.rest.serving import make_adder
from vinoserve_runtime.grpc import health_pb2, reflection_pb2

SERVICE = "inference.GRPCInferenceService"


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (health_pb2.DESCRIPTOR, grpc_health_pb2.DESCRIPTOR),
        (reflection_pb2.DESCRIPTOR, grpc_reflection_pb2.DESCRIPTOR),
    ],
)
def test_the_messages_are_grpcs(ours: Any, theirs: Any) -> None:
    def facts(file: Any) -> Any:
        return {
            name: [
                (field.name, field.number, field.type, field.is_repeated, str(field.containing_oneof and 1))
                for field in message.fields
            ]
            for name, message in file.message_types_by_name.items()
        }

    known = facts(theirs)
    assert facts(ours) == {name: known[name] for name in facts(ours)}


@pytest.fixture(scope="module")
def server() -> Iterator[Running]:
    with serving(make_adder()) as running:
        yield running


def test_its_services(server: Running) -> None:
    assert set(ProtoReflectionDescriptorDatabase(server.channel).get_services()) == {
        SERVICE,
        "grpc.health.v1.Health",
        "grpc.reflection.v1.ServerReflection",
        "grpc.reflection.v1alpha.ServerReflection",
    }


def test_a_client_that_knows_nothing_can_infer(server: Running) -> None:
    pool = DescriptorPool(ProtoReflectionDescriptorDatabase(server.channel))
    method = pool.FindServiceByName(SERVICE).FindMethodByName("ModelInfer")
    ask, answer = GetMessageClass(method.input_type), GetMessageClass(method.output_type)
    request = ask(model_name="m")
    request.inputs.add(name="x", datatype="FP32", shape=[1, 4]).contents.fp32_contents.extend([1, 2, 3, -4])
    call = server.channel.unary_unary(f"/{SERVICE}/{method.name}", ask.SerializeToString, answer.FromString)
    response = call(request)
    assert response.outputs[0].name == "y"
    assert pool.FindServiceByName(SERVICE).FindMethodByName("ModelStreamInfer").server_streaming
    assert pool.FindMessageTypeByName("grpc.health.v1.HealthCheckRequest")
    for version in ("v1", "v1alpha"):
        service = pool.FindServiceByName(f"grpc.reflection.{version}.ServerReflection")
        asked = service.FindMethodByName("ServerReflectionInfo").input_type
        assert asked.full_name == f"grpc.reflection.{version}.ServerReflectionRequest"


def test_what_is_not_there(server: Running) -> None:
    with pytest.raises(KeyError):
        DescriptorPool(ProtoReflectionDescriptorDatabase(server.channel)).FindServiceByName("other.Service")


@pytest.mark.parametrize(
    "path",
    [
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
        "/grpc.health.v1.Health/Watch",
    ],
)
def test_malformed_messages(server: Running, path: str) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        list(server.channel.stream_stream(path)(iter([b"\xff"])))
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
