"""Whether the operator works, as `/livez` asks: what only a new process mends.

An API server that is away is no reason: a new process would not reach it either.
"""

from collections.abc import Callable
from typing import Final

from vinoserve_operator.kinds import Ref
from vinoserve_operator.queue import Queue

_STUCK_SECONDS: Final = 180.0
"""Longer than all timeouts of a reconciliation, and than the watches take to begin anew."""


class Health:
    """`clock` is the loop's time, in seconds."""

    def __init__(self, queue: Queue[Ref], clock: Callable[[], float]) -> None:
        self._queue = queue
        self._clock = clock
        self._pulse: float | None = None

    def pulse(self) -> None:
        """The thread of the watches lives; None of it was heard before the first."""
        self._pulse = self._clock()

    def find_trouble(self) -> str | None:
        """What is stuck, or None."""
        now, queue = self._clock(), self._queue
        waited = now - queue.progressed
        if queue.progressed and (len(queue) or queue.running) and waited > _STUCK_SECONDS:
            return f"the queue: {len(queue)} objects wait, {queue.running} are looked at, and none was done for {waited:.0f} s"
        if self._pulse is not None and now - self._pulse > _STUCK_SECONDS:
            return f"the watches: nothing was heard of their thread for {now - self._pulse:.0f} s"
        return None
