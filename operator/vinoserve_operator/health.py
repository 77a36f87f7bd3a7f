"""Whether the operator works, as `/livez` asks: what only a new process mends.

An API server that is away is no reason: a new process would not reach it either.
"""

from collections.abc import Callable
from typing import Final

from vinoserve_operator.kinds import Ref
from vinoserve_operator.queue import Queue
from vinoserve_operator.watches import Watches

_STUCK_SECONDS: Final = 180.0
"""Longer than all timeouts of a reconciliation, and than the watches wait before they begin anew."""


class Health:
    def __init__(self, queue: Queue[Ref], watches: Watches, clock: Callable[[], float]) -> None:
        """`clock` is `time.monotonic`, which is also the loop's."""
        self._queue = queue
        self._watches = watches
        self._clock = clock

    def find_trouble(self) -> str | None:
        """What is stuck, or None."""
        now, queue = self._clock(), self._queue
        idle = now - queue.progressed
        if queue.progressed and (len(queue) or queue.running) and idle > _STUCK_SECONDS:
            return f"the queue: {len(queue)} objects wait, {queue.running} are looked at, and none was done for {idle:.0f} s"
        silent = now - self._watches.pulse
        if self._watches.pulse and silent > _STUCK_SECONDS:
            return f"the watches: nothing was heard of their thread for {silent:.0f} s"
        return None
