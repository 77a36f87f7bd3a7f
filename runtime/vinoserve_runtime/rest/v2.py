"""The Open Inference Protocol over HTTP: paths, headers and status codes around the data plane."""

import asyncio
from functools import partial
from time import perf_counter
from typing import Final

from vinoserve_runtime.dataplane import Dataplane
from vinoserve_runtime.protocol.infer import Codec, InferResponse, read_repository_filter
from vinoserve_runtime.protocol.signature import Signature
from vinoserve_runtime.rest.decoding import LARGE_JSON_BYTES, Decoder
from vinoserve_runtime.rest.messages import (
    BINARY,
    HttpError,
    Later,
    Request,
    Response,
    Route,
    make_json_response,
)
from vinoserve_runtime.rest.routing import Resource, find_route, get, post
from vinoserve_runtime.rest.status import make_refusal
from vinoserve_runtime.rest.targets import split_path

CACHED_TARGETS: Final = 64


class V2App:
    def __init__(self, dataplane: Dataplane) -> None:
        self._dataplane = dataplane
        self._metrics = dataplane.metrics
        self._resources: dict[bytes, Resource] = {}
        self._signature: Signature | None = None
        self._codec: Codec | None = None
        self._decoder = Decoder()

    def close(self) -> None:
        """No request comes any more."""
        self._decoder.close()

    @property
    def max_body_bytes(self) -> int:
        return self._dataplane.limits.max_request_bytes

    @property
    def closing(self) -> bool:
        return self._dataplane.draining

    def route(self, method: str, target: bytes) -> Route:
        resource = self._resources.get(target)
        if resource is None:
            resource = self._find(split_path(target))
            if len(self._resources) >= CACHED_TARGETS:
                self._resources.clear()
            self._resources[target] = resource
        return find_route(resource, method)

    def refuse(self, error: Exception) -> Response:
        return make_refusal(error)

    def answered(self, request: Request, status: int) -> None:
        operation = "other" if request.route is None else request.route.operation
        self._metrics.requests["rest", operation, status] += 1

    def can_abandon(self, task: asyncio.Task[None]) -> bool:
        return self._dataplane.is_waiting(task)

    def _find(self, path: list[str]) -> Resource:
        match path:
            case ["v2"] | ["v2", ""]:
                return get("metadata", self._server_metadata)
            case ["v2", "health", "live"]:
                return get("health", self._live)
            case ["v2", "health", "ready"]:
                return get("health", self._ready)
            case ["v2", "repository", "index"]:
                return post("metadata", self._repository_index)
            case ["v2", "repository", "models", _, "load" | "unload"]:
                return post("other", self._refuse_repository_change)
            case ["v2", "models", name, "versions", version, *rest]:
                return self._find_model(name, version, rest)
            case ["v2", "models", name, *rest]:
                return self._find_model(name, None, rest)
        raise HttpError(404, "no such path; this server speaks the Open Inference Protocol below /v2")

    def _find_model(self, name: str, version: str | None, rest: list[str]) -> Resource:
        self._dataplane.check_model(name, version)
        match rest:
            case []:
                return get("metadata", self._model_metadata)
            case ["ready"]:
                return get("health", self._model_ready)
            case ["infer"]:
                return post("infer", self._infer)
        raise HttpError(404, "no such path below the model; there are ready, infer and versions")

    def _server_metadata(self, _: Request) -> Response:
        return make_json_response(200, self._dataplane.server_metadata())

    def _model_metadata(self, _: Request) -> Response:
        return make_json_response(200, self._dataplane.model_metadata())

    def _live(self, _: Request) -> Response:
        return make_json_response(200, {"live": True})

    def _ready(self, _: Request) -> Response:
        return _make_ready_response(self._dataplane.ready, {})

    def _model_ready(self, _: Request) -> Response:
        return _make_ready_response(self._dataplane.ready, {"name": self._dataplane.name})

    def _repository_index(self, request: Request) -> Response:
        only_ready = read_repository_filter(request.body)
        return make_json_response(200, self._dataplane.repository_index(only_ready=only_ready))

    def _refuse_repository_change(self, _: Request) -> Response:
        raise self._dataplane.why_no_repository_change()

    def _infer(self, request: Request) -> Response | Later:
        """At once where the engine is quick: no task, no future, no timer between the request and its answer."""
        dataplane = self._dataplane
        if not dataplane.is_quick:
            return partial(self._infer_in_turn, request)
        began = perf_counter()
        codec = self._codec_of(dataplane.admit())
        header_length = _header_length(request)
        if (header_length or len(request.body)) > LARGE_JSON_BYTES:
            return partial(self._infer_in_turn, request)
        envelope, tensors = codec.decode(request.body, header_length)
        results = dataplane.infer_now(tensors)
        if results is None:
            return partial(self._infer_in_turn, request)
        return self._respond(began, codec.encode(envelope, results))

    async def _infer_in_turn(self, request: Request) -> Response:
        began = perf_counter()
        dataplane = self._dataplane
        signature = dataplane.admit()
        codec = self._codec_of(signature)
        header_length = _header_length(request)
        json_length = len(request.body) if header_length is None else header_length
        if json_length <= LARGE_JSON_BYTES:
            envelope, tensors = codec.decode(request.body, header_length)
        else:
            envelope, tensors = await self._decoder.decode(signature, request.body, header_length)
            dataplane.admit()
        return self._respond(began, codec.encode(envelope, await dataplane.infer(tensors)))

    def _respond(self, began: float, answer: InferResponse) -> Response:
        self._metrics.request_seconds.observe(perf_counter() - began)
        if not answer.raw:
            return Response(200, [answer.header])
        return Response(
            200,
            [answer.header, *answer.raw],
            BINARY,
            [(b"Inference-Header-Content-Length", b"%d" % len(answer.header))],
        )

    def _codec_of(self, signature: Signature) -> Codec:
        if signature is not self._signature or self._codec is None:
            self._signature = signature
            self._codec = Codec(self._dataplane.name, self._dataplane.version, signature)
        return self._codec


def _make_ready_response(ready: bool, content: dict[str, object]) -> Response:
    if ready:
        return make_json_response(200, {**content, "ready": True})
    return make_json_response(503, {**content, "ready": False}, (b"Retry-After", b"5"))


def _header_length(request: Request) -> int | None:
    value = request.headers.get(b"inference-header-content-length")
    if value is None:
        return None
    if not value.isdigit() or len(value) > 18:
        raise HttpError(
            400, f"Inference-Header-Content-Length must be a number of bytes, not {value.decode('latin-1')}"
        )
    return int(value)
