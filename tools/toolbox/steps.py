"""Things to make, one after the other; what is there is not made again."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tools.toolbox.cache import make_once
from tools.toolbox.progress import Progress


@dataclass(frozen=True)
class Step:
    """A file or folder to make: where, what it is, how, and about how long it takes (seconds, on two busy cores)."""

    dest: Path
    what: str
    seconds: int
    make: Callable[[Path], None]


def make_missing(steps: Sequence[Step]) -> None:
    """Make what is missing, in order; each appears whole or not at all, so an interrupted run goes on where it was."""
    missing = [step for step in {step.dest: step for step in steps}.values() if not step.dest.exists()]
    progress = Progress(len(missing))
    for step in missing:
        step.dest.parent.mkdir(parents=True, exist_ok=True)
        with progress.step(step.what, step.seconds):
            make_once(step.dest, step.make)
