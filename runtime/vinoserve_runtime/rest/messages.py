"""HTTP requests and responses as the connection and the applications on it see them."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Final, Protocol

import orjson

JSON: Final = b"application/json"
BINARY: Final = b"application/octet-stream"


class HttpError(Exception):
    """A request that is answered with `status`; the message is for the client."""

    def __init__(self, status: int, message: str, *headers: tuple[bytes, bytes]) -> None:
        super().__init__(message)
        self.status = status
        self.headers = headers


class Request:
    """One request; `body` is whole by the time that a handler sees it."""

    __slots__ = (
        "body",
        "coding",
        "content_length",
        "headers",
        "held",
        "keep_alive",
        "linger",
        "method",
        "refusal",
        "route",
        "target",
    )

    def __init__(self) -> None:
        self.method = ""
        self.target = b""
        self.headers: dict[bytes, bytes] = {}
        """The ones in HEADERS, names in lower case; repeated ones joined by commas."""
        self.content_length = 0
        """0 also where the body is chunked."""
        self.coding: bytes | None = None
        """Content-Encoding of the body; None where it is plain."""
        self.body: bytes | memoryview = b""
        self.held = 0
        """What of the server's room its body takes."""
        self.keep_alive = False
        self.linger = False
        """More may come from the client after this; it is read and dropped."""
        self.route: QuickRoute | SlowRoute | None = None
        self.refusal: Exception | None = None
        """Answered with this, whatever the route says."""


HEADERS: Final = frozenset(
    (
        b"accept-encoding",
        b"connection",
        b"content-encoding",
        b"content-length",
        b"expect",
        b"inference-header-content-length",
        b"transfer-encoding",
    )
)
"""The headers that have a meaning here; others are counted against the limit and dropped."""


@dataclass(slots=True)
class Response:
    status: int
    chunks: list[bytes | memoryview]
    content_type: bytes = JSON
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class QuickRoute:
    """Answers a target at once."""

    operation: str
    handle: Callable[[Request], Response]


@dataclass(frozen=True, slots=True)
class SlowRoute:
    """Answers a target in its own time."""

    operation: str
    handle: Callable[[Request], Awaitable[Response]]


Route = QuickRoute | SlowRoute


class App(Protocol):
    """What a server of this package serves."""

    @property
    def max_body_bytes(self) -> int: ...

    @property
    def closing(self) -> bool:
        """Whether clients should connect elsewhere from now on."""
        ...

    def route(self, method: str, target: bytes) -> Route:
        """Raises HttpError 400, 404 or 405."""
        ...

    def refuse(self, error: Exception) -> Response:
        """The answer to a request whose handling raised `error`."""
        ...

    def answered(self, request: Request, status: int) -> None:
        """Called once for each response that was written."""
        ...

    def can_abandon(self, task: asyncio.Task[None]) -> bool:
        """Whether the request that `task` handles has not been begun with, so that its client may just as well go."""
        ...


def make_json_response(status: int, content: object, *headers: tuple[bytes, bytes]) -> Response:
    return Response(status, [orjson.dumps(content)], JSON, list(headers))


def make_error_response(error: HttpError) -> Response:
    return make_json_response(error.status, {"error": str(error)}, *error.headers)


STATUS_LINES: Final = {
    status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus
}
