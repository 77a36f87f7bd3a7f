"""grpc.reflection.v1alpha: what grpcurl and its like ask, to know the messages without their .proto."""

from collections.abc import AsyncIterator
from typing import Any, Final

import grpc
import grpc.aio
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2
from grpc_reflection.v1alpha.reflection import SERVICE_NAME, aio

from vinoserve_runtime.grpc import open_inference_grpc_pb2 as pb
from vinoserve_runtime.grpc.health import HEALTH
from vinoserve_runtime.grpc.methods import Methods, read
from vinoserve_runtime.grpc.service import SERVICE

SERVICES: Final = (SERVICE, HEALTH, SERVICE_NAME)


def make_reflection_handler(methods: Methods) -> grpc.GenericRpcHandler:
    # The protocol's messages are in a pool of their own, which the others' aren't in.
    pool = DescriptorPool()
    for module in (pb, health_pb2, reflection_pb2):
        pool.AddSerializedFile(module.DESCRIPTOR.serialized_pb)
    servicer = aio.ReflectionServicer(SERVICES, pool=pool)

    async def converse(context: Any) -> None:
        async for response in servicer.ServerReflectionInfo(_requests(context), context):
            await context.write(response.SerializeToString())

    return grpc.method_handlers_generic_handler(
        SERVICE_NAME, {"ServerReflectionInfo": methods.stream(converse)}
    )


async def _requests(context: Any) -> AsyncIterator[reflection_pb2.ServerReflectionRequest]:
    while (message := await context.read()) is not grpc.aio.EOF:
        yield read(reflection_pb2.ServerReflectionRequest, message)
