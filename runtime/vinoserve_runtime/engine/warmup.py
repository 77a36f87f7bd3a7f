"""Inferences before the first client's, which also show later on whether the engine still works."""

import asyncio
from time import perf_counter
from typing import Final

from vinoserve_api.conditions import FailureReason
from vinoserve_runtime.engine.buckets import BucketedPool
from vinoserve_runtime.engine.health import Faults, speaks_of_loss
from vinoserve_runtime.engine.pool import InferRequestPool
from vinoserve_runtime.engine.warm_shapes import make_tensor
from vinoserve_runtime.errors import InferenceError
from vinoserve_runtime.ov_errors import make_startup_error
from vinoserve_runtime.tensors import Array

#: Ones before zeros: integer inputs may be divisors.
_FILLS: Final = (1, 0)


def _make_tensors(pool: InferRequestPool, fill: int) -> list[Array]:
    return [
        make_tensor(tensor, shape, fill) for tensor, shape in zip(pool.inputs, pool.warm_shapes, strict=True)
    ]


class WarmUp:
    """Knows, after `run`, whether there is an input that the model takes."""

    def __init__(self, pool: InferRequestPool | BucketedPool, faults: Faults, requests: int) -> None:
        """`faults`: the pool's, which forget what the model refused here."""
        self._pool = pool
        self._faults = faults
        self._requests = requests
        self._working: tuple[InferRequestPool, list[Array]] | None = None
        self.last_error = ""

    async def run(self) -> tuple[str, ...]:
        """Warnings. Raises StartupError where a model of static shapes takes neither ones nor zeros.

        A model of dynamic shapes may have good reasons to refuse its smallest input.
        """
        if not self._requests:
            return ()
        warnings = [await self._run(pool) for pool in self._pool.variants]
        return tuple(warning for warning in warnings if warning is not None)

    async def _run(self, pool: InferRequestPool) -> str | None:
        for fill in _FILLS:
            arrays = _make_tensors(pool, fill)
            if await self._infer(pool, arrays):
                self._working = pool, arrays
                warm_seconds = 0.0
                if self._requests > 1:  # the first one is no measure
                    warm_seconds = min([await self._time(pool, arrays) for _ in range(self._requests - 1)])
                if any(-1 in tensor.shape for tensor in pool.inputs):  # every stream: see warm_shapes
                    await asyncio.gather(*(self._infer(pool, arrays) for _ in range(pool.size)))
                await pool.learn_speed(arrays, warm_seconds)
                return None
        self._faults.forget()
        shapes = ", ".join(
            f"{tensor.name} {list(shape)}"
            for tensor, shape in zip(pool.inputs, pool.warm_shapes, strict=True)
        )
        if all(-1 not in tensor.shape for tensor in pool.inputs):
            raise make_startup_error(
                InferenceError(self.last_error),
                FailureReason.INFERENCE_FAILED,
                f"the warm-up with {shapes} failed",
            )
        return f"not warmed up: the model refuses the smallest input, {shapes}: {self.last_error}"

    async def proves_engine(self) -> bool:
        """Whether the input that worked at the start still does. Where none did, only what speaks of the device counts."""
        if self._working is not None:
            return await self._infer(*self._working)
        pool = self._pool.variants[0]
        arrays = _make_tensors(pool, _FILLS[0])
        return await self._infer(pool, arrays) or not speaks_of_loss(self.last_error)

    async def _time(self, pool: InferRequestPool, arrays: list[Array]) -> float:
        """Seconds of an inference."""
        began = perf_counter()
        await self._infer(pool, arrays)
        return perf_counter() - began

    async def _infer(self, pool: InferRequestPool, arrays: list[Array]) -> bool:
        try:
            await pool.infer(arrays)
        except InferenceError as error:
            self.last_error = str(error)
            return False
        return True
