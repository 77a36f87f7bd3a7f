"""What the machine takes from whoever runs on it: other programs, the kernel, and what a virtual machine's host gives to others.

A process on each core does nothing but look at the clock; when the clock has gone on by more than a look takes, the core was away.
`python -m benchmarks.stalls SECONDS` is such a process.
"""

import json
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from benchmarks.process import pin
from benchmarks.results import Stalls
from tools.toolbox.programs import run

_NOTICED_SECONDS = 0.0002
"""Ten times what an interrupt takes."""


def measure_stalls(cores: Sequence[int], seconds: float) -> Stalls:
    """All the cores at the same time, while nothing else is measured. Raises ToolError where a look fails."""
    with ThreadPoolExecutor(len(cores)) as pool:
        looks = pool.map(
            lambda core: run([*pin([core]), sys.executable, "-m", __name__, str(seconds)]), cores
        )
    found = [json.loads(done.stdout) for done in looks]
    away = sum(one["away"] for one in found)
    return Stalls(
        share=round(away / seconds / len(cores), 5),
        longest_ms=round(max(one["longest"] for one in found) * 1000, 2),
    )


def look(seconds: float, clock: Callable[[], float] = time.perf_counter) -> tuple[float, float]:
    """Seconds for which this process was away, and the longest time of it."""
    away = longest = 0.0
    before = clock()
    end = before + seconds
    while before < end:
        now = clock()
        if now - before > _NOTICED_SECONDS:
            away += now - before
            longest = max(longest, now - before)
        before = now
    return away, longest


if __name__ == "__main__":
    json.dump(dict(zip(("away", "longest"), look(float(sys.argv[1])), strict=True)), sys.stdout)
