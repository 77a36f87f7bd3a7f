"""The connection: what it says first, requests and answers however they are cut, and how they and it end."""

import pytest
from hpack import Encoder

from tests.runtime.http2.peer import BLOCK, HEAD, TRAILERS, App, Peer, body_of, number
from vinoserve_runtime.http2 import frames
from vinoserve_runtime.http2.errors import ErrorCode
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
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
)
from vinoserve_runtime.http2.settings import GREETING


def test_hello() -> None:
    peer = Peer()
    assert (
        b"".join(frames.make_frame(one.kind, one.flags, one.stream, one.payload) for one in peer.hello[:2])
        == GREETING
    )
    assert [(one.kind, one.flags) for one in peer.hello[2:]] == [(SETTINGS, ACK)]
    assert peer.connection.is_ready


@pytest.mark.parametrize("step", [1, 2, 7, 1000])
def test_requests_in_pieces(step: int) -> None:
    """Wherever the bytes are cut."""
    peer = Peer()
    data = b"".join(
        frames.make_frame(HEADERS, END_HEADERS, stream, BLOCK)
        + frames.make_frame(DATA, 0, stream, b"a%d" % stream)
        + frames.make_frame(DATA, PADDED, stream, b"\3bc\0\0\0")
        + frames.make_frame(99, 7, stream, b"unknown")
        + frames.make_frame(DATA, END_STREAM | PADDED, stream, b"\0")
        for stream in (1, 3, 5)
    )
    for start in range(0, len(data), step):
        peer.send_raw(data[start : start + step])
    said = peer.take()
    padding = [(one.stream, one.number) for one in said if one.kind == WINDOW_UPDATE]
    assert padding == [(stream, size) for stream in (1, 3, 5) for size in (4, 1)]
    answer = [one for one in said if one.kind != WINDOW_UPDATE]
    assert [(one.kind, one.stream) for one in answer] == [
        (kind, stream) for stream in (1, 3, 5) for kind in (HEADERS, DATA, HEADERS)
    ]
    assert [one.payload for one in answer[:3]] == [HEAD, b"a1bc", TRAILERS]
    assert answer[2].flags == END_HEADERS | END_STREAM
    assert not peer.connection.streams
    assert [echo.closed_times for echo in peer.app.echoes] == [1, 1, 1]


def test_a_block_in_fragments_and_trailers() -> None:
    peer = Peer()
    peer.send(HEADERS, 0, 1, BLOCK[:5])
    peer.send(CONTINUATION, 0, 1, BLOCK[5:9])
    peer.send(CONTINUATION, END_HEADERS, 1, BLOCK[9:])
    peer.send(DATA, 0, 1, b"body")
    answer = peer.send(HEADERS, END_HEADERS | END_STREAM, 1, Encoder().encode([(b"x", b"y")]))
    assert body_of(answer) == b"body"
    assert peer.app.heads[0].path == b"/echo"


def test_an_early_answer_tells_the_client_to_stop() -> None:
    """What it has sent meanwhile is dropped, and its credit comes back."""
    app = App(answers=False)
    peer = Peer(app)
    peer.ask(1, b"half", ended=False)
    app.echoes[0].answer()
    answer = peer.take()
    assert [(one.kind, one.stream) for one in answer] == [
        (HEADERS, 1),
        (DATA, 1),
        (HEADERS, 1),
        (RST_STREAM, 1),
    ]
    assert answer[-1].code == ErrorCode.NO_ERROR
    assert peer.send(DATA, 0, 1, b"more") == []
    assert peer.send(HEADERS, END_HEADERS | END_STREAM, 1, BLOCK) == []
    assert body_of(peer.ask(3, b"next", ended=False)) == b""
    peer.send(DATA, END_STREAM, 3, b"")
    app.echoes[1].answer()
    assert body_of(peer.take()) == b"next"


def test_cancelled_by_the_client() -> None:
    app = App(answers=False)
    peer = Peer(app)
    peer.ask(1, b"x")
    assert peer.send(RST_STREAM, 0, 1, number(ErrorCode.CANCEL)) == []
    assert app.echoes[0].closed_times == 1
    assert not peer.connection.streams


def test_the_end_of_the_connection_ends_its_streams() -> None:
    app = App(answers=False)
    peer = Peer(app)
    for stream in (1, 3):
        peer.ask(stream, b"x")
    peer.connection.close()
    assert [echo.closed_times for echo in app.echoes] == [1, 1]


def test_going_away() -> None:
    """What came is answered; what comes later is left to another server."""
    app = App(answers=False)
    peer = Peer(app)
    peer.ask(1, b"x")
    peer.connection.end()
    (goaway,) = peer.take()
    assert (goaway.kind, goaway.number, goaway.code) == (GOAWAY, 1, ErrorCode.NO_ERROR)
    assert peer.ask(3, b"y") == []
    assert peer.send(WINDOW_UPDATE, 0, 3, number(1)) == []
    assert peer.send(RST_STREAM, 0, 3, number(8)) == []
    app.echoes[0].answer()
    assert body_of(peer.take()) == b"x"
    assert len(app.echoes) == 1


def test_pings_are_answered() -> None:
    peer = Peer()
    (pong,) = peer.send(PING, 0, 0, b"12345678")
    assert (pong.kind, pong.flags, pong.payload) == (PING, ACK, b"12345678")
    peer.connection.ping()
    (ping,) = peer.take()
    assert (ping.kind, ping.flags) == (PING, 0)
    assert peer.send(PING, ACK, 0, ping.payload) == []
