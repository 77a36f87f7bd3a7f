"""ModelStreamInfer: requests on one stream, each answered as soon as it is done."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Any, Final

import grpc.aio
from grpc import StatusCode

from vinoserve_runtime.grpc import open_inference_grpc_pb2 as pb
from vinoserve_runtime.grpc.codec import Request, read_request
from vinoserve_runtime.grpc.methods import Methods
from vinoserve_runtime.grpc.status import make_refusal
from vinoserve_runtime.room import SMALL_BYTES

IN_FLIGHT: Final = 32
"""Requests of one stream that are worked on, or whose responses the client has not taken. Further ones are not read until
then, and HTTP/2's flow control holds the client back."""

FINAL: Final = "triton_final_response"
"""By this Triton's clients know that a request has no more responses."""

Infer = Callable[[Request], Awaitable[pb.ModelInferResponse]]


class InferStreams:
    """All streams of a server."""

    def __init__(self, infer: Infer, methods: Methods) -> None:
        self._infer = infer
        self._methods = methods
        self._readers: set[asyncio.Task[None]] = set()
        self._closing = False

    def close(self) -> None:
        """Reads no more requests; each stream ends after its last response."""
        self._closing = True
        for reader in self._readers:
            reader.cancel()

    async def converse(self, context: Any) -> None:
        """One stream, until the client has sent its last request, or the server closes."""
        async with asyncio.TaskGroup() as group:
            reader = group.create_task(self._read(context, group))
            self._readers.add(reader)
            reader.add_done_callback(self._readers.discard)
        if self._closing:
            await context.abort(StatusCode.UNAVAILABLE, "the server is shutting down")

    async def _read(self, context: Any, group: asyncio.TaskGroup) -> None:
        places = asyncio.Semaphore(IN_FLIGHT)
        writing = asyncio.Lock()  # gRPC takes one message at a time
        room = self._methods.room

        async def answer(message: bytes) -> None:
            answering = self._answer(message)
            del message  # its tensors alone wait
            response = await answering
            with suppress(grpc.aio.InternalError):  # the client is gone
                async with writing:
                    await context.write(response.SerializeToString())
            places.release()

        while not self._closing:
            await places.acquire()
            await room.enter(SMALL_BYTES, None)
            held = 0
            try:
                message = await context.read()
                if message is grpc.aio.EOF:
                    return
                held = len(message)
            finally:
                room.settle(SMALL_BYTES, held)
            answering = group.create_task(answer(message))
            answering.add_done_callback(partial(self._leave, held))
            del message

    def _leave(self, held: int, _: asyncio.Task[None]) -> None:
        self._methods.room.give(held)

    async def _answer(self, message: bytes) -> pb.ModelStreamInferResponse:
        """An error is the request's alone."""
        answered = pb.ModelInferResponse()
        error_message = ""
        code = StatusCode.OK
        try:
            request = read_request(message)
            answered.id = request.message.id
            inferring = self._infer(request)
            del message, request
            answered = await inferring
        except Exception as error:  # noqa: BLE001 - make_refusal tells what was foreseen
            code, error_message = make_refusal(error)
        self._methods.count("infer", code)
        answered.parameters[FINAL].bool_param = True
        return pb.ModelStreamInferResponse(error_message=error_message, infer_response=answered)
