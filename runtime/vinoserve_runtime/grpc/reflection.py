"""grpc.reflection.v1 and v1alpha: what grpcurl and its like ask, to know the messages without their .proto."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool

from vinoserve_runtime.grpc import health_pb2, open_inference_grpc_pb2, reflection_pb2
from vinoserve_runtime.grpc.health import HEALTH
from vinoserve_runtime.grpc.methods import Dialogue, Streaming, Unary, read
from vinoserve_runtime.grpc.reflection_pb2 import ServerReflectionRequest, ServerReflectionResponse
from vinoserve_runtime.grpc.service import SERVICE
from vinoserve_runtime.grpc.status import Code

V1: Final = "grpc.reflection.v1"
V1ALPHA: Final = "grpc.reflection.v1alpha"
REFLECTIONS: Final = (f"{V1}.ServerReflection", f"{V1ALPHA}.ServerReflection")
SERVICES: Final = tuple(sorted((SERVICE, HEALTH, *REFLECTIONS)))


class Reflection:
    def __init__(self) -> None:
        self._pool = DescriptorPool()
        for module in (health_pb2, open_inference_grpc_pb2, reflection_pb2):
            self._pool.AddSerializedFile(module.DESCRIPTOR.serialized_pb)
        self._pool.AddSerializedFile(_make_v1alpha(reflection_pb2.DESCRIPTOR.serialized_pb))

    def methods(self) -> dict[str, Unary | Streaming]:
        return {"ServerReflectionInfo": Streaming(self._converse)}

    async def _converse(self, dialogue: Dialogue) -> None:
        while (came := await dialogue.read()) is not None:
            response = self._answer(read(ServerReflectionRequest, came[0]))
            await dialogue.write(response.SerializeToString())

    def _answer(self, request: Any) -> Any:
        response = ServerReflectionResponse(valid_host=request.host, original_request=request)
        find = self._finders().get(request.WhichOneof("message_request"))
        try:
            if request.HasField("list_services"):
                for name in SERVICES:
                    response.list_services_response.service.add(name=name)
            elif request.HasField("all_extension_numbers_of_type"):
                kind = self._pool.FindMessageTypeByName(request.all_extension_numbers_of_type)
                response.all_extension_numbers_response.base_type_name = kind.full_name
            elif find is None:
                response.error_response.error_code = Code.INVALID_ARGUMENT
                response.error_response.error_message = "the request asks for nothing"
            else:
                files = _with_dependencies(find(request))
                response.file_descriptor_response.file_descriptor_proto.extend(files)
        except KeyError as error:
            response.error_response.error_code = Code.NOT_FOUND
            response.error_response.error_message = f"not found: {error}"
        return response

    def _finders(self) -> dict[str, Callable[[Any], Any]]:
        """By the question: how to find the file that answers it. None of the messages has extensions."""
        pool = self._pool
        return {
            "file_by_filename": lambda ask: pool.FindFileByName(ask.file_by_filename),
            "file_containing_symbol": lambda ask: pool.FindFileContainingSymbol(ask.file_containing_symbol),
            "file_containing_extension": lambda ask: (
                pool.FindExtensionByNumber(
                    pool.FindMessageTypeByName(ask.file_containing_extension.containing_type),
                    ask.file_containing_extension.extension_number,
                ).file
            ),
        }


def _make_v1alpha(v1: bytes) -> bytes:
    """The same messages under the name that they had before they were stable; older clients know no other."""
    file = FileDescriptorProto.FromString(v1)
    file.name = "reflection_v1alpha.proto"
    file.package = V1ALPHA
    for message in file.message_type:
        for field in (field for field in message.field if field.type_name):
            field.type_name = field.type_name.replace(f".{V1}.", f".{V1ALPHA}.")
    for method in file.service[0].method:
        method.input_type = method.input_type.replace(f".{V1}.", f".{V1ALPHA}.")
        method.output_type = method.output_type.replace(f".{V1}.", f".{V1ALPHA}.")
    serialized: bytes = file.SerializeToString()
    return serialized


def _with_dependencies(file: Any) -> Iterable[bytes]:
    """Files, serialized, each once."""
    seen: dict[str, bytes] = {}

    def walk(one: Any) -> Iterator[bytes]:
        if one.name not in seen:
            seen[one.name] = one.serialized_pb
            yield one.serialized_pb
            for dependency in one.dependencies:
                yield from walk(dependency)

    return walk(file)
