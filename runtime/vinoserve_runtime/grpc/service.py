"""The Open Inference Protocol over gRPC: methods and status codes around the data plane."""

from collections.abc import Coroutine, Sequence
from time import perf_counter
from typing import Any, Final

from vinoserve_runtime.dataplane import Dataplane
from vinoserve_runtime.grpc import open_inference_grpc_pb2 as pb
from vinoserve_runtime.grpc.codec import Request, read_request
from vinoserve_runtime.grpc.layouts import Codec
from vinoserve_runtime.grpc.messages import Message
from vinoserve_runtime.grpc.methods import Pieces, Streaming, Unary, read
from vinoserve_runtime.grpc.status import Code
from vinoserve_runtime.grpc.stream import Inference, InferStreams
from vinoserve_runtime.tensors import Array

SERVICE: Final = "inference.GRPCInferenceService"


class InferenceService:
    def __init__(self, dataplane: Dataplane) -> None:
        self._dataplane = dataplane
        self._codec: Codec | None = None
        self._streams = InferStreams(self._open, self._run, dataplane.room, self._count)

    def methods(self) -> dict[str, Unary | Streaming]:
        return {
            "ServerLive": Unary("health", self._server_live),
            "ServerReady": Unary("health", self._server_ready),
            "ModelReady": Unary("health", self._model_ready),
            "ServerMetadata": Unary("metadata", self._server_metadata),
            "ModelMetadata": Unary("metadata", self._model_metadata),
            "ModelInfer": Unary("infer", self._model_infer, needs_room=True),
            "ModelStreamInfer": Streaming(self._streams.converse, needs_room=True),
            "RepositoryIndex": Unary("metadata", self._repository_index),
            "RepositoryModelLoad": Unary("other", self._refuse_repository_change),
            "RepositoryModelUnload": Unary("other", self._refuse_repository_change),
        }

    def close(self) -> None:
        """Ends the streams, each after its last response."""
        self._streams.close()

    def _count(self, code: Code) -> None:
        self._dataplane.metrics.requests["grpc", "infer", code.name] += 1

    def _server_live(self, _: Message) -> Pieces:
        return _serialized(pb.ServerLiveResponse(live=True))

    def _server_ready(self, _: Message) -> Pieces:
        return _serialized(pb.ServerReadyResponse(ready=self._dataplane.ready))

    def _model_ready(self, message: Message) -> Pieces:
        request = read(pb.ModelReadyRequest, message)
        self._dataplane.check_model(request.name, request.version or None)
        return _serialized(pb.ModelReadyResponse(ready=self._dataplane.ready))

    def _server_metadata(self, _: Message) -> Pieces:
        return _serialized(pb.ServerMetadataResponse(**self._dataplane.server_metadata()))

    def _model_metadata(self, message: Message) -> Pieces:
        request = read(pb.ModelMetadataRequest, message)
        self._dataplane.check_model(request.name, request.version or None)
        return _serialized(pb.ModelMetadataResponse(**self._dataplane.model_metadata()))

    def _repository_index(self, message: Message) -> Pieces:
        request = read(pb.RepositoryIndexRequest, message)
        self._dataplane.check_repository(request.repository_name)
        models = self._dataplane.repository_index(only_ready=request.ready)
        return _serialized(pb.RepositoryIndexResponse(models=models))

    def _refuse_repository_change(self, _: Message) -> Pieces:
        raise self._dataplane.why_no_repository_change()

    def _model_infer(self, message: Message) -> Pieces | Coroutine[Any, Any, Pieces]:
        """At once where the engine is quick: no task, no future, no timer between the request and its answer."""
        dataplane = self._dataplane
        if not dataplane.is_quick:
            return self._infer(message)
        inference = self._open(message)
        results = dataplane.infer_now(inference.tensors)
        return self._infer(message) if results is None else self._close(inference, results)

    async def _infer(self, message: Message) -> Pieces:
        inference = self._open(message)
        del message  # its tensors alone wait
        return await self._run(inference)

    def _open(self, message: Message) -> Inference:
        """Then `_run` is called without awaiting anything."""
        began = perf_counter()
        try:
            signature = self._dataplane.admit()
        except Exception:
            self._check_model(read_request(message))  # what is wrong at any time is said at any time
            raise
        if self._codec is None or self._codec.signature is not signature:
            self._codec = Codec(self._dataplane.name, self._dataplane.version, signature, self._check_model)
        envelope, tensors = self._codec.decode(message)
        return Inference(began, self._codec, envelope, tensors)

    async def _run(self, inference: Inference) -> Pieces:
        tensors, inference.tensors = inference.tensors, []
        return self._close(inference, await self._dataplane.infer(tensors))

    def _close(self, inference: Inference, results: Sequence[Array]) -> Pieces:
        pieces = inference.codec.encode(inference.envelope, results)
        self._dataplane.metrics.request_seconds.observe(perf_counter() - inference.began)
        return pieces

    def _check_model(self, request: Request) -> None:
        self._dataplane.check_model(request.message.model_name, request.message.model_version or None)


def _serialized(message: Any) -> Pieces:
    return [message.SerializeToString()]
