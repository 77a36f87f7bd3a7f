"""Any frames in any order, cut anywhere: only ConnectionFault comes out, what is promised to streams is kept, nothing is left over."""

import os

import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tests.runtime.http2.peer import BLOCK, App, Peer, read_frames
from vinoserve_runtime.http2 import frames
from vinoserve_runtime.http2.errors import ConnectionFault
from vinoserve_runtime.http2.settings import CONNECTION_WINDOW, MAX_STREAMS

STREAMS = st.sampled_from([0, 1, 1, 3, 3, 5, 7, 9, 2, 2**31 - 1])
FLAGS = st.sampled_from([0, 1, 4, 5, 8, 9, 0x20, 0xFF])
SIZES = st.sampled_from([0, 1, 3, 1000, 16384, 100_000])


class Connections(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.app = App(answers=False)
        self.peer = Peer(self.app)
        self.failed = False
        self.now = 0.0
        self.next = 1

    def say(self, data: bytes, cut: int = 0) -> None:
        try:
            self.peer.send_raw(data[:cut])
            self.peer.send_raw(data[cut:])
        except ConnectionFault:
            self.failed = True
        read_frames(self.peer.out)  # whole ones
        self.peer.out = b""

    def open_echoes(self) -> list[object]:
        return [echo for echo in self.app.echoes if not echo.closed_times]

    @precondition(lambda self: not self.failed)
    @rule(ended=st.booleans(), cut=st.integers(0, 20))
    def ask(self, ended: bool, cut: int) -> None:
        flags = frames.END_HEADERS | (frames.END_STREAM if ended else 0)
        self.say(frames.make_frame(frames.HEADERS, flags, self.next, BLOCK), cut)
        self.next += 2

    @precondition(lambda self: not self.failed)
    @rule(back=st.integers(0, 4), flags=st.sampled_from([0, 0, 1, 8]), size=SIZES, cut=st.integers(0, 2000))
    def send_data(self, back: int, flags: int, size: int, cut: int) -> None:
        stream = max(1, self.next - 2 - 2 * back)
        self.say(frames.make_frame(frames.DATA, flags, stream, bytes(size)), cut)

    @precondition(lambda self: not self.failed)
    @rule(
        kind=st.integers(0, 12),
        flags=FLAGS,
        stream=STREAMS,
        payload=st.binary(max_size=20),
        cut=st.integers(0, 30),
    )
    def send_anything(self, kind: int, flags: int, stream: int, payload: bytes, cut: int) -> None:
        self.say(frames.make_frame(kind, flags, stream, payload), cut)

    @precondition(lambda self: not self.failed)
    @rule(stream=STREAMS, size=st.sampled_from([1, 5, 1000, 70_000, 2**20]))
    def take_more(self, stream: int, size: int) -> None:
        self.say(frames.make_window_update(stream, size))

    @precondition(lambda self: not self.failed)
    @rule(size=st.sampled_from([0, 1, 65535, 2**20]), frame=st.sampled_from([16384, 2**20]))
    def set_up(self, size: int, frame: int) -> None:
        self.say(frames.make_settings([(4, size), (5, frame)]))

    @rule(which=st.integers(0, 5), size=SIZES)
    def answer(self, which: int, size: int) -> None:
        waiting = [echo for echo in self.app.echoes if not echo.closed_times and not echo.stream.pending]
        if waiting:
            echo = waiting[which % len(waiting)]
            echo.body = bytes(size)
            echo.answer()

    @rule(which=st.integers(0, 5), hold=st.booleans())
    def hold_or_release(self, which: int, hold: bool) -> None:
        if self.app.echoes:
            stream = self.app.echoes[which % len(self.app.echoes)].stream
            stream.hold() if hold else stream.release()

    @rule(paused=st.booleans())
    def socket(self, paused: bool) -> None:
        self.peer.connection.pause() if paused else self.peer.connection.resume()

    @rule(seconds=st.sampled_from([1, 30, 61]))
    def wait(self, seconds: int) -> None:
        self.now += seconds
        self.peer.connection.check(self.now)

    @invariant()
    def streams_are_those_that_are_open(self) -> None:
        connection = self.peer.connection
        assert len(connection.streams) == len(self.open_echoes()) <= MAX_STREAMS
        assert all(echo.closed_times <= 1 for echo in self.app.echoes)
        assert set(connection._outlet.blocked) <= set(connection.streams.values())

    @invariant()
    def windows_hold(self) -> None:
        connection = self.peer.connection
        held = sum(stream._held for stream in connection.streams.values())
        assert 0 <= held <= CONNECTION_WINDOW
        if not self.failed and not connection._payload.is_open:
            assert connection._payload.credit + connection._payload.uncredited + held == CONNECTION_WINDOW
        assert len(connection._rest) <= 40_000

    def teardown(self) -> None:
        self.peer.connection.close()
        assert all(echo.closed_times == 1 for echo in self.app.echoes)
        assert not self.peer.connection.streams
        assert not self.peer.connection._outlet.blocked


Connections.TestCase.settings = settings(
    max_examples=2000 if os.environ.get("VINOSERVE_SOAK") else 60, stateful_step_count=40, deadline=None
)
TestConnections = Connections.TestCase
