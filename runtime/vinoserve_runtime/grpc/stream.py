"""ModelStreamInfer: requests on one stream, each answered as soon as it is done."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from vinoserve_runtime.grpc import open_inference_grpc_pb2 as pb
from vinoserve_runtime.grpc.codec import Envelope, read_request
from vinoserve_runtime.grpc.layouts import Codec
from vinoserve_runtime.grpc.messages import Message
from vinoserve_runtime.grpc.methods import Dialogue, Pieces
from vinoserve_runtime.grpc.status import Code, make_refusal
from vinoserve_runtime.grpc.wire import make_field
from vinoserve_runtime.protocol.errors import InvalidRequestError, NotReadyError
from vinoserve_runtime.room import Room
from vinoserve_runtime.tensors import Array

IN_FLIGHT: Final = 32
"""Requests of one stream that are worked on, or whose responses the client has not taken. Further ones are not read until
then, and HTTP/2's flow control holds the client back."""

_FINAL: Final = pb.ModelInferResponse(
    parameters={"triton_final_response": pb.InferParameter(bool_param=True)}
).SerializeToString()
"""By this parameter Triton's clients know that a request has no more responses."""
_INFER_RESPONSE: Final = 2
"""ModelStreamInferResponse.infer_response"""


@dataclass(slots=True)
class Inference:
    """One that was let in."""

    began: float
    codec: Codec
    envelope: Envelope
    tensors: Sequence[Array]


class InferStreams:
    """All streams of a server. `begin` lets an inference in, `finish` waits for it; `count` counts the answers by their codes."""

    def __init__(
        self,
        begin: Callable[[Message], Inference],
        finish: Callable[[Inference], Coroutine[Any, Any, Pieces]],
        room: Room,
        count: Callable[[Code], None],
    ) -> None:
        self._begin = begin
        self._finish = finish
        self._room = room
        self._count = count
        self._readers: set[asyncio.Task[None]] = set()
        self._closing = False

    def close(self) -> None:
        """Reads no more requests; each stream ends after its last response."""
        self._closing = True
        for reader in self._readers:
            reader.cancel()

    async def converse(self, dialogue: Dialogue) -> None:
        """One stream, until the client has sent its last request, or the server closes."""
        try:
            async with asyncio.TaskGroup() as group:
                reader = group.create_task(self._read(dialogue, group))
                self._readers.add(reader)
                reader.add_done_callback(self._readers.discard)
        except ExceptionGroup as errors:
            raise errors.exceptions[0] from None
        if self._closing:
            raise NotReadyError("the server is shutting down")

    async def _read(self, dialogue: Dialogue, group: asyncio.TaskGroup) -> None:
        places = asyncio.Semaphore(IN_FLIGHT)
        writing = asyncio.Lock()

        async def answer(message: Message, holds: list[int]) -> None:
            answering = self._answer(message)
            del message  # its tensors alone wait
            pieces = await answering
            size = sum(map(len, pieces))
            self._room.settle(holds[0], size)
            holds[0] = size
            async with writing:
                await dialogue.write(*pieces)
            places.release()

        while not self._closing:
            await places.acquire()
            came = await dialogue.read()
            if came is None:
                return
            message, held = came
            holds = [held]
            answering = group.create_task(answer(message, holds))
            answering.add_done_callback(partial(self._leave, holds))
            del message, came

    def _leave(self, holds: list[int], _: asyncio.Task[None]) -> None:
        self._room.give(holds[0])

    async def _answer(self, message: Message) -> Pieces:
        """An error is the request's alone."""
        ident = None
        try:
            inference = self._begin(message)
            ident = inference.envelope.id
            message = b""  # its tensors alone wait
            pieces = await self._finish(inference)
        except Exception as error:  # noqa: BLE001 - make_refusal tells what was foreseen
            code, text = make_refusal(error)
            self._count(code)
            answered = pb.ModelInferResponse.FromString(_FINAL)
            answered.id = _find_id(message) if ident is None else ident
            response = pb.ModelStreamInferResponse(error_message=text, infer_response=answered)
            return [response.SerializeToString()]
        self._count(Code.OK)
        size = len(_FINAL) + sum(map(len, pieces))
        return [make_field(_INFER_RESPONSE, size) + _FINAL, *pieces]


def _find_id(message: Message) -> str:
    try:
        return str(read_request(message).message.id)
    except InvalidRequestError:
        return ""
