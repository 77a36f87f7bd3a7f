"""Flow control both ways: answers wait for the client's windows, bodies for the server's credit."""

from tests.runtime.http2.peer import BIG, TRAILERS, App, Peer, body_of, fails, number
from vinoserve_runtime.http2 import frames
from vinoserve_runtime.http2.errors import ErrorCode
from vinoserve_runtime.http2.frames import DATA, HEADERS, RST_STREAM, SETTINGS, WINDOW_UPDATE
from vinoserve_runtime.http2.settings import (
    CONNECTION_WINDOW,
    INITIAL_WINDOW_SIZE,
    MAX_FRAME_SIZE,
    MAX_STREAMS,
    STREAM_WINDOW,
)


def test_an_answer_waits_for_both_windows() -> None:
    peer = Peer()
    assert body_of(peer.ask(1, BIG)) == BIG[: 2**16 - 1]
    assert peer.send(WINDOW_UPDATE, 0, 1, number(10)) == []
    answer = peer.send(WINDOW_UPDATE, 0, 0, number(1))
    assert [(one.kind, one.payload) for one in answer] == [(DATA, BIG[-1:]), (HEADERS, TRAILERS)]
    assert not peer.connection.streams
    assert peer.app.echoes[0].closed_times == 1


def test_settings_move_the_windows_of_open_streams() -> None:
    peer = Peer(App(), (INITIAL_WINDOW_SIZE, 3))
    assert body_of(peer.ask(1, b"abcdef")) == b"abc"
    assert body_of(peer.send(SETTINGS, 0, 0, b"\0\4" + number(5))) == b"de"
    assert body_of(peer.send(SETTINGS, 0, 0, b"\0\4" + number(0))) == b""
    assert body_of(peer.send(WINDOW_UPDATE, 0, 1, number(5))) == b""  # it was 5 below nothing
    assert body_of(peer.send(WINDOW_UPDATE, 0, 1, number(1))) == b"f"


def test_frames_are_as_long_as_the_client_takes() -> None:
    peer = Peer(App(), (INITIAL_WINDOW_SIZE, 1 << 20))
    peer.send(WINDOW_UPDATE, 0, 0, number(1 << 20))
    assert max(len(one.payload) for one in peer.ask(1, BIG)) == 16384
    peer.send(SETTINGS, 0, 0, b"\0\5" + number(50_000))
    assert max(len(one.payload) for one in peer.ask(3, BIG)) == 50_000
    assert MAX_FRAME_SIZE == 5


def test_streams_share_the_connection() -> None:
    app = App(answers=False)
    peer = Peer(app, (INITIAL_WINDOW_SIZE, 1 << 20))
    for stream in (1, 3):
        peer.ask(stream, 16 * BIG[:16000])
        app.echoes[-1].answer()
    peer.take()
    answer = peer.send(WINDOW_UPDATE, 0, 0, number(400_000))
    assert {one.stream for one in answer if one.kind == DATA} == {1, 3}


def test_a_client_that_reads_nothing_holds_everything_back() -> None:
    peer = Peer()
    peer.connection.pause()
    for stream in range(1, 2 * MAX_STREAMS, 2):
        assert peer.ask(stream, b"x") == []
    refused = peer.ask(2 * MAX_STREAMS + 1, ended=False)
    assert [(one.kind, one.code) for one in refused] == [(RST_STREAM, ErrorCode.REFUSED_STREAM)]
    peer.connection.resume()
    assert body_of(peer.take()) == b"x" * MAX_STREAMS


def test_credit_comes_back_as_bodies_do() -> None:
    peer = Peer(App(answers=False))
    updates = 0
    for stream in range(1, 101, 2):
        answer = peer.ask(stream, bytes(100_000), ended=False)
        updates += sum(one.number for one in answer if one.kind == WINDOW_UPDATE and one.stream == 0)
    assert 50 * 100_000 - CONNECTION_WINDOW // 2 < updates <= 50 * 100_000


def test_what_is_held_is_not_credited() -> None:
    app = App(answers=False)
    peer = Peer(app)
    for stream in (1, 3, 5):
        peer.ask(stream, b"x", ended=False)
        app.echoes[-1].stream.hold()
        assert peer.send(DATA, 0, stream, bytes(STREAM_WINDOW - 1)) == []
    app.echoes[0].stream.release()
    assert peer.take() == []
    assert [(one.kind, one.stream) for one in peer.send(RST_STREAM, 0, 3, number(8))] == [(WINDOW_UPDATE, 0)]


def test_more_than_the_windows() -> None:
    peer = Peer(App(answers=False))
    peer.ask(1, bytes(STREAM_WINDOW), ended=False)
    assert fails(peer, frames.make_frame(DATA, 0, 1, b"x")) == ErrorCode.FLOW_CONTROL_ERROR
    app = App(answers=False)
    peer = Peer(app)
    for stream in (1, 3, 5, 7):
        peer.ask(stream, b"", ended=False)
        app.echoes[-1].stream.hold()
        peer.send(DATA, 0, stream, bytes(STREAM_WINDOW))
    peer.ask(9, b"", ended=False)
    assert fails(peer, frames.make_frame(DATA, 0, 9, b"x")) == ErrorCode.FLOW_CONTROL_ERROR


def test_a_stream_may_be_given_more() -> None:
    app = App(answers=False)
    peer = Peer(app)
    peer.ask(1, bytes(STREAM_WINDOW), ended=False)
    app.echoes[0].stream.extend(5)
    assert [(one.kind, one.stream, one.number) for one in peer.take()] == [(WINDOW_UPDATE, 1, 5)]
    peer.send(DATA, 0, 1, b"12345")
    assert fails(peer, frames.make_frame(DATA, 0, 1, b"6")) == ErrorCode.FLOW_CONTROL_ERROR
