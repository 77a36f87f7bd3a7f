"""The server's half of a connection, without I/O: bytes in, calls to the application, bytes out (RFC 9113).

Whatever a client sends costs little and is bounded: floods of frames that ask for nothing, streams that are reset as soon
as they are opened, and answers that are not taken end the connection or the stream.
"""

from collections.abc import Callable, Sequence
from typing import Final, Generic, TypeVar

from vinoserve_runtime.http2.blocks import MAX_BLOCK_BYTES, BlockReader
from vinoserve_runtime.http2.errors import ConnectionFault, ErrorCode, StreamFault
from vinoserve_runtime.http2.frames import (
    ACK,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HEADER,
    HEADER_BYTES,
    HEADERS,
    PADDED,
    PING,
    PREFACE,
    PRIORITY,
    RST_STREAM,
    SETTINGS,
    STREAM_MASK,
    WINDOW_UPDATE,
    WITH_PRIORITY,
    make_frame,
    make_goaway,
    make_rst_stream,
    read_number,
)
from vinoserve_runtime.http2.guard import Guard
from vinoserve_runtime.http2.outlet import Buffer, Outlet
from vinoserve_runtime.http2.payload import TINY_BYTES, Payload, read_padding
from vinoserve_runtime.http2.requests import RequestHead, read_request_head
from vinoserve_runtime.http2.rules import check_frame, strip_headers
from vinoserve_runtime.http2.settings import (
    FRAME_BYTES,
    GREETING,
    LARGEST_WINDOW,
    MAX_STREAMS,
    read_peer_settings,
)
from vinoserve_runtime.http2.stream import Application, Stream

_T = TypeVar("_T")

RECENT_STREAMS: Final = 256
"""That the server ended first: what the client sent before it knew is dropped."""


class Connection(Generic[_T]):
    """`interpret`: what a request's head means to the application; raises StreamFault. `write` and
    `write_pieces` are the transport's.
    """

    def __init__(
        self,
        application: Application[_T],
        interpret: Callable[[RequestHead], _T],
        write: Callable[[bytes], None],
        write_pieces: Callable[[Sequence[Buffer]], None],
    ) -> None:
        self._application = application
        self._guard = Guard()
        self._outlet = Outlet(write, write_pieces, self._guard)
        self._payload = Payload(self._outlet, self._guard)
        self._blocks = BlockReader(lambda fields: interpret(read_request_head(fields)))
        self.streams: dict[int, Stream] = {}
        self.last_stream = 0
        self.is_ready = False
        """The client has sent its SETTINGS."""
        self.is_ending = False
        """No more streams are opened."""
        self.pongs = 0
        self._preface = PREFACE
        self._rest = b""
        self._fragments: list[bytes] | None = None
        self._fragments_of = (0, 0)
        self._recent: dict[int, None] = {}
        self._handlers = {
            HEADERS: self._on_headers,
            PRIORITY: self._on_priority,
            RST_STREAM: self._on_rst_stream,
            SETTINGS: self._on_settings,
            PING: self._on_ping,
            GOAWAY: self._on_goaway,
            WINDOW_UPDATE: self._on_window_update,
            CONTINUATION: self._on_continuation,
        }

    @property
    def is_paused(self) -> bool:
        """The client doesn't read what was written."""
        return self._outlet.is_paused

    # ---- the endpoint calls ----

    def receive(self, data: bytes) -> None:
        """Raises ConnectionFault; then nothing more may be received."""
        if self._rest:
            data = self._rest + data
            self._rest = b""
        end, position = len(data), 0
        if self._preface:
            position = self._take_preface(data)
        unpack, streams, payload = HEADER.unpack_from, self.streams, self._payload
        while True:
            if payload.is_open:
                position = payload.go_on(data, position)
                if payload.is_open:
                    return
            if end - position < HEADER_BYTES:
                break
            first, flags, ident = unpack(data, position)
            kind, length, ident = first & 0xFF, first >> 8, ident & STREAM_MASK
            start = position + HEADER_BYTES
            after = start + length
            if kind == DATA and self._fragments is None:
                stream = streams.get(ident)
                if after > end or flags & PADDED or stream is None or stream.ended or length > FRAME_BYTES:
                    begun = self._begin_data(data, start, length, flags, ident)
                    if begun < 0:
                        break
                    position = begun
                    continue
                payload.take_credit(stream, length)
                position = after
                ended = stream.ended = bool(flags & END_STREAM)
                if length < TINY_BYTES and not ended:
                    self._guard.hear_noise()
                stream.receiver.receive(data[start:after], ended)
                stream.account(length)
                continue
            if (
                kind != HEADERS  # there is nothing in the others' way
                or length > MAX_BLOCK_BYTES
                or not self.is_ready
                or self._fragments is not None
            ):
                self._check_frame(kind, length, ident)
            if after > end:
                break
            position = after
            handler = self._handlers.get(kind)
            if handler is None:
                self._guard.hear_noise()
                continue
            try:
                handler(flags, ident, data[start:after])
            except StreamFault as fault:
                self._fail_stream(ident, fault.code)
        self._rest = data[position:]

    def get_buffer(self) -> memoryview | None:
        """Where the next bytes may be put at once."""
        return self._payload.get_buffer()

    def received(self, size: int) -> None:
        """So much was put there."""
        self._payload.received(size)

    def pause(self) -> None:
        """The transport takes no more."""
        self._outlet.is_paused = True

    def resume(self) -> None:
        self._outlet.resume()

    def end(self) -> None:
        """Opens no more streams, and tells the client so."""
        if not self.is_ending:
            self.is_ending = True
            self._outlet.write(make_goaway(self.last_stream, ErrorCode.NO_ERROR))

    def fail(self, fault: ConnectionFault) -> None:
        """Says what was wrong."""
        self.is_ending = True
        if self._preface:
            self._outlet.write(GREETING)
        self._outlet.write(make_goaway(self.last_stream, fault.code, fault.reason))

    def ping(self) -> None:
        self._outlet.write(make_frame(PING, 0, 0, bytes(8)))

    def close(self) -> None:
        """The connection is gone, and all its streams."""
        for stream in list(self.streams.values()):
            self._close(stream)

    def check(self, now: float) -> None:
        """Once a second: ends streams whose answers are not taken."""
        self._guard.forget()
        for stream in self._outlet.find_stalled(now):
            self.reset(stream, ErrorCode.CANCEL)

    # ---- streams call ----

    def add_credit(self, size: int) -> None:
        self._payload.add_credit(size)

    def all_said(self, stream: Stream) -> None:
        if not stream.ended:
            # What the client would still send, nobody wants (RFC 9113, 8.1).
            self._outlet.write(make_rst_stream(stream.id, ErrorCode.NO_ERROR))
            self._remember(stream.id)
        self._close(stream)

    def reset(self, stream: Stream, code: ErrorCode) -> None:
        if stream.id in self.streams:
            self._outlet.write(make_rst_stream(stream.id, code))
            self._remember(stream.id)
            self._close(stream)

    # ---- DATA ----

    def _begin_data(self, data: bytes, start: int, length: int, flags: int, ident: int) -> int:
        """A frame that isn't simple: padded, not whole, or unwanted. Where its content begins, -1 where that isn't there yet."""
        self._check_frame(DATA, length, ident)
        padding = read_padding(data, start, length, flags)
        if padding is None:
            return -1
        stream = self.streams.get(ident)
        if stream is None or stream.ended:
            self._check_stray(stream, ident)
            stream = None
        self._payload.begin(stream, length, flags, padding)
        return start + (1 if padding else 0)

    def _check_stray(self, stream: Stream | None, ident: int) -> None:
        """DATA on a stream that takes none."""
        if stream is not None:
            self._fail_stream(ident, ErrorCode.STREAM_CLOSED)
        elif self._is_idle(ident):
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, f"DATA on stream {ident}, which is not open")
        elif ident <= self.last_stream and ident not in self._recent:
            self._fail_stream(ident, ErrorCode.STREAM_CLOSED)

    # ---- other frames ----

    def _take_preface(self, data: bytes) -> int:
        head = data[: len(self._preface)]
        if not self._preface.startswith(head):
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "this is no HTTP/2")
        self._preface = self._preface[len(head) :]
        if not self._preface:
            self._outlet.write(GREETING)  # not before: who speaks HTTP/1 understands another answer
        return len(head)

    def _check_frame(self, kind: int, length: int, ident: int) -> None:
        if not self.is_ready and kind != SETTINGS:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "the first frame must be SETTINGS")
        check_frame(kind, length, ident)
        if self._fragments is not None and (kind != CONTINUATION or ident != self._fragments_of[0]):
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "a header block is not ended")

    def _on_headers(self, flags: int, ident: int, payload: bytes) -> None:
        if not ident & 1:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "clients' streams have odd numbers")
        if flags & (PADDED | WITH_PRIORITY):
            payload = strip_headers(flags, payload)
        if flags & END_HEADERS:
            self._on_block(ident, flags, payload)
        else:
            self._fragments = [payload]
            self._fragments_of = (ident, flags)

    def _on_continuation(self, flags: int, ident: int, payload: bytes) -> None:
        fragments = self._fragments
        if fragments is None:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "CONTINUATION of nothing")
        self._guard.hear_noise()
        fragments.append(payload)
        if sum(map(len, fragments)) > MAX_BLOCK_BYTES or len(fragments) > 64:
            raise ConnectionFault(
                ErrorCode.ENHANCE_YOUR_CALM, f"a header block is longer than {MAX_BLOCK_BYTES} bytes"
            )
        if flags & END_HEADERS:
            self._fragments = None
            self._on_block(ident, self._fragments_of[1], b"".join(fragments))

    def _on_block(self, ident: int, flags: int, block: bytes) -> None:
        stream = self.streams.get(ident)
        ended = bool(flags & END_STREAM)
        if stream is not None:
            self._on_trailers(stream, block, ended=ended)
            return
        if ident <= self.last_stream or self.is_ending:
            self._blocks.decode(block)  # later blocks build on it
            self._guard.hear_noise()
            if ident > self.last_stream or ident in self._recent:
                return
            raise ConnectionFault(ErrorCode.STREAM_CLOSED, f"HEADERS on stream {ident}, which is over")
        self.last_stream = ident
        request = self._blocks.read(block)
        if len(self.streams) >= MAX_STREAMS:
            raise StreamFault(ErrorCode.REFUSED_STREAM)
        stream = self.streams[ident] = Stream(self, self._outlet, ident, ended=ended)
        self._application.open(stream, request)
        if ended:
            stream.receiver.receive(b"", ended=True)

    def _on_trailers(self, stream: Stream, block: bytes, *, ended: bool) -> None:
        self._blocks.decode(block)
        if stream.ended:
            raise StreamFault(ErrorCode.STREAM_CLOSED)
        if not ended:
            raise StreamFault(ErrorCode.PROTOCOL_ERROR)
        stream.ended = True
        stream.receiver.receive(b"", ended=True)

    def _on_priority(self, _: int, ident: int, payload: bytes) -> None:
        self._guard.hear_noise()
        if len(payload) != 5:
            if self._is_idle(ident):
                raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "PRIORITY is five bytes")
            raise StreamFault(ErrorCode.FRAME_SIZE_ERROR)

    def _on_rst_stream(self, _flags: int, ident: int, _payload: bytes) -> None:
        self._guard.hear_noise()
        if self._is_idle(ident):
            raise ConnectionFault(
                ErrorCode.PROTOCOL_ERROR, f"RST_STREAM of stream {ident}, which is not open"
            )
        stream = self.streams.get(ident)
        if stream is not None:
            self._guard.count_reset()
            self._close(stream)

    def _on_settings(self, flags: int, _: int, payload: bytes) -> None:
        self._guard.hear_noise()
        if flags & ACK:
            if payload:
                raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "SETTINGS with ACK are empty")
            return
        window, frame = read_peer_settings(payload)
        self.is_ready = True
        self._outlet.reply(make_frame(SETTINGS, ACK, 0))
        self._outlet.set_up(window, frame, list(self.streams.values()))

    def _on_ping(self, flags: int, _: int, payload: bytes) -> None:
        self._guard.hear_noise()
        if flags & ACK:
            self.pongs += 1
        else:
            self._outlet.reply(make_frame(PING, ACK, 0, payload))

    def _on_goaway(self, _flags: int, _ident: int, _payload: bytes) -> None:
        """The client opens no more streams; what it has asked for, it still wants."""
        self._guard.hear_noise()

    def _on_window_update(self, _: int, ident: int, payload: bytes) -> None:
        self._guard.hear_noise()
        more = read_number(payload) & STREAM_MASK
        if not ident:
            self._outlet.widen(more)
            return
        stream = self.streams.get(ident)
        if stream is None:
            if self._is_idle(ident):
                raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, f"WINDOW_UPDATE of stream {ident}, not open")
            return
        stream.window += more
        if not more:
            raise StreamFault(ErrorCode.PROTOCOL_ERROR)
        if stream.window > LARGEST_WINDOW:
            raise StreamFault(ErrorCode.FLOW_CONTROL_ERROR)
        if stream in self._outlet.blocked:
            stream.pump(LARGEST_WINDOW)

    # ---- details ----

    def _is_idle(self, ident: int) -> bool:
        """Whether nothing but HEADERS may come on it. A client that doesn't know of the end yet opens streams in vain."""
        return not ident & 1 or (ident > self.last_stream and not self.is_ending)

    def _fail_stream(self, ident: int, code: ErrorCode) -> None:
        """For a fault of the client's."""
        self._guard.count_reset()
        stream = self.streams.get(ident)
        if stream is not None:
            self.reset(stream, code)
        else:
            self._outlet.reply(make_rst_stream(ident, code))
            self._remember(ident)

    def _remember(self, ident: int) -> None:
        self._recent[ident] = None
        if len(self._recent) > RECENT_STREAMS:
            del self._recent[next(iter(self._recent))]

    def _close(self, stream: Stream) -> None:
        if self.streams.pop(stream.id, None) is not None:
            self._payload.forget(stream)
            stream.close()
