"""An open loop: requests come at a rate, whether or not earlier ones are answered, as many users' do."""

import asyncio
import os
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from tests.runtime.rest.serving import LIMITS, FakeEngine, tensor
from vinoserve_api.contract import RuntimeLimits

SOAK: Final = bool(os.environ.get("VINOSERVE_SOAK"))
SECONDS: Final = 30.0 if SOAK else 3.0
GOODPUT: Final = 0.8 if SOAK else 0.5
"""Of the capacity; less is asked for where other tests run beside this one."""
QUEUE: Final = 16
PLACES: Final = 2
WORK_SECONDS: Final = 0.01
TIMES: Final = 4


def make_limits() -> RuntimeLimits:
    return LIMITS.model_copy(update={"max_queued_requests": QUEUE, "request_timeout_seconds": 60})


@dataclass
class Slow:
    """A model that takes WORK_SECONDS, PLACES requests at once."""

    queue_length: Callable[[], int] = lambda: 0
    longest: int = 0
    most: int = 0
    running: int = 0
    engine: FakeEngine = field(init=False)

    def __post_init__(self) -> None:
        self.engine = FakeEngine([tensor("x", "FP32", 1, 4)], [tensor("y", "FP32", 1, 4)], self._work, PLACES)

    async def _work(self, given: Any) -> Any:
        self.running += 1
        self.most = max(self.most, self.running)
        self.longest = max(self.longest, self.queue_length())
        await asyncio.sleep(WORK_SECONDS)
        self.running -= 1
        return [given[0] + np.float32(1)]


Ask = Callable[[], Awaitable[str]]
"""One request: how it was answered."""


async def flood(ask: Ask, good: str) -> tuple[float, float, Counter[str]]:
    """Good answers a second of as many clients as fit, then those of TIMES as many requests, with all answers to these."""
    capacity = (await _closed_loop(ask))[good] / SECONDS
    answers, seconds = await _open_loop(ask, TIMES * capacity)
    return capacity, answers[good] / seconds, answers


async def _closed_loop(ask: Ask) -> Counter[str]:
    answers: Counter[str] = Counter()
    end = asyncio.get_running_loop().time() + SECONDS

    async def client() -> None:
        while asyncio.get_running_loop().time() < end:
            answers[await ask()] += 1

    await asyncio.gather(*(client() for _ in range(PLACES + QUEUE // 2)))
    return answers


async def _open_loop(ask: Ask, rate: float) -> tuple[Counter[str], float]:
    answers: Counter[str] = Counter()
    loop = asyncio.get_running_loop()
    began, sent = loop.time(), 0

    async def one() -> None:
        answers[await ask()] += 1

    async with asyncio.TaskGroup() as group:
        while (now := loop.time() - began) < SECONDS:
            for _ in range(int(now * rate) - sent):
                group.create_task(one())
                sent += 1
            await asyncio.sleep(0.002)
    return answers, loop.time() - began
