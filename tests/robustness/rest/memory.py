"""How a server's memory grows with the requests that it has answered."""

import os
from collections.abc import Callable
from typing import Final

import psutil

from tests.runtime.rest.process import Served

SOAK: Final = bool(os.environ.get("VINOSERVE_SOAK"))
REQUESTS: Final = 300_000 if SOAK else 15_000
GROWTH_BYTES: Final = (1 << 20) * REQUESTS // 100_000 if SOAK else 6 << 20
"""A megabyte for each 100,000; in the short form what an allocator may need to settle."""


def assert_flat(served: Served, ask: Callable[[int, int], None], count: int) -> None:
    """`ask(first, count)` sends so many requests, numbered from `first`. A third more of them come before the first look."""
    process = psutil.Process(served.process.pid)
    warm_up = count // 3
    ask(0, warm_up)
    before = process.memory_info().rss
    ask(warm_up, count)
    grown = process.memory_info().rss - before
    assert grown <= GROWTH_BYTES, f"{grown >> 10} KiB more after {count} requests"
    assert process.num_fds() < 100
