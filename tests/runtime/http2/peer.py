"""A client of a connection without I/O: frames in and out by hand, with an application that echoes."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from hpack import Encoder

from vinoserve_runtime.http2 import frames
from vinoserve_runtime.http2.blocks import make_block
from vinoserve_runtime.http2.connection import Connection
from vinoserve_runtime.http2.errors import ConnectionFault, ErrorCode
from vinoserve_runtime.http2.requests import RequestHead
from vinoserve_runtime.http2.stream import Stream

FIELDS = [(b":method", b"POST"), (b":scheme", b"http"), (b":path", b"/echo"), (b":authority", b"here")]
BLOCK = make_block(FIELDS)
HEAD = make_block([(b":status", b"200")])
TRAILERS = make_block([(b"done", b"yes")])
BIG = bytes(range(256)) * 256  # a little more than the first windows


@dataclass
class Frame:
    kind: int
    flags: int
    stream: int
    payload: bytes

    @property
    def number(self) -> int:
        return frames.read_number(self.payload)

    @property
    def code(self) -> int:
        """Of RST_STREAM and GOAWAY."""
        return frames.read_number(self.payload, 4 if self.kind == frames.GOAWAY else 0)


def read_frames(data: bytes) -> list[Frame]:
    found = []
    while data:
        first, flags, stream = frames.HEADER.unpack_from(data)
        end = frames.HEADER_BYTES + (first >> 8)
        assert len(data) >= end, "half a frame"
        found.append(Frame(first & 0xFF, flags, stream, data[frames.HEADER_BYTES : end]))
        data = data[end:]
    return found


class Echo:
    """Answers with the body that came, once it is whole."""

    def __init__(self, app: "App", stream: Stream) -> None:
        self.app = app
        self.stream = stream
        self.body = b""
        self.ended = False
        self.closed_times = 0
        self.sent_times = 0

    def receive(self, data: bytes, ended: bool) -> None:
        assert not self.closed_times
        assert not self.ended
        self.body += data
        self.ended = ended
        if ended and self.app.answers:
            self.answer()

    def answer(self) -> None:
        self.stream.respond(HEAD, (self.body,), len(self.body), TRAILERS)

    def get_buffer(self) -> memoryview | None:
        return None

    def received(self, size: int) -> None:
        raise AssertionError

    def sent(self) -> None:
        self.sent_times += 1

    def closed(self) -> None:
        self.closed_times += 1


@dataclass
class App:
    answers: bool = True
    echoes: list[Echo] = field(default_factory=list)
    heads: list[RequestHead] = field(default_factory=list)

    def open(self, stream: Stream, request: RequestHead) -> None:
        self.heads.append(request)
        stream.receiver = echo = Echo(self, stream)
        self.echoes.append(echo)


class Peer:
    """Says hello at once."""

    def __init__(self, app: App | None = None, *settings: tuple[int, int]) -> None:
        self.app = app or App()
        self.out = b""
        self.connection: Connection[RequestHead] = Connection(
            self.app, lambda head: head, self._write, self._write_pieces
        )
        self.encoder = Encoder()
        self.send_raw(frames.PREFACE + frames.make_settings(settings))
        self.hello = self.take()

    def _write(self, data: bytes) -> None:
        self.out += data

    def _write_pieces(self, pieces: Sequence[Any]) -> None:
        self.out += b"".join(pieces)

    def send_raw(self, data: bytes) -> None:
        self.connection.receive(data)

    def send(self, kind: int, flags: int, stream: int, payload: bytes = b"") -> list[Frame]:
        self.send_raw(frames.make_frame(kind, flags, stream, payload))
        return self.take()

    def ask(self, stream: int, body: bytes = b"", *, ended: bool = True) -> list[Frame]:
        """HEADERS, and DATA where there is any."""
        flags = frames.END_HEADERS | (frames.END_STREAM if ended and not body else 0)
        answer = self.send(frames.HEADERS, flags, stream, BLOCK)
        if body:
            answer += self.send(frames.DATA, frames.END_STREAM if ended else 0, stream, body)
        return answer

    def take(self) -> list[Frame]:
        """What the server has said since."""
        out, self.out = self.out, b""
        return read_frames(out)


def body_of(answer: Sequence[Frame]) -> bytes:
    return b"".join(frame.payload for frame in answer if frame.kind == frames.DATA)


def number(value: int) -> bytes:
    return value.to_bytes(4, "big")


def fails(peer: Peer, data: bytes) -> ErrorCode:
    """Why the server ends the connection when it reads them."""
    with pytest.raises(ConnectionFault) as caught:
        peer.send_raw(data)
    return caught.value.code
