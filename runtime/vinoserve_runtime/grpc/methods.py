"""What a method is: bytes in, bytes out, as one message each or as a conversation.

From bytes to bytes, so that it is us who say what is wrong with a malformed message.
"""

from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Protocol

from google.protobuf.message import DecodeError

from vinoserve_runtime.grpc.messages import Message
from vinoserve_runtime.http2.outlet import Buffer
from vinoserve_runtime.protocol.errors import InvalidRequestError

Pieces = list[Buffer]
"""A response's message; large tensors are where they are."""


class Dialogue(Protocol):
    """What a conversation is held through."""

    async def read(self) -> tuple[Message, int] | None:
        """The next message and the room that it holds, which is the caller's from now on; None after the last.

        Raises what is wrong with it.
        """
        ...

    async def write(self, *pieces: Buffer) -> None:
        """One message; returns when the client's window and the socket have taken it."""
        ...


@dataclass(frozen=True, slots=True)
class Unary:
    """`answer` does at once what it can, and else returns what is to be awaited; it raises the errors of `status.CODES`."""

    operation: str
    answer: Callable[[Message], Pieces | Coroutine[Any, Any, Pieces]]
    needs_room: bool = False
    """Whether requests wait for room in memory. Probes are answered in any case."""


@dataclass(frozen=True, slots=True)
class Streaming:
    converse: Callable[[Dialogue], Awaitable[None]]
    needs_room: bool = False


def read(kind: Any, message: Message) -> Any:
    """The message of type `kind`. Raises InvalidRequestError where `message` is none."""
    try:
        return kind.FromString(message if isinstance(message, bytes) else bytes(message))
    except DecodeError as error:
        raise InvalidRequestError(f"malformed message: {error}") from None
