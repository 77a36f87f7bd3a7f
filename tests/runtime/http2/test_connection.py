"""The connection: requests and answers, flow control both ways, and each fault with its code."""

import pytest
from hpack import Encoder

from tests.runtime.http2.peer import BLOCK, FIELDS, HEAD, TRAILERS, App, Peer, body_of
from vinoserve_runtime.http2 import frames, guard
from vinoserve_runtime.http2.blocks import make_block
from vinoserve_runtime.http2.connection import RECENT_STREAMS
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
from vinoserve_runtime.http2.guard import RESET_BURST, RESETS_PER_SECOND, UNREAD_REPLIES
from vinoserve_runtime.http2.outlet import STALL_BYTES, STALL_SECONDS
from vinoserve_runtime.http2.settings import (
    CONNECTION_WINDOW,
    FRAME_BYTES,
    GREETING,
    INITIAL_WINDOW_SIZE,
    MAX_FRAME_SIZE,
    MAX_STREAMS,
    STREAM_WINDOW,
)

BIG = bytes(range(256)) * 256  # a little more than the first windows


def number(value: int) -> bytes:
    return value.to_bytes(4, "big")


def fails(peer: Peer, data: bytes) -> ErrorCode:
    with pytest.raises(ConnectionFault) as caught:
        peer.send_raw(data)
    return caught.value.code


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


# ---- what floods cost ----


@pytest.mark.parametrize(
    "frame",
    [
        frames.make_frame(PING, ACK, 0, bytes(8)),
        frames.make_frame(PING, 0, 0, bytes(8)),
        frames.make_frame(SETTINGS, 0, 0),
        frames.make_frame(DATA, 0, 1, b""),
        frames.make_frame(DATA, 0, 1, b"x"),
        frames.make_frame(DATA, PADDED, 1, b"\0"),
        frames.make_frame(PRIORITY, 0, 1, bytes(5)),
        frames.make_frame(99, 0, 1),
        frames.make_window_update(0, 1),
        frames.make_frame(GOAWAY, 0, 0, bytes(8)),
    ],
)
def test_floods(frame: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """As much as that in a second is no flood yet."""
    monkeypatch.setattr(guard, "NOISE_PER_SECOND", 300)
    peer = Peer(App(answers=False))
    peer.ask(1, ended=False)
    for _ in range(3):
        peer.send_raw(frame * 290)
        peer.connection.check(0.0)
    assert fails(peer, frame * 301) == ErrorCode.ENHANCE_YOUR_CALM


def test_rapid_resets() -> None:
    """Giving up all requests at once is allowed; giving up each as soon as it is made is not."""
    app = App(answers=False)
    peer = Peer(app)
    sent = 0

    def open_and_reset(count: int) -> None:
        nonlocal sent
        for _ in range(count):
            stream = 2 * sent + 1
            opened = frames.make_frame(HEADERS, END_HEADERS | END_STREAM, stream, BLOCK)
            peer.send_raw(opened + frames.make_frame(RST_STREAM, 0, stream, bytes(4)))
            sent += 1

    open_and_reset(RESET_BURST)
    peer.connection.check(0.0)
    with pytest.raises(ConnectionFault) as caught:
        open_and_reset(RESETS_PER_SECOND + 1)
    assert caught.value.code == ErrorCode.ENHANCE_YOUR_CALM
    assert sent == RESET_BURST + RESETS_PER_SECOND
    assert all(echo.closed_times == 1 for echo in app.echoes[:-1])


def test_streams_that_fail_count_as_resets() -> None:
    peer = Peer()
    block = make_block(FIELDS[1:])
    data = b"".join(
        frames.make_frame(HEADERS, END_HEADERS | END_STREAM, stream, block)
        for stream in range(1, 4 * RESET_BURST, 2)
    )
    assert fails(peer, data) == ErrorCode.ENHANCE_YOUR_CALM


def test_replies_that_are_not_read() -> None:
    peer = Peer()
    peer.connection.pause()
    ping = frames.make_frame(PING, 0, 0, bytes(8))
    peer.send_raw(ping * UNREAD_REPLIES)
    assert fails(peer, ping) == ErrorCode.ENHANCE_YOUR_CALM


def test_answers_that_are_not_taken_end() -> None:
    """In a minute some of it must be taken."""
    app = App()
    peer = Peer(app, (INITIAL_WINDOW_SIZE, 0))
    peer.ask(1, BIG)
    peer.ask(3, BIG)
    assert peer.connection.check(0.0) is None
    peer.send(WINDOW_UPDATE, 0, 1, number(1))
    peer.connection.check(STALL_SECONDS - 1)
    assert peer.take() == []
    peer.connection.check(STALL_SECONDS)
    assert {(one.stream, one.code) for one in peer.take()} == {(1, ErrorCode.CANCEL), (3, ErrorCode.CANCEL)}
    assert not peer.connection.streams


def test_answers_that_are_taken_slowly_go_on() -> None:
    peer = Peer(App(), (INITIAL_WINDOW_SIZE, 0))
    body = bytes(3 * STALL_BYTES)
    peer.ask(1, body)
    for minute in range(3):
        peer.connection.check(minute * STALL_SECONDS)
        peer.send(WINDOW_UPDATE, 0, 1, number(STALL_BYTES))
        peer.send(WINDOW_UPDATE, 0, 0, number(STALL_BYTES))
    assert not peer.connection.streams


def test_what_is_remembered_is_bounded() -> None:
    peer = Peer(App(answers=False))
    for stream in range(1, 1000, 2):
        peer.ask(stream, b"x", ended=False)
        peer.app.echoes[-1].answer()
        assert len(peer.connection._recent) <= RECENT_STREAMS
