"""An engine that answers when it is told to, and the limits that make others wait for it."""

import asyncio
from typing import Any

from tests.runtime.rest.serving import LIMITS, FakeEngine, tensor
from vinoserve_api.contract import RuntimeLimits


class Gate:
    """y = x, FP32 of [1], once `open` is set; `size` at a time. Counts what the engine saw."""

    def __init__(self, size: int) -> None:
        self.open = asyncio.Event()
        self.began = 0
        self.running = 0
        self.most = 0
        self.seen: list[float] = []
        self.engine = FakeEngine([tensor("x", "FP32", 1)], [tensor("y", "FP32", 1)], self._work, size)

    async def _work(self, given: Any) -> Any:
        self.began += 1
        self.running += 1
        self.most = max(self.most, self.running)
        self.seen += [float(value) for array in given for value in array]
        try:
            await self.open.wait()
        finally:
            self.running -= 1
        return given


def make_limits(queued: int, seconds: int = 60) -> RuntimeLimits:
    return LIMITS.model_copy(update={"max_queued_requests": queued, "request_timeout_seconds": seconds})
