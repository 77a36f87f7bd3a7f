"""A queue of keys: each is worked on by one worker at a time, and a key that fails never holds up the others.

A key that is added while it waits is there already; one that is added while it is worked on, or right after, is looked at once
more a moment later (level-triggered: what matters is the state, not the event). Failing keys are tried again with exponential
backoff and jitter; meanwhile events about them change nothing, so that neither an API server in trouble nor an
object that always fails is hammered.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

from vinoserve_operator.errors import RetryableError

KeyT = TypeVar("KeyT", bound=Hashable)

_FIRST_SECONDS: Final = 0.5
_GROWTH: Final = 2.2
_LONGEST_SECONDS: Final = 25.0
"""Soon enough after an API server is well again; that it isn't hammered before is seen over a minute."""

_PAUSE_SECONDS: Final = 0.2
"""Between two looks at a key. A pod's start is told by many events at once: so they are one look, and one write."""

_JITTER_FLOOR: Final = 0.5
"""Of the span: so bad luck with some draws doesn't make many tries of few."""


@dataclass
class Backoff:
    """Seconds until the next try. With these numbers a key that always fails is tried at most ten times a minute."""

    source: random.Random = field(default_factory=random.SystemRandom)

    def delay(self, failures: int) -> float:
        """After `failures` in a row (1 or more)."""
        span = min(_LONGEST_SECONDS, _FIRST_SECONDS * _GROWTH ** min(failures - 1, 16))
        return self.source.uniform(_JITTER_FLOOR, 1.0) * span


@dataclass
class _Entry:
    """What is known of a key that waits, is worked on, has failed, was looked at just now, or is due later."""

    queued: bool = False
    running: bool = False
    dirty: bool = False
    paused: bool = False
    failures: int = 0
    timer: asyncio.TimerHandle | None = None


class Queue(Generic[KeyT]):
    def __init__(
        self,
        work: Callable[[KeyT], Awaitable[float | None]],
        *,
        workers: int,
        backoff: Backoff | None = None,
    ) -> None:
        """`work` returns the seconds after which to look again, or None. Its RetryableError means: try again."""
        self._work = work
        self._workers = workers
        self._backoff = backoff or Backoff()
        self._entries: dict[KeyT, _Entry] = {}
        self._ready: asyncio.Queue[KeyT] = asyncio.Queue()
        self.progressed = 0.0
        """Loop time at which a worker last took or finished a key."""

    def __len__(self) -> int:
        """Keys that wait for a worker, or for the end of their pause."""
        return self._ready.qsize() + sum(entry.paused and entry.dirty for entry in self._entries.values())

    @property
    def failing(self) -> int:
        return sum(entry.failures > 0 for entry in self._entries.values())

    @property
    def running(self) -> int:
        return sum(entry.running for entry in self._entries.values())

    def add(self, key: KeyT, *, urgent: bool = False) -> None:
        """Have the key looked at soon. `urgent` ends a backoff: the user has changed what failed."""
        entry = self._entries.setdefault(key, _Entry())
        if urgent:
            entry.failures = 0
        if entry.running or (entry.paused and not urgent):
            entry.dirty = True
        elif not entry.queued and not entry.failures:
            self._push(key, entry)

    async def run(self) -> None:
        """Work until cancelled."""
        self.progressed = asyncio.get_running_loop().time()
        async with asyncio.TaskGroup() as group:
            for _ in range(self._workers):
                group.create_task(self._run_worker())

    async def _run_worker(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            key = await self._ready.get()
            entry = self._entries[key]
            entry.queued, entry.running, entry.dirty = False, True, False
            self.progressed = loop.time()
            try:
                again = await self._work(key)
                entry.failures = 0
            except RetryableError as error:
                entry.failures = 1 if error.progressed else entry.failures + 1
                again = max(self._backoff.delay(entry.failures), error.after or 0)
            finally:
                entry.running = False
                self.progressed = loop.time()
            self._settle(key, entry, again)

    def _settle(self, key: KeyT, entry: _Entry, again: float | None) -> None:
        loop = asyncio.get_running_loop()
        if again is not None and not (entry.dirty and not entry.failures):
            entry.timer = loop.call_later(again, self._push, key, entry)
        else:
            entry.paused = True
            entry.timer = loop.call_later(_PAUSE_SECONDS, self._end_pause, key, entry)

    def _end_pause(self, key: KeyT, entry: _Entry) -> None:
        entry.paused, entry.timer = False, None
        if entry.dirty:
            self._push(key, entry)
        else:
            del self._entries[key]

    def _push(self, key: KeyT, entry: _Entry) -> None:
        if entry.timer:
            entry.timer.cancel()
            entry.timer = None
        entry.queued, entry.paused = True, False
        self._ready.put_nowait(key)
