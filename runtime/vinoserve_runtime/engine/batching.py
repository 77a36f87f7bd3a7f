"""Requests of several clients become one inference: put together along the batch, told apart again.

While the engine is busy requests gather, and go together once it isn't: an idle engine starts at once, a loaded one works in
large batches. `timeout` makes even an idle engine wait for a batch to fill.
"""

import asyncio
from collections.abc import Callable, Hashable, Sequence
from itertools import accumulate

import numpy as np

from vinoserve_runtime.engine.batch_plan import BatchPlan
from vinoserve_runtime.tensors import Array, Engine, TensorInfo


class _Waiting:
    """A request whose result isn't there yet."""

    __slots__ = ("arrived", "future", "samples", "tensors")

    def __init__(
        self, tensors: Sequence[Array], samples: int, arrived: float, future: asyncio.Future[Sequence[Array]]
    ) -> None:
        self.tensors = tensors
        self.samples = samples
        self.arrived = arrived
        self.future = future


class _Group:
    """Waiting requests that fit together, in the order in which they came."""

    __slots__ = ("samples", "waiting")

    def __init__(self) -> None:
        self.waiting: dict[_Waiting, None] = {}
        self.samples = 0

    @property
    def oldest(self) -> _Waiting:
        return next(iter(self.waiting))

    def add(self, request: _Waiting) -> None:
        self.waiting[request] = None
        self.samples += request.samples

    def remove(self, request: _Waiting) -> bool:
        """Whether it was still waiting."""
        if request not in self.waiting:
            return False
        del self.waiting[request]
        self.samples -= request.samples
        return True

    def take(self, most: int) -> list[_Waiting]:
        """The oldest, and those after it as long as there are no more than `most` samples in all."""
        batch: list[_Waiting] = []
        samples = 0
        for request in self.waiting:
            if batch and samples + request.samples > most:
                break
            batch.append(request)
            samples += request.samples
        for request in batch:
            self.remove(request)
        return batch


class Batcher:
    """An `Engine` around another one. Belongs to the event loop that it is used on.

    A request with more samples than a batch may have goes alone. `on_batch` is told the samples of each inference.
    """

    def __init__(self, engine: Engine, plan: BatchPlan, on_batch: Callable[[int], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._engine = engine
        self._plan = plan
        self._on_batch = on_batch
        self._free = engine.size
        self._groups: dict[Hashable, _Group] = {}
        self._batches: set[asyncio.Task[None]] = set()
        self._flush: asyncio.Handle | None = None
        self._timer: asyncio.TimerHandle | None = None

    @property
    def inputs(self) -> tuple[TensorInfo, ...]:
        return self._engine.inputs

    @property
    def outputs(self) -> tuple[TensorInfo, ...]:
        return self._engine.outputs

    @property
    def size(self) -> int:
        """A full batch for each inference that may run, and one that is ready when the first of them ends."""
        return (self._engine.size + 1) * self._plan.most

    async def infer(self, tensors: Sequence[Array]) -> Sequence[Array]:
        """See `tensors.Engine`. A request that is cancelled before its batch is made is not in it."""
        counts = {tensor.shape[axis] for tensor, axis in zip(tensors, self._plan.input_axes, strict=True)}
        key: Hashable = object()  # what counts differently in its own inputs fits no other
        if len(counts) == 1:
            key = tuple(map(_without, (tensor.shape for tensor in tensors), self._plan.input_axes))
        request = _Waiting(tensors, max(counts), self._loop.time(), self._loop.create_future())
        group = self._groups.setdefault(key, _Group())
        group.add(request)
        if self._free and self._flush is None:
            # Not at once, but with whatever else comes in this turn of the loop.
            self._flush = self._loop.call_soon(self._start_batches)
        try:
            return await request.future
        except asyncio.CancelledError:
            if group.remove(request) and not group.waiting:
                del self._groups[key]
            raise

    def _start_batches(self) -> None:
        """As many as the engine has room for."""
        self._flush = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        now = self._loop.time()
        while self._free and self._groups:
            ready = [
                key
                for key, group in self._groups.items()
                if group.samples >= self._plan.most or group.oldest.arrived + self._plan.timeout <= now
            ]
            if not ready:
                oldest = min(group.oldest.arrived for group in self._groups.values())
                self._timer = self._loop.call_at(oldest + self._plan.timeout, self._start_batches)
                return
            self._start(min(ready, key=lambda key: self._groups[key].oldest.arrived))

    def _start(self, key: Hashable) -> None:
        group = self._groups[key]
        batch = group.take(self._plan.most)
        if not group.waiting:
            del self._groups[key]
        self._free -= 1
        task = self._loop.create_task(self._run(batch))
        self._batches.add(task)
        task.add_done_callback(self._end)

    def _end(self, task: asyncio.Task[None]) -> None:
        self._batches.discard(task)
        self._free += 1
        self._start_batches()

    async def _run(self, taken: Sequence[_Waiting]) -> None:
        """Together; where that fails, one by one, so that nobody gets the blame for another's tensors."""
        batch = [request for request in taken if not request.future.done()]
        if len(batch) > 1 and await self._run_together(batch):
            return
        for request in batch:
            if not request.future.done():
                await self._run_alone(request)

    async def _run_together(self, batch: Sequence[_Waiting]) -> bool:
        try:
            results = await self._infer_together(batch)
        except Exception:  # noqa: BLE001  each is told its own error
            return False
        for request, result in zip(batch, results, strict=True):
            _settle(request, result)
        return True

    async def _run_alone(self, request: _Waiting) -> None:
        self._on_batch(request.samples)
        try:
            _settle(request, await self._engine.infer(request.tensors))
        except Exception as error:  # noqa: BLE001  handed to the one who waits
            if not request.future.done():
                request.future.set_exception(error)

    async def _infer_together(self, batch: Sequence[_Waiting]) -> list[list[Array]]:
        """The results of each."""
        self._on_batch(sum(request.samples for request in batch))
        results = await self._engine.infer(
            [
                np.concatenate([request.tensors[i] for request in batch], axis)
                for i, axis in enumerate(self._plan.input_axes)
            ]
        )
        return split(results, self._plan.output_axes, [request.samples for request in batch])


def split(results: Sequence[Array], axes: Sequence[int], samples: Sequence[int]) -> list[list[Array]]:
    """Each result cut into `samples` along its axis: all results of the first request, of the second, and so on."""
    ends = list(accumulate(samples))[:-1]
    parts = [np.split(result, ends, axis) for result, axis in zip(results, axes, strict=True)]
    return [[np.ascontiguousarray(part) for part in of_one] for of_one in zip(*parts, strict=True)]


def _without(shape: tuple[int, ...], axis: int) -> tuple[int, ...]:
    return shape[:axis] + shape[axis + 1 :]


def _settle(request: _Waiting, result: Sequence[Array]) -> None:
    if not request.future.done():  # else its caller was cancelled
        request.future.set_result(result)
