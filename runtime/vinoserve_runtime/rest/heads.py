"""Heads that were parsed before: clients that keep their connection send the same bytes before every body.

A parser makes the same of the same bytes where it starts from the same state. So a read that is a known head and as many bytes as
that says is the same request with another body, and the parser, which stands between two messages, need not see it.
"""

from typing import Final

from vinoserve_runtime.rest.messages import Request

KNOWN_HEADS: Final = 64
HEAD_BYTES: Final = 2 << 10
BODY_BYTES: Final = 64 << 10
"""Longer bodies come in several reads, need room, and take so long that a head doesn't matter."""

_END: Final = b"\r\n\r\n"


class Heads:
    """The last few of a server."""

    def __init__(self) -> None:
        self._known: dict[bytes, Request] = {}

    def recall(self, data: bytes) -> Request | None:
        """What `data`, read between two messages, is; None where only a parser can tell."""
        end = data.find(_END, 0, HEAD_BYTES) + len(_END)
        known = self._known.get(data[:end])
        if known is None or len(data) - end != known.content_length:
            return None
        return known.again(data[end:])

    def remember(self, data: bytes, request: Request) -> None:
        """`request`: the last one that a parser found in `data`, and where it ended between two messages again.

        Where head and body make up all of `data`, it was the only one.
        """
        end = data.find(_END, 0, HEAD_BYTES) + len(_END)
        if (
            end < len(_END)
            or len(data) - end != request.content_length
            or request.content_length > BODY_BYTES
            or request.refusal is not None
            or not request.keep_alive
            or b"expect" in request.headers
            or b"transfer-encoding" in request.headers
        ):
            return
        if len(self._known) >= KNOWN_HEADS:
            self._known.clear()
        self._known[data[:end]] = request.again(b"")
