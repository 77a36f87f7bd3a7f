"""A model that nobody asks is let go of; the next request waits until it is loaded again.

Meanwhile a `Sleeper` stands in for the engine, so that the data plane and its queue, deadlines and refusals know nothing of it.
"""

import asyncio
import ctypes
import gc
from collections.abc import Callable, Sequence
from time import monotonic
from typing import Final

from vinoserve_runtime.dataplane import Dataplane
from vinoserve_runtime.tensors import Array, Engine, TensorInfo

RELOADS: Final = 3
"""Reloads in a row that fail before the process is given up; a new one starts from scratch."""

RELOAD_PAUSE_SECONDS: Final = 1.0
"""After a reload that failed: what is asked meanwhile waits for the next one."""

_TICK_SECONDS: Final = 1.0


class Sleeper:
    """Takes the requests of an `Engine` that isn't loaded, and passes them on once it is."""

    def __init__(self, engine: Engine) -> None:
        """`engine`: what it stands in for, of which nothing is kept but its signature."""
        self._inputs, self._outputs, self._size = engine.inputs, engine.outputs, engine.size
        self._engine: asyncio.Future[Engine] = asyncio.get_running_loop().create_future()
        self.wanted = asyncio.Event()
        """Set while a request waits."""

    @property
    def inputs(self) -> tuple[TensorInfo, ...]:
        return self._inputs

    @property
    def outputs(self) -> tuple[TensorInfo, ...]:
        return self._outputs

    @property
    def size(self) -> int:
        """As many wait here as the engine takes at once, others in the data plane's queue."""
        return self._size

    async def infer(self, tensors: Sequence[Array]) -> Sequence[Array]:
        """See `tensors.Engine`. Raises what `refuse` is told."""
        self.wanted.set()
        engine = await asyncio.shield(self._engine)
        return await engine.infer(tensors)

    def wake(self, engine: Engine) -> None:
        """Pass on all that wait, and whatever comes yet."""
        self._engine.set_result(engine)

    def refuse(self, error: Exception) -> None:
        """All that wait; what comes from now on waits again."""
        refused, self._engine = self._engine, asyncio.get_running_loop().create_future()
        self.wanted.clear()
        refused.set_exception(error)
        refused.exception()  # else asyncio tells of it where nobody waited any more


async def sleep_when_idle(
    dataplane: Dataplane, engine: Engine, seconds: float, may_sleep: Callable[[], bool]
) -> Sleeper:
    """Once nobody has asked for so long, and nothing is in flight, put a Sleeper in the engine's place.

    In the turn of the loop in which that is seen: no request comes between. `may_sleep`: whether the engine itself is at rest.
    """
    admitted, since = dataplane.admitted, monotonic()
    while True:
        await asyncio.sleep(min(_TICK_SECONDS, seconds / 4))
        if dataplane.admitted != admitted or dataplane.in_flight or dataplane.queue_length or not may_sleep():
            admitted, since = dataplane.admitted, monotonic()
        elif monotonic() - since >= seconds:
            sleeper = Sleeper(engine)
            dataplane.attach(sleeper)
            return sleeper


def give_memory_back() -> None:
    """What was freed goes to the kernel: glibc keeps it otherwise, as it may be wanted again soon."""
    gc.unfreeze()
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
