"""How much of a connection may be noise: frames that cost the server more than the client."""

from typing import Final

from vinoserve_runtime.http2.errors import ConnectionFault, ErrorCode
from vinoserve_runtime.http2.settings import MAX_STREAMS

NOISE_PER_SECOND: Final = 10_000
"""Frames that ask for no answer of ours, or for a trivial one: an honest client sends some for each of its requests."""
RESET_BURST: Final = MAX_STREAMS + 100
"""A client may give up all its requests at once,"""
RESETS_PER_SECOND: Final = 100
"""but not go on like that."""
UNREAD_REPLIES: Final = 1000
"""To a client that reads nothing."""


class Guard:
    """Counts; raises ConnectionFault ENHANCE_YOUR_CALM where it is too much."""

    __slots__ = ("_noise", "_replies", "_resets")

    def __init__(self) -> None:
        self._noise = self._resets = self._replies = 0

    def hear_noise(self) -> None:
        self._noise += 1
        if self._noise > NOISE_PER_SECOND:
            raise ConnectionFault(ErrorCode.ENHANCE_YOUR_CALM, "too many frames that ask for nothing")

    def count_reset(self) -> None:
        """A stream ended early, by the client's will or by its fault."""
        self._resets += 1
        if self._resets > RESET_BURST:
            raise ConnectionFault(ErrorCode.ENHANCE_YOUR_CALM, "too many streams are reset")

    def count_unread_reply(self) -> None:
        self._replies += 1
        if self._replies > UNREAD_REPLIES:
            raise ConnectionFault(ErrorCode.ENHANCE_YOUR_CALM, "the replies are not read")

    def replies_are_read(self) -> None:
        self._replies = 0

    def forget(self) -> None:
        """Once a second."""
        self._noise = 0
        self._resets = max(0, self._resets - RESETS_PER_SECOND)
