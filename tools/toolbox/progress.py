"""Long steps that say what they do and how far they are."""

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

BEAT = 15  # seconds between two lines of a running step


class Progress:
    """Numbered steps on stderr: `[2/9] hyperkube, about 290 s`, a line now and then while it runs, and the time it took."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.number = 0

    @contextmanager
    def step(self, what: str, expected: int = 0) -> Iterator[None]:
        """One step; `expected` in seconds, measured on two busy cores; shown from 5 s on."""
        self.number += 1
        label = f"[{self.number}/{self.total}] {what}"
        say(f"{label} ({show_time(expected)} expected)" if expected >= 5 else label)
        started, done = time.monotonic(), threading.Event()
        beat = threading.Thread(target=self._beat, args=(label, started, expected, done), daemon=True)
        beat.start()
        try:
            yield
        finally:
            done.set()
            beat.join()
        if (took := time.monotonic() - started) >= 1:
            say(f"{label}: {took:.0f} s")

    @staticmethod
    def _beat(label: str, started: float, expected: int, done: threading.Event) -> None:
        while not done.wait(BEAT):
            of = f" of about {show_time(expected)}" if expected else ""
            say(f"{label}: {show_time(time.monotonic() - started)}{of} ...")


def show_time(seconds: float) -> str:
    """`45 s`, `4 min 50 s`."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
