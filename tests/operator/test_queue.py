"""The queue, on a loop whose clock jumps: hours pass in no time."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest

from vinoserve_operator.errors import RetryableError
from vinoserve_operator.queue import Backoff, Queue


class JumpingLoop(asyncio.SelectorEventLoop):
    """Where nothing is ready, the clock jumps to the next timer."""

    now = 0.0

    def time(self) -> float:
        return self.now

    def _run_once(self) -> None:
        if not self._ready and self._scheduled:
            self.now = max(self.now, self._scheduled[0].when())
        super()._run_once()


Run = Callable[[Callable[[], Awaitable[Any]]], Any]


@pytest.fixture
def run() -> Iterator[Run]:
    loop = JumpingLoop()

    def run_in_loop(main: Callable[[], Awaitable[Any]]) -> Any:
        return loop.run_until_complete(main())

    yield run_in_loop
    loop.close()


async def let_pass(queue: Queue[str], seconds: float) -> None:
    task = asyncio.create_task(queue.run())
    await asyncio.sleep(seconds)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def test_a_key_that_waits_is_there_once(run: Run) -> None:
    seen: list[str] = []

    async def work(key: str) -> None:
        seen.append(key)

    async def main() -> None:
        queue = Queue(work, workers=2)
        for key in "aab":
            queue.add(key)
        await let_pass(queue, 1)

    run(main)
    assert sorted(seen) == ["a", "b"]


def test_a_key_that_changes_while_it_is_worked_on_is_looked_at_once_more_and_never_twice_at_a_time(
    run: Run,
) -> None:
    running: list[int] = [0, 0]
    looks: list[float] = []

    async def main() -> None:
        async def work(_: str) -> None:
            running[0] += 1
            running[1] = max(running)
            looks.append(asyncio.get_running_loop().time())
            await asyncio.sleep(1)
            running[0] -= 1

        queue = Queue(work, workers=4)
        queue.add("a")
        asyncio.get_running_loop().call_later(0.5, lambda: [queue.add("a") for _ in range(5)])
        await let_pass(queue, 10)

    run(main)
    assert looks == [0, pytest.approx(1.2)]
    assert running[1] == 1


@pytest.mark.parametrize("seed", range(50))
def test_a_key_that_always_fails_is_tried_ten_times_a_minute_at_most(run: Run, seed: int) -> None:
    tries: list[float] = []

    async def main() -> None:
        async def work(_: str) -> None:
            tries.append(asyncio.get_running_loop().time())
            raise RetryableError("always")

        queue = Queue(work, workers=1, backoff=Backoff(random.Random(seed)))
        queue.add("a")
        for _ in range(600):  # and however many events come meanwhile
            asyncio.get_running_loop().call_later(_ / 10, queue.add, "a")
        await let_pass(queue, 3600)

    run(main)
    for first in tries:
        assert sum(first <= t < first + 60 for t in tries) <= 10
    assert len(tries) > 60  # and never given up


def test_a_failing_key_delays_no_other(run: Run) -> None:
    served: dict[str, float] = {}

    async def main() -> None:
        async def work(key: str) -> None:
            if key == "poison":
                await asyncio.sleep(0.5)
                raise RetryableError("always")
            served[key] = asyncio.get_running_loop().time()

        queue = Queue(work, workers=2)
        queue.add("poison")
        for i in range(100):
            asyncio.get_running_loop().call_later(i, queue.add, str(i))
        await let_pass(queue, 200)

    run(main)
    assert served == {str(i): pytest.approx(i) for i in range(100)}


def test_an_edit_ends_the_backoff(run: Run) -> None:
    tries: list[float] = []

    async def main() -> None:
        backed_off = asyncio.Event()

        async def work(_: str) -> None:
            tries.append(asyncio.get_running_loop().time())
            if len(tries) == 7:
                backed_off.set()
            if len(tries) < 8:
                raise RetryableError("not yet")

        queue = Queue(work, workers=1)
        queue.add("a")
        task = asyncio.create_task(queue.run())
        await backed_off.wait()
        queue.add("a", urgent=True)
        edited = asyncio.get_running_loop().time()
        await asyncio.sleep(0)
        await asyncio.sleep(0.1)
        assert tries[-1] == pytest.approx(edited, abs=0.05)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    run(main)
    assert len(tries) == 8


def test_a_server_that_says_when_is_not_asked_earlier(run: Run) -> None:
    tries: list[float] = []

    async def main() -> None:
        async def work(_: str) -> None:
            tries.append(asyncio.get_running_loop().time())
            if len(tries) == 1:
                raise RetryableError("429", after=30)

        queue = Queue(work, workers=1)
        queue.add("a")
        await let_pass(queue, 100)

    run(main)
    assert len(tries) == 2
    assert tries[1] >= 30
