"""All methods of the server, and the calls that are open."""

import asyncio
from typing import Final

from vinoserve_runtime.dataplane import Dataplane
from vinoserve_runtime.grpc.calls import UnaryCall
from vinoserve_runtime.grpc.conversation import Conversation
from vinoserve_runtime.grpc.heads import HEAD, Opening, make_http_refusal, make_trailers, read_opening
from vinoserve_runtime.grpc.methods import Streaming, Unary
from vinoserve_runtime.grpc.status import Code, UnknownMethodError, make_refusal
from vinoserve_runtime.http2.requests import RequestHead
from vinoserve_runtime.http2.stream import Stream
from vinoserve_runtime.protocol.errors import QueueFullError

SPARE_CALLS: Final = 1024
"""Beside the inferences that wait: health, metadata, streams, and messages that are still coming."""
MAX_STREAMS: Final = 512
"""Conversations open at the same time, of all clients; half of what SPARE_CALLS leaves for them."""

Call = UnaryCall | Conversation


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

    def interpret(self, head: RequestHead) -> Opening:
        return read_opening(head)

    def open(self, stream: Stream, request: Opening) -> None:
        method = self._methods.get(request.path)
        if request.http_status:
            stream.send_headers(make_http_refusal(request.http_status), end=True)
        elif request.refusal is not None:
            self._refuse(stream, method, request.refusal)
        elif method is None:
            self._refuse(
                stream, method, UnknownMethodError(f"no method {request.path.decode(errors='replace')}")
            )
        elif self._calls >= self._most:
            self._refuse(stream, method, QueueFullError(f"{self._most} calls are open already"))
        elif isinstance(method, Unary):
            self._add(stream, UnaryCall(self, stream, request, method))
        elif self._conversations >= MAX_STREAMS:
            self._refuse(stream, method, QueueFullError(f"{MAX_STREAMS} streams are open already"))
        else:
            self._conversations += 1
            self._add(stream, Conversation(self, stream, request, method))

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
        self._requests["grpc", operation, code.name] += 1

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

    def _refuse(self, stream: Stream, method: Unary | Streaming | None, error: Exception) -> None:
        code, details = make_refusal(error)
        if isinstance(method, Unary):
            self.count(method.operation, code)
        stream.send_headers(HEAD + make_trailers(code, details), end=True)
