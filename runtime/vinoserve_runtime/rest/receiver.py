"""Requests out of bytes: httptools parses, this keeps to the limits and collects the bodies."""

import asyncio
from collections.abc import Callable
from math import inf
from typing import Final, Protocol, cast

import httptools

from vinoserve_runtime.rest.body import Body
from vinoserve_runtime.rest.coding import accepts_gzip, check_coding
from vinoserve_runtime.rest.heads import Heads
from vinoserve_runtime.rest.messages import HEADERS, App, HttpError, Request
from vinoserve_runtime.room import ROOM_SECONDS, Room

MAX_TARGET_BYTES: Final = 8 << 10
MAX_HEADER_BYTES: Final = 64 << 10

HEADER_SECONDS: Final = 10.0
"""From a header's first byte to its end."""
BODY_SECONDS: Final = 10.0
BODY_BYTES: Final = 64 << 10
"""In any BODY_SECONDS this much more of a body must come, or the rest of it."""
UNCOUNTED_BYTES: Final = 256 << 10
"""Bodies up to this size need no room: one read from the socket may bring as much."""


class _Stop(Exception):  # noqa: N818 - it only leaves the parser
    """Raised in a parser callback: nothing after this is parsed."""


class Sink(Protocol):
    """Whom the receiver tells."""

    def request_received(self, request: Request) -> None: ...

    def request_refused(self, request: Request) -> None:
        """See `request.refusal`; whatever else comes from this client is dropped."""
        ...

    def continue_expected(self) -> None:
        """The client waits for `100 Continue` before it sends the body."""
        ...

    def room_found(self) -> None:
        """`stalled` no more."""
        ...


class Receiver:
    """The receiving half of a connection."""

    def __init__(
        self, app: App, room: Room, clock: Callable[[], float], sink: Sink, heads: Heads | None = None
    ) -> None:
        """`heads`: those known so far; None: every one is parsed."""
        self._app = app
        self._room = room
        self._clock = clock
        self._sink = sink
        self._heads = heads
        self._notes_head = False
        self._latest: Request | None = None
        """Of the requests of this read, the latest that is whole."""
        self._is_last = False
        """The client has said that nothing follows."""
        self._parser = httptools.HttpRequestParser(self)
        self.request: Request | None = None
        """What is being received; None between requests."""
        self.in_header = False
        self.body: Body | None = None
        """The body being received where its length is known and the parser has not seen it whole at once."""
        self.deadline = inf
        """When more, or all, of `request` must be there."""
        self._found: asyncio.Future[None] | None = None
        """There while the body waits for room."""
        self._in_by = inf
        """When the body must be there if others wait for its room."""
        self._header_bytes = 0
        self._chunks: bytearray | None = None
        self._body_mark = 0
        """How much of the body was there when its deadline was set."""
        self._fault: Exception | None = None
        self._done = False

    def feed(self, data: bytes) -> None:
        if self.request is not None or self._done or self._is_last or self._heads is None:
            self._feed(data)
            return
        known = self._heads.recall(data)
        if known is not None:
            self._sink.request_received(known)
            return
        self._notes_head = True
        self._feed(data)
        self._notes_head = False
        latest, self._latest = self._latest, None
        if self.request is None and latest is not None:
            self._heads.remember(data, latest)

    def _feed(self, data: bytes) -> None:
        rest: bytes | memoryview = data
        while rest and not self._done:
            if self.body is None:
                rest = self._parse(rest)
            else:
                rest = self.body.write(rest)
                self.body_grew()

    @property
    def stalled(self) -> bool:
        """Nothing more should be read until there is room for the body."""
        return self._found is not None

    def is_late(self, now: float) -> bool:
        return now >= self.deadline or (now >= self._in_by and self._room.contended)

    def stop(self) -> None:
        """Whatever is fed from now on is dropped."""
        self._done = True
        self._forget_room()
        if self.request is not None:
            self._room.give(self.request.held)
            self.request.held = 0

    def give_up(self) -> None:
        """It is late."""
        if self._found is not None:
            self._refuse(self._room.why_not())
            return
        what = "header" if self.in_header else "body"
        self._refuse(HttpError(408, f"the {what} of the request did not arrive in time"))

    def restart_clock(self) -> None:
        """It was not the client's fault that nothing came until now."""
        if self.request is None or self.stalled:
            return
        self.deadline = self._clock() + (HEADER_SECONDS if self.in_header else BODY_SECONDS)

    def body_grew(self) -> None:
        """More of `body` is there."""
        body, request = cast("Body", self.body), cast("Request", self.request)
        if body.missing:
            self._progress(body.received)
            return
        self.body = None
        request.body = body.view
        self._complete(request)

    # ---- the parser calls ----

    def on_message_begin(self) -> None:
        self.request = Request()
        self.in_header = True
        self._header_bytes = 0
        self.deadline = self._clock() + HEADER_SECONDS

    def on_url(self, target: bytes) -> None:
        request = cast("Request", self.request)
        request.target += target
        if len(request.target) > MAX_TARGET_BYTES:
            self._stop(HttpError(414, f"the request target is longer than {MAX_TARGET_BYTES} bytes"))

    def on_header(self, name: bytes, value: bytes) -> None:
        self._header_bytes += len(name) + len(value)
        if self._header_bytes > MAX_HEADER_BYTES:
            self._stop(_header_too_long())
        name = name.lower()
        if name in HEADERS and self.in_header:  # trailers come after the body: they change nothing any more
            headers = cast("Request", self.request).headers
            value = value.strip()
            headers[name] = headers[name] + b"," + value if name in headers else value

    def on_headers_complete(self) -> None:
        request = cast("Request", self.request)
        headers = request.headers
        self.in_header = False
        version = self._parser.get_http_version()
        if version not in {"1.1", "1.0"}:
            self._stop(HttpError(400, f"HTTP/{version} is not supported; HTTP/1.1 is"))
        request.method = self._parser.get_method().decode()
        request.keep_alive = self._parser.should_keep_alive()
        try:
            request.route = self._app.route(request.method, request.target)
            if b"content-encoding" in headers:
                request.coding = check_coding(headers[b"content-encoding"])
            if b"accept-encoding" in headers:
                request.accepts_gzip = accepts_gzip(headers[b"accept-encoding"])
        except Exception as error:  # noqa: BLE001 - the application's table knows what it means
            request.refusal = error
        if b"transfer-encoding" in headers:
            if headers[b"transfer-encoding"].strip().lower() != b"chunked":
                self._stop(HttpError(415, "of the transfer codings only chunked is supported"))
            if self._parser.should_upgrade():
                self._stop(HttpError(400, "a chunked body can't come with an upgrade"))
            self._chunks = bytearray()
        elif b"content-length" in headers:
            request.content_length = int(headers[b"content-length"])
            if request.content_length > self._app.max_body_bytes:
                self._stop(self._body_too_long())
        if self._chunks is not None or request.content_length:
            self._expect_body(request)

    def on_body(self, data: bytes) -> None:
        request = cast("Request", self.request)
        if self._chunks is not None:
            if len(self._chunks) + len(data) > self._app.max_body_bytes:
                self._stop(self._body_too_long())
            if len(self._chunks) <= UNCOUNTED_BYTES < len(self._chunks) + len(data):
                self._need_room(request, self._app.max_body_bytes + self._unpacked(request))
            self._chunks += data
            self._progress(len(self._chunks))
        elif len(data) == request.content_length:
            request.body = data
        else:
            self.body = _make_body(request)
            self.body.write(data)

    def on_message_complete(self) -> None:
        request = cast("Request", self.request)
        if self._chunks is not None:
            request.body = memoryview(self._chunks)
            if request.held:
                used = len(self._chunks) + self._unpacked(request)
                self._room.settle(request.held, used)
                request.held = used
            self._chunks = None
        elif request.content_length != len(request.body):
            return  # the parser takes the body for another protocol's, because the client offers to upgrade to it
        self._complete(request)

    # ---- details ----

    def _parse(self, data: bytes | memoryview) -> bytes | memoryview:
        """Returns what the parser left."""
        rest: bytes | memoryview = b""
        before = self.request
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            rest = data[upgrade.args[0] :]
        except httptools.HttpParserInvalidMethodError:
            self._refuse(HttpError(405, "unknown method", (b"Allow", b"GET, HEAD, POST")))
            return b""
        except httptools.HttpParserCallbackError:
            if self._fault is None:
                raise
            self._refuse(self._fault)
            return b""
        except httptools.HttpParserError as error:
            self._refuse(HttpError(400, f"malformed HTTP: {error}"))
            return b""
        request = self.request
        if request is None:
            return rest
        if self.in_header:
            # The parser keeps an unfinished line to itself.
            self._header_bytes += len(data) if request is before else 0
            if self._header_bytes > MAX_HEADER_BYTES:
                self._refuse(_header_too_long())
        elif self._chunks is None:
            # The rest of this body goes past the parser; a new one takes over behind it.
            self._parser = httptools.HttpRequestParser(self)
            if self.body is None:
                self.body = _make_body(request)
            self._progress(self.body.received)
        return rest

    def _expect_body(self, request: Request) -> None:
        self._body_mark = 0
        self.deadline = self._clock() + BODY_SECONDS
        if request.content_length > UNCOUNTED_BYTES:
            self._need_room(request, request.content_length + self._unpacked(request))
        expectation = request.headers.get(b"expect")
        if expectation is None or self._parser.get_http_version() == "1.0":
            return
        if request.refusal is not None:
            self._stop(request.refusal)
        if expectation.strip().lower() != b"100-continue":
            self._stop(HttpError(417, "of the expectations only 100-continue is supported"))
        self._sink.continue_expected()

    def _unpacked(self, request: Request) -> int:
        """What the body may take beside itself once its coding is undone."""
        return 0 if request.coding is None else self._app.max_body_bytes

    def _need_room(self, request: Request, size: int) -> None:
        if self._room.take(size):
            self._hold(request, size)
            return
        self.deadline = self._clock() + ROOM_SECONDS
        self._found = self._room.wait(size)
        self._found.add_done_callback(lambda found: self._find_room(found, request, size))

    def _find_room(self, found: asyncio.Future[None], request: Request, size: int) -> None:
        if found.cancelled():
            return
        if self._found is not found:
            self._room.give(size)  # it was given up just as room was found
            return
        self._found = None
        self._hold(request, size)
        self.deadline = self._clock() + BODY_SECONDS
        self._sink.room_found()

    def _hold(self, request: Request, size: int) -> None:
        request.held = size
        self._in_by = self._clock() + ROOM_SECONDS

    def _forget_room(self) -> None:
        self._in_by = inf
        if self._found is not None:
            self._found.cancel()
            self._found = None

    def _progress(self, received: int) -> None:
        """`received` counts from the start of the body."""
        if self.stalled:
            return
        if received - self._body_mark >= BODY_BYTES:
            self._body_mark = received
            self.deadline = self._clock() + BODY_SECONDS

    def _complete(self, request: Request) -> None:
        self.request = None
        self._forget_room()  # what was whole with the read that asked for room
        self.deadline = inf
        if self._notes_head:
            self._latest = request
        self._is_last = not request.keep_alive
        self._sink.request_received(request)

    def _stop(self, fault: Exception) -> None:
        self._fault = fault
        raise _Stop

    def _refuse(self, error: Exception) -> None:
        request = self.request or Request()
        request.refusal = error
        request.keep_alive = False
        self._done = True
        self._forget_room()
        self.request = self.body = self._chunks = None
        self.deadline = inf
        self._sink.request_refused(request)

    def _body_too_long(self) -> HttpError:
        return HttpError(413, f"the body is longer than {self._app.max_body_bytes} bytes")


def _make_body(request: Request) -> Body:
    header_length = request.headers.get(b"inference-header-content-length", b"")
    aligned_at = int(header_length) if header_length.isdigit() and len(header_length) < 10 else 0
    return Body(request.content_length, aligned_at)


def _header_too_long() -> HttpError:
    return HttpError(431, f"the header of the request is longer than {MAX_HEADER_BYTES} bytes")
