"""Waiting for a condition, never for a time."""

import time
from collections.abc import Callable


def wait_until(
    reached: Callable[[], bool], what: str, seconds: float = 120, state: Callable[[], str] = lambda: ""
) -> None:
    """Ask until it is so; fails with what was waited for and the state at the end."""
    deadline = time.monotonic() + seconds
    while not reached():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s: {what}\n{state()}")
        time.sleep(0.25)
