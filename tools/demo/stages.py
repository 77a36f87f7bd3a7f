"""The demo's headlines, with signs of life under them."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from tools.toolbox.progress import say, show_time

BEAT = 15  # seconds between two signs of life


@contextmanager
def stage(what: str, *, beat: bool = False) -> Iterator[None]:
    """A headline, and how long it took; `beat`: with signs of life, where nothing within gives any."""
    say(f"==> {what}")
    started, done = time.monotonic(), threading.Event()

    def show_life() -> None:
        while not done.wait(BEAT):
            say(f"    {show_time(time.monotonic() - started)} ...")

    thread = threading.Thread(target=show_life, daemon=True)
    if beat:
        thread.start()
    try:
        yield
    finally:
        done.set()
    if (took := time.monotonic() - started) >= 1:
        say(f"    done in {show_time(took)}")
