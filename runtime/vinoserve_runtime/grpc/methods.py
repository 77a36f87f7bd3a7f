"""grpcio's handlers: methods that take and give bytes, and answer each error with its code.

From bytes to bytes, because a malformed message would be an unknown error where reading it is left to grpcio. As streams
towards us even where one message comes, because only then it is us who wait for it: grpcio would wait for ever.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

import grpc
import grpc.aio
from google.protobuf.message import DecodeError

from vinoserve_runtime.dataplane import Dataplane
from vinoserve_runtime.grpc.status import make_refusal
from vinoserve_runtime.protocol.errors import DeadlineExceededError, InvalidRequestError, QueueFullError
from vinoserve_runtime.room import ROOM_SECONDS, SMALL_BYTES

MAX_STREAMS: Final = 512
"""Open at the same time, of all clients; half of what SPARE_RPCS leaves for them."""

Converse = Callable[[Any], Awaitable[None]]
"""What a stream does with its grpc.aio.ServicerContext."""


def read(kind: Any, message: bytes) -> Any:
    """The message of type `kind`. Raises InvalidRequestError where `message` is none."""
    try:
        return kind.FromString(message)
    except DecodeError as error:
        raise InvalidRequestError(f"malformed message: {error}") from None


class Methods:
    """Makes them. A message may take as long to come as the data plane's limits leave for its answer."""

    def __init__(self, dataplane: Dataplane) -> None:
        self.room = dataplane.room
        self._requests = dataplane.metrics.requests
        self._receive_seconds = dataplane.limits.request_timeout_seconds
        self._streams = 0

    def count(self, operation: str, code: grpc.StatusCode) -> None:
        """A request was answered with `code`."""
        self._requests["grpc", operation, code.name] += 1

    def unary(self, operation: str, answer: Callable[[bytes], Awaitable[Any]]) -> grpc.RpcMethodHandler:
        """`answer` gives the response's message. Only inferences wait for room: probes are answered in any case."""

        async def method(_: Any, context: Any) -> bytes:
            held = 0
            try:
                if operation == "infer":
                    await self.room.enter(SMALL_BYTES, ROOM_SECONDS)
                    held = SMALL_BYTES
                message = await self._receive(context)
                self.room.settle(held, len(message))
                held = len(message)
                answering = answer(message)
                del message  # nobody else needs it
                response: bytes = (await answering).SerializeToString()
            except grpc.aio.InternalError:
                raise  # the client is gone
            except Exception as error:  # noqa: BLE001 - make_refusal tells what was foreseen
                code, details = make_refusal(error)
                self.count(operation, code)
                await context.abort(code, details)
            finally:
                self.room.give(held)
            self.count(operation, grpc.StatusCode.OK)
            return response

        return grpc.stream_unary_rpc_method_handler(method)

    def stream(self, converse: Converse) -> grpc.RpcMethodHandler:
        async def method(_: Any, context: Any) -> None:
            if self._streams >= MAX_STREAMS:
                await context.abort(*make_refusal(QueueFullError(f"{MAX_STREAMS} streams are open already")))
            self._streams += 1
            try:
                await converse(context)
            except (grpc.aio.AbortError, grpc.aio.InternalError):
                raise
            except Exception as error:  # noqa: BLE001 - make_refusal tells what was foreseen
                await context.abort(*make_refusal(error))
            finally:
                self._streams -= 1

        return grpc.stream_stream_rpc_method_handler(method)

    async def _receive(self, context: Any) -> bytes:
        try:
            async with asyncio.timeout(self._receive_seconds):
                message = await context.read()
        except TimeoutError:
            raise DeadlineExceededError(
                f"the request's message did not arrive within {self._receive_seconds} seconds"
            ) from None
        if message is grpc.aio.EOF:
            raise InvalidRequestError("the request has no message")
        return bytes(message)
