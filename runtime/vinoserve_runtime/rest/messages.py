"""HTTP requests and responses as the connection and the applications on it see them."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Final, Protocol

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
        "accepts_gzip",
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
        self.accepts_gzip = False
        self.body: bytes | memoryview = b""
        self.held = 0
        """What of the server's room its body takes."""
        self.keep_alive = False
        self.linger = False
        """More may come from the client after this; it is read and dropped."""
        self.route: Route | None = None
        self.refusal: Exception | None = None
        """Answered with this, whatever the route says."""

    def again(self, body: bytes | memoryview) -> "Request":
        """Another one with the same head."""
        request: Request = Request.__new__(Request)
        request.method = self.method
        request.target = self.target
        request.headers = self.headers
        request.content_length = self.content_length
        request.coding = self.coding
        request.accepts_gzip = self.accepts_gzip
        request.body = body
        request.held = 0
        request.keep_alive = self.keep_alive
        request.linger = False
        request.route = self.route
        request.refusal = None
        return request


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


Later = Callable[[], Coroutine[Any, Any, Response]]
"""An answer that takes its time: called in a task of its own."""


@dataclass(frozen=True, slots=True)
class Route:
    """Answers a target."""

    operation: str
    handle: Callable[[Request], Response | Later]


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
