"""The Open Inference Protocol over gRPC: methods and status codes around the data plane."""

from time import perf_counter
from typing import Any, Final

import grpc

from vinoserve_runtime.dataplane import Dataplane
from vinoserve_runtime.grpc import open_inference_grpc_pb2 as pb
from vinoserve_runtime.grpc.codec import Envelope, Request, decode, encode, read_request
from vinoserve_runtime.grpc.methods import Methods, read
from vinoserve_runtime.grpc.stream import InferStreams
from vinoserve_runtime.protocol.signature import Signature
from vinoserve_runtime.tensors import Array

SERVICE: Final = "inference.GRPCInferenceService"


class InferenceService:
    def __init__(self, dataplane: Dataplane, methods: Methods) -> None:
        self._dataplane = dataplane
        self._methods = methods
        self._streams = InferStreams(self._infer, methods)

    def make_handler(self) -> grpc.GenericRpcHandler:
        unary = {
            "ServerLive": ("health", self._server_live),
            "ServerReady": ("health", self._server_ready),
            "ModelReady": ("health", self._model_ready),
            "ServerMetadata": ("metadata", self._server_metadata),
            "ModelMetadata": ("metadata", self._model_metadata),
            "ModelInfer": ("infer", self._model_infer),
            "RepositoryIndex": ("metadata", self._repository_index),
            "RepositoryModelLoad": ("other", self._refuse_repository_change),
            "RepositoryModelUnload": ("other", self._refuse_repository_change),
        }
        handlers = {
            name: self._methods.unary(operation, answer) for name, (operation, answer) in unary.items()
        }
        handlers["ModelStreamInfer"] = self._methods.stream(self._streams.converse)
        return grpc.method_handlers_generic_handler(SERVICE, handlers)

    def close(self) -> None:
        """Ends the streams, each after its last response."""
        self._streams.close()

    async def _server_live(self, _: bytes) -> pb.ServerLiveResponse:
        return pb.ServerLiveResponse(live=True)

    async def _server_ready(self, _: bytes) -> pb.ServerReadyResponse:
        return pb.ServerReadyResponse(ready=self._dataplane.ready)

    async def _model_ready(self, message: bytes) -> pb.ModelReadyResponse:
        request = read(pb.ModelReadyRequest, message)
        self._dataplane.check_model(request.name, request.version or None)
        return pb.ModelReadyResponse(ready=self._dataplane.ready)

    async def _server_metadata(self, _: bytes) -> pb.ServerMetadataResponse:
        return pb.ServerMetadataResponse(**self._dataplane.server_metadata())

    async def _model_metadata(self, message: bytes) -> pb.ModelMetadataResponse:
        request = read(pb.ModelMetadataRequest, message)
        self._dataplane.check_model(request.name, request.version or None)
        return pb.ModelMetadataResponse(**self._dataplane.model_metadata())

    async def _repository_index(self, message: bytes) -> pb.RepositoryIndexResponse:
        request = read(pb.RepositoryIndexRequest, message)
        self._dataplane.check_repository(request.repository_name)
        return pb.RepositoryIndexResponse(models=self._dataplane.repository_index(only_ready=request.ready))

    async def _refuse_repository_change(self, _: bytes) -> Any:
        raise self._dataplane.why_no_repository_change()

    async def _model_infer(self, message: bytes) -> pb.ModelInferResponse:
        return await self._infer(read_request(message))

    async def _infer(self, request: Request) -> pb.ModelInferResponse:
        began = perf_counter()
        dataplane = self._dataplane
        signature, envelope, tensors = self._open(request)
        del request  # its tensors alone wait
        results = await dataplane.infer(tensors)
        response = encode(dataplane.name, dataplane.version, signature, envelope, results)
        dataplane.metrics.request_seconds.observe(perf_counter() - began)
        return response

    def _open(self, request: Request) -> tuple[Signature, Envelope, list[Array]]:
        self._dataplane.check_model(request.message.model_name, request.message.model_version or None)
        signature = self._dataplane.admit()
        return signature, *decode(signature, request)
