"""All methods of the server, and the calls that are open."""

import asyncio
from dataclasses import dataclass
from typing import Final

from vinoserve_runtime.dataplane import Dataplane
from vinoserve_runtime.grpc.calls import UnaryCall
from vinoserve_runtime.grpc.conversation import Conversation
from vinoserve_runtime.grpc.heads import HEAD, Opening, make_trailers, read_opening
from vinoserve_runtime.grpc.methods import Streaming, Unary
from vinoserve_runtime.grpc.status import NAMES, Code, UnknownMethodError, make_refusal
from vinoserve_runtime.http2.requests import RequestHead
from vinoserve_runtime.http2.stream import Stream

SPARE_CALLS: Final = 1024
"""Beside the inferences that wait: health, metadata, streams, and messages that are still coming."""
MAX_STREAMS: Final = 512
"""Conversations open at the same time, of all clients; half of what SPARE_CALLS leaves for them."""

Call = UnaryCall | Conversation


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the head of a request asks for."""

    opening: Opening
    method: Unary | Streaming | None
    refusal: bytes
    """The whole answer, where it is refused as it is,"""
    code: Code
    """with this."""


class Application:
    """Belongs to one event loop. `methods` by their paths."""

    def __init__(self, dataplane: Dataplane, methods: dict[bytes, Unary | Streaming]) -> None:
        limits = dataplane.limits
        self.loop = asyncio.get_running_loop()
        self.room = dataplane.room
        self.max_message_bytes = limits.max_request_bytes
        self.receive_seconds = limits.request_timeout_seconds
        """A message may take as long to come as there is for its answer."""
        self._methods = methods
        self._requests = dataplane.metrics.requests
        self._most = limits.max_queued_requests + SPARE_CALLS
        self._calls = 0
        self._conversations = 0
        self._opened: list[Call] = []
        """With the read that is looked at."""
        self._waiting: dict[Call, None] = {}
        """For messages."""

    # ---- the server calls ----

    def interpret(self, head: RequestHead) -> Wanted:
        opening = read_opening(head)
        method = self._methods.get(head.path)
        refusal = opening.refusal
        if method is None and refusal is None:
            refusal = UnknownMethodError(f"there is no method {head.path.decode(errors='replace')}")
        if refusal is None:
            return Wanted(opening, method, b"", Code.OK)
        code, details = make_refusal(refusal)
        block = opening.http_refusal or HEAD + make_trailers(code, details)
        return Wanted(opening, method, block, code)

    def open(self, stream: Stream, request: Wanted) -> None:
        method = request.method
        if request.refusal or method is None:
            if isinstance(method, Unary) and not request.opening.http_refusal:
                self.count(method.operation, request.code)
            stream.send_headers(request.refusal, end=True)
        elif self._calls >= self._most:
            self._refuse(stream, method, f"{self._most} calls are open already")
        elif isinstance(method, Unary):
            self._add(stream, UnaryCall(self, stream, request.opening, method))
        elif self._conversations >= MAX_STREAMS:
            self._refuse(stream, method, f"{MAX_STREAMS} streams are open already")
        else:
            self._conversations += 1
            self._add(stream, Conversation(self, stream, request.opening, method))

    def settle(self) -> None:
        if self._opened:
            opened, self._opened = self._opened, []
            for call in opened:
                if call.start_clock():
                    self._waiting[call] = None

    def check(self, now: float) -> None:
        for call in list(self._waiting):
            call.check(now)

    # ---- calls call ----

    def count(self, operation: str, code: Code) -> None:
        """A request was answered with `code`."""
        self._requests["grpc", operation, NAMES[code]] += 1

    def stop_waiting(self, call: Call) -> None:
        self._waiting.pop(call, None)

    def leave(self, call: Call) -> None:
        """It is over."""
        self._calls -= 1
        self._conversations -= isinstance(call, Conversation)
        if self._waiting:
            self._waiting.pop(call, None)

    # ---- details ----

    def _add(self, stream: Stream, call: Call) -> None:
        self._calls += 1
        stream.receiver = call
        self._opened.append(call)

    def _refuse(self, stream: Stream, method: Unary | Streaming, details: str) -> None:
        """For want of places."""
        if isinstance(method, Unary):
            self.count(method.operation, Code.RESOURCE_EXHAUSTED)
        stream.send_headers(HEAD + make_trailers(Code.RESOURCE_EXHAUSTED, details), end=True)
