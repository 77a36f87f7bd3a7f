"""JSON around numbers: clients send, and get, the same text again and again around `data` that differs.

Where a text was read once, another one that is the same before and after an array of it says the same but for that array: JSON's
grammar has one value there, and any other value may stand in its place. So only the array is read; what is around it is known.
"""

from dataclasses import dataclass, field
from typing import Any, Final, Generic, TypeVar

import orjson

T = TypeVar("T")

FRAMED_BYTES: Final = 64 << 10
"""In longer texts the numbers take so long that what is around them doesn't matter."""
KNOWN_FRAMES: Final = 64

_KEY: Final = b'"data"'
_EMPTY: Final = b'"data":null'


@dataclass(slots=True)
class Pieces:
    frame: tuple[bytes, bytes]
    """What is before the array, and after it."""
    data: bytes


def cut(text: bytes | memoryview) -> Pieces | None:
    """At what looks like the first flat array called `data`; it may be part of a string, or of a larger array."""
    if len(text) > FRAMED_BYTES:
        return None
    plain = bytes(text)
    start = plain.find(b"[", plain.find(_KEY))
    end = plain.find(b"]", start) + 1
    return Pieces((plain[:start], plain[end:]), plain[start:end]) if 0 < start < end else None


def read_array(data: bytes) -> list[Any] | None:
    """None where it isn't JSON by itself."""
    try:
        values = orjson.loads(data)
    except orjson.JSONDecodeError:
        return None
    return values if isinstance(values, list) else None


def is_only_input(pieces: Pieces) -> bool:
    """Whether the array of a valid request is the `data` of its only input: it is where another value in its place is seen there."""
    if read_array(pieces.data) is None:
        return False
    before, after = pieces.frame
    inputs = orjson.loads(before + b"null" + after)["inputs"]
    return len(inputs) == 1 and "data" in inputs[0] and inputs[0]["data"] is None


def make_answer_frame(response: dict[str, Any]) -> tuple[bytes, bytes]:
    """What is around the data of a response's only output, which is None in `response`.

    No string has this text in it: quotes are escaped there.
    """
    before, _, after = orjson.dumps(response).partition(_EMPTY)
    return before + _EMPTY[: -len(b"null")], after


@dataclass
class Frames(Generic[T]):
    """What is known of frames that came at least twice: those that hold an id of their own come once."""

    known: dict[tuple[bytes, bytes], T] = field(default_factory=dict)
    _seen: set[int] = field(default_factory=set)

    def is_worthwhile(self, frame: tuple[bytes, bytes]) -> bool:
        """Whether it came before."""
        key = hash(frame)
        if key in self._seen:
            return True
        if len(self._seen) >= KNOWN_FRAMES:
            self._seen.clear()
        self._seen.add(key)
        return False

    def remember(self, frame: tuple[bytes, bytes], content: T) -> None:
        if len(self.known) >= KNOWN_FRAMES:
            self.known.clear()
        self.known[frame] = content
