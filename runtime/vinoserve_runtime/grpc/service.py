"""The Open Inference Protocol over gRPC: methods and status codes around the data plane."""

from collections.abc import Awaitable, Callable
from time import perf_counter
from typing import Any, Final

import grpc
from google.protobuf.message import DecodeError

from vinoserve_runtime.dataplane import Dataplane
from vinoserve_runtime.grpc import open_inference_grpc_pb2 as pb
from vinoserve_runtime.grpc.codec import Envelope, decode, encode
from vinoserve_runtime.grpc.status import make_refusal
from vinoserve_runtime.protocol.errors import InvalidRequestError
from vinoserve_runtime.protocol.signature import Signature
from vinoserve_runtime.tensors import Array

SERVICE: Final = "inference.GRPCInferenceService"


class InferenceService:
    def __init__(self, dataplane: Dataplane) -> None:
        self._dataplane = dataplane
        self._metrics = dataplane.metrics

    def make_handler(self) -> grpc.GenericRpcHandler:
        methods = {
            "ServerLive": ("health", self._server_live),
            "ServerReady": ("health", self._server_ready),
            "ModelReady": ("health", self._model_ready),
            "ServerMetadata": ("metadata", self._server_metadata),
            "ModelMetadata": ("metadata", self._model_metadata),
            "ModelInfer": ("infer", self._infer),
        }
        return grpc.method_handlers_generic_handler(
            SERVICE,
            {
                name: grpc.unary_unary_rpc_method_handler(self._make_method(operation, answer))
                for name, (operation, answer) in methods.items()
            },
        )

    def _make_method(
        self, operation: str, answer: Callable[[bytes], Awaitable[Any]]
    ) -> Callable[[bytes, Any], Awaitable[bytes]]:
        """From bytes to bytes: were messages grpcio's to read, a malformed one would be an unknown error."""
        requests = self._metrics.requests

        async def method(message: bytes, context: Any) -> bytes:
            try:
                response: bytes = (await answer(message)).SerializeToString()
            except Exception as error:  # noqa: BLE001 - make_refusal tells what was foreseen
                code, details = make_refusal(error)
                requests["grpc", operation, code.name] += 1
                await context.abort(code, details)
            requests["grpc", operation, grpc.StatusCode.OK.name] += 1
            return response

        return method

    async def _server_live(self, _: bytes) -> pb.ServerLiveResponse:
        return pb.ServerLiveResponse(live=True)

    async def _server_ready(self, _: bytes) -> pb.ServerReadyResponse:
        return pb.ServerReadyResponse(ready=self._dataplane.ready)

    async def _model_ready(self, message: bytes) -> pb.ModelReadyResponse:
        request = _read(pb.ModelReadyRequest, message)
        self._dataplane.check_model(request.name, request.version or None)
        return pb.ModelReadyResponse(ready=self._dataplane.ready)

    async def _server_metadata(self, _: bytes) -> pb.ServerMetadataResponse:
        return pb.ServerMetadataResponse(**self._dataplane.server_metadata())

    async def _model_metadata(self, message: bytes) -> pb.ModelMetadataResponse:
        request = _read(pb.ModelMetadataRequest, message)
        self._dataplane.check_model(request.name, request.version or None)
        return pb.ModelMetadataResponse(**self._dataplane.model_metadata())

    async def _infer(self, message: bytes) -> pb.ModelInferResponse:
        began = perf_counter()
        dataplane = self._dataplane
        signature, envelope, tensors = self._open(message)
        results = await dataplane.infer(tensors)
        response = encode(dataplane.name, dataplane.version, signature, envelope, results)
        self._metrics.request_seconds.observe(perf_counter() - began)
        return response

    def _open(self, message: bytes) -> tuple[Signature, Envelope, list[Array]]:
        """On its own, so that the request's message is gone while its tensors wait."""
        request = _read(pb.ModelInferRequest, message)
        self._dataplane.check_model(request.model_name, request.model_version or None)
        signature = self._dataplane.admit()
        return signature, *decode(signature, request)


def _read(kind: Any, message: bytes) -> Any:
    try:
        return kind.FromString(message)
    except DecodeError as error:
        raise InvalidRequestError(f"malformed message: {error}") from None
