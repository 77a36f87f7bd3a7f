"""Answers that are sent together: in order, none twice, none lost, and none kept waiting for long."""

import asyncio
from typing import Any

from vinoserve_runtime import outbox
from vinoserve_runtime.outbox import Outbox


class Transport:
    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.closing = False

    def is_closing(self) -> bool:
        return self.closing

    def write(self, data: bytes) -> None:
        assert not self.closing
        self.written.append(data)


def connect() -> Any:
    return Transport()


async def test_what_a_turn_gathers_is_written_once_for_each_client() -> None:
    box = Outbox(asyncio.get_running_loop())
    one, other = connect(), connect()
    box.put(one, b"a")
    box.put(other, b"x")
    box.put(one, b"b")
    assert one.written == other.written == []
    await asyncio.sleep(0)
    assert (one.written, other.written) == ([b"ab"], [b"x"])
    await asyncio.sleep(0)
    box.put(one, b"c")
    await asyncio.sleep(0)
    assert (one.written, other.written) == ([b"ab", b"c"], [b"x"])


async def test_what_is_sent_early_is_not_sent_again() -> None:
    box = Outbox(asyncio.get_running_loop())
    one, other = connect(), connect()
    box.put(one, b"a")
    box.put(other, b"x")
    box.send(one)
    assert (one.written, other.written) == ([b"a"], [])
    box.send(one)
    box.put(one, b"b")
    await asyncio.sleep(0)
    assert (one.written, other.written) == ([b"a", b"b"], [b"x"])


async def test_a_client_that_has_gone_is_passed_over() -> None:
    box = Outbox(asyncio.get_running_loop())
    gone, there = connect(), connect()
    box.put(gone, b"a")
    box.put(there, b"b")
    gone.closing = True
    await asyncio.sleep(0)
    assert (gone.written, there.written) == ([], [b"b"])


async def test_many_or_long_answers_do_not_wait_for_the_end_of_the_turn() -> None:
    box = Outbox(asyncio.get_running_loop())
    crowd = [connect() for _ in range(outbox.MOST_ANSWERS + 1)]
    for transport in crowd:
        box.put(transport, b"a")
    assert [transport.written for transport in crowd] == [[b"a"]] * outbox.MOST_ANSWERS + [[]]
    await asyncio.sleep(0)
    assert crowd[-1].written == [b"a"]
    half = bytes(outbox.MOST_BYTES // 2)
    box.put(crowd[0], half)
    assert len(crowd[0].written) == 1
    box.put(crowd[0], half)
    assert crowd[0].written[1:] == [half * 2]
