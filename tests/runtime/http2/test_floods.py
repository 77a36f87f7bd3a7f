"""What a client may cost: noise, resets, replies that it doesn't read, answers that it doesn't take, and what is remembered of it."""

import pytest

from tests.runtime.http2.peer import BIG, BLOCK, FIELDS, App, Peer, fails, number
from vinoserve_runtime.http2 import frames, guard
from vinoserve_runtime.http2.blocks import make_block
from vinoserve_runtime.http2.connection import RECENT_STREAMS
from vinoserve_runtime.http2.errors import ConnectionFault, ErrorCode
from vinoserve_runtime.http2.frames import (
    ACK,
    DATA,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HEADERS,
    PADDED,
    PING,
    PRIORITY,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
)
from vinoserve_runtime.http2.guard import RESET_BURST, RESETS_PER_SECOND, UNREAD_REPLIES
from vinoserve_runtime.http2.outlet import STALL_BYTES, STALL_SECONDS
from vinoserve_runtime.http2.settings import INITIAL_WINDOW_SIZE


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
