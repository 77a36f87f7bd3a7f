"""What a client does wrong: each fault with its code, and whether the connection ends or a stream of it."""

import pytest
from hpack import Encoder

from tests.runtime.http2.peer import BLOCK, FIELDS, App, Peer, body_of, fails
from vinoserve_runtime.http2 import frames
from vinoserve_runtime.http2.errors import ConnectionFault, ErrorCode
from vinoserve_runtime.http2.frames import (
    ACK,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HEADERS,
    PADDED,
    PING,
    PRIORITY,
    PUSH_PROMISE,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
)
from vinoserve_runtime.http2.settings import FRAME_BYTES, INITIAL_WINDOW_SIZE

OPEN = frames.make_frame(HEADERS, END_HEADERS, 1, BLOCK)
CONNECTION_FAULTS = {
    "data on no stream": (frames.make_frame(DATA, 0, 0, b"x"), ErrorCode.PROTOCOL_ERROR),
    "data on an idle stream": (frames.make_frame(DATA, 0, 1, b"x"), ErrorCode.PROTOCOL_ERROR),
    "data on an even stream": (OPEN + frames.make_frame(DATA, 0, 2, b"x"), ErrorCode.PROTOCOL_ERROR),
    "too much padding": (OPEN + frames.make_frame(DATA, PADDED, 1, b"\5x"), ErrorCode.PROTOCOL_ERROR),
    "padding without length": (OPEN + frames.make_frame(DATA, PADDED, 1), ErrorCode.FRAME_SIZE_ERROR),
    "headers on no stream": (frames.make_frame(HEADERS, END_HEADERS, 0, BLOCK), ErrorCode.PROTOCOL_ERROR),
    "headers on an even stream": (
        frames.make_frame(HEADERS, END_HEADERS, 2, BLOCK),
        ErrorCode.PROTOCOL_ERROR,
    ),
    "headers going back": (
        frames.make_frame(HEADERS, END_HEADERS | END_STREAM, 5, BLOCK)
        + frames.make_frame(HEADERS, END_HEADERS, 3, BLOCK),
        ErrorCode.STREAM_CLOSED,
    ),
    "continuation of nothing": (frames.make_frame(CONTINUATION, END_HEADERS, 1), ErrorCode.PROTOCOL_ERROR),
    "something in a block": (
        frames.make_frame(HEADERS, 0, 1, BLOCK) + frames.make_frame(PING, 0, 0, bytes(8)),
        ErrorCode.PROTOCOL_ERROR,
    ),
    "data in a block": (
        OPEN + frames.make_frame(HEADERS, 0, 3, BLOCK) + frames.make_frame(DATA, 0, 1, b"x"),
        ErrorCode.PROTOCOL_ERROR,
    ),
    "another stream in a block": (
        frames.make_frame(HEADERS, 0, 1, BLOCK) + frames.make_frame(CONTINUATION, END_HEADERS, 3),
        ErrorCode.PROTOCOL_ERROR,
    ),
    "an endless block": (
        frames.make_frame(HEADERS, 0, 1, BLOCK) + frames.make_frame(CONTINUATION, 0, 1, bytes(8000)) * 5,
        ErrorCode.ENHANCE_YOUR_CALM,
    ),
    "an endless block of nothing": (
        frames.make_frame(HEADERS, 0, 1) + frames.make_frame(CONTINUATION, 0, 1) * 100,
        ErrorCode.ENHANCE_YOUR_CALM,
    ),
    "no hpack": (frames.make_frame(HEADERS, END_HEADERS, 1, b"\xff" * 9), ErrorCode.COMPRESSION_ERROR),
    "priority of nothing": (frames.make_frame(PRIORITY, 0, 0, bytes(5)), ErrorCode.PROTOCOL_ERROR),
    "reset of an idle stream": (frames.make_frame(RST_STREAM, 0, 7, bytes(4)), ErrorCode.PROTOCOL_ERROR),
    "reset of nothing": (frames.make_frame(RST_STREAM, 0, 0, bytes(4)), ErrorCode.PROTOCOL_ERROR),
    "a short reset": (OPEN + frames.make_frame(RST_STREAM, 0, 1, bytes(3)), ErrorCode.FRAME_SIZE_ERROR),
    "settings of a stream": (frames.make_frame(SETTINGS, 0, 1), ErrorCode.PROTOCOL_ERROR),
    "settings with a long ack": (frames.make_frame(SETTINGS, ACK, 0, bytes(6)), ErrorCode.FRAME_SIZE_ERROR),
    "half a setting": (frames.make_frame(SETTINGS, 0, 0, bytes(5)), ErrorCode.FRAME_SIZE_ERROR),
    "push": (frames.make_frame(PUSH_PROMISE, 0, 1, bytes(4)), ErrorCode.PROTOCOL_ERROR),
    "ping of a stream": (frames.make_frame(PING, 0, 1, bytes(8)), ErrorCode.PROTOCOL_ERROR),
    "a short ping": (frames.make_frame(PING, 0, 0, bytes(7)), ErrorCode.FRAME_SIZE_ERROR),
    "goaway of a stream": (frames.make_frame(GOAWAY, 0, 1, bytes(8)), ErrorCode.PROTOCOL_ERROR),
    "a short goaway": (frames.make_frame(GOAWAY, 0, 0, bytes(7)), ErrorCode.FRAME_SIZE_ERROR),
    "a window by nothing": (frames.make_frame(WINDOW_UPDATE, 0, 0, bytes(4)), ErrorCode.PROTOCOL_ERROR),
    "a window too large": (frames.make_window_update(0, 2**31 - 1), ErrorCode.FLOW_CONTROL_ERROR),
    "a window of an idle stream": (frames.make_window_update(3, 1), ErrorCode.PROTOCOL_ERROR),
    "a short window": (frames.make_frame(WINDOW_UPDATE, 0, 0, bytes(3)), ErrorCode.FRAME_SIZE_ERROR),
    "windows too large by settings": (
        OPEN + frames.make_window_update(1, 2**30) + frames.make_settings([(INITIAL_WINDOW_SIZE, 2**31 - 1)]),
        ErrorCode.FLOW_CONTROL_ERROR,
    ),
    "a long frame": (frames.HEADER.pack(FRAME_BYTES + 1 << 8, 0, 1), ErrorCode.FRAME_SIZE_ERROR),
    "long headers": (frames.HEADER.pack(40_000 << 8 | HEADERS, 4, 1), ErrorCode.ENHANCE_YOUR_CALM),
}


@pytest.mark.parametrize("name", CONNECTION_FAULTS)
def test_faults_of_the_connection(name: str) -> None:
    data, code = CONNECTION_FAULTS[name]
    assert fails(Peer(App(answers=False)), data) == code


STREAM_FAULTS = {
    "data after the end": (frames.make_frame(DATA, END_STREAM, 1, b"x") * 2, ErrorCode.STREAM_CLOSED),
    "trailers after the end": (
        frames.make_frame(DATA, END_STREAM, 1)
        + frames.make_frame(HEADERS, END_HEADERS | END_STREAM, 1, BLOCK),
        ErrorCode.STREAM_CLOSED,
    ),
    "trailers that don't end": (frames.make_frame(HEADERS, END_HEADERS, 1, BLOCK), ErrorCode.PROTOCOL_ERROR),
    "a window by nothing": (frames.make_frame(WINDOW_UPDATE, 0, 1, bytes(4)), ErrorCode.PROTOCOL_ERROR),
    "a window too large": (frames.make_window_update(1, 2**31 - 1), ErrorCode.FLOW_CONTROL_ERROR),
    "a short priority": (frames.make_frame(PRIORITY, 0, 1, bytes(4)), ErrorCode.FRAME_SIZE_ERROR),
}


@pytest.mark.parametrize("name", STREAM_FAULTS)
def test_faults_of_a_stream_leave_the_others_alone(name: str) -> None:
    data, code = STREAM_FAULTS[name]
    app = App(answers=False)
    peer = Peer(app)
    peer.send_raw(OPEN + data)
    assert [(one.kind, one.stream, one.code) for one in peer.take()] == [(RST_STREAM, 1, code)]
    assert app.echoes[0].closed_times == 1
    peer.ask(3, b"x")
    app.echoes[1].answer()
    assert body_of(peer.take()) == b"x"


def test_a_malformed_request_is_reset() -> None:
    peer = Peer()
    block = Encoder().encode(FIELDS[1:])
    (reset,) = peer.send(HEADERS, END_HEADERS | END_STREAM, 1, block)
    assert (reset.kind, reset.code) == (RST_STREAM, ErrorCode.PROTOCOL_ERROR)
    assert body_of(peer.ask(3, b"x")) == b"x"


def test_data_on_a_stream_that_is_over() -> None:
    peer = Peer()
    peer.ask(1, b"x")
    (reset,) = peer.send(DATA, 0, 1, b"y")
    assert (reset.kind, reset.code) == (RST_STREAM, ErrorCode.STREAM_CLOSED)
    assert peer.send(DATA, 0, 1, b"y") == []


@pytest.mark.parametrize("data", [b"GET / HTTP/1.1\r\n\r\n", b"PRI * HTTP/1.1", b"\x16\x03\x01\0"])
def test_no_http2(data: bytes) -> None:
    peer = Peer()
    other = type(peer.connection)(App(), lambda head: head, lambda _: None, lambda _: None)
    with pytest.raises(ConnectionFault) as caught:
        other.receive(data)
    assert caught.value.code == ErrorCode.PROTOCOL_ERROR


def test_settings_come_first() -> None:
    connection = type(Peer().connection)(App(), lambda head: head, lambda _: None, lambda _: None)
    connection.receive(frames.PREFACE[:10])
    connection.receive(frames.PREFACE[10:])
    with pytest.raises(ConnectionFault):
        connection.receive(OPEN)
