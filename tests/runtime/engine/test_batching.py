"""Requests put together in the server: who goes with whom, who waits how long, and who pays for whose mistakes."""

import asyncio
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.runtime.rest.serving import LIMITS, tensor
from vinoserve_runtime.dataplane import Dataplane
from vinoserve_runtime.engine.batch_plan import BatchPlan
from vinoserve_runtime.engine.batching import Batcher, split
from vinoserve_runtime.errors import InferenceError
from vinoserve_runtime.metrics import Metrics
from vinoserve_runtime.protocol.errors import DeadlineExceededError, QueueFullError
from vinoserve_runtime.tensors import Array

RNG = np.random.default_rng(5)


class Gate:
    """An engine that doubles, when it is let; negative numbers it refuses."""

    def __init__(self, size: int = 1) -> None:
        self.inputs = (tensor("x", "FP32", -1, -1),)
        self.outputs = (tensor("y", "FP32", -1, -1),)
        self.size = size
        self.batches: list[int] = []
        self.seen: list[Array] = []
        self.open = asyncio.Event()
        self.open.set()

    async def infer(self, tensors: Sequence[Array]) -> Sequence[Array]:
        (x,) = tensors
        self.seen.append(x)
        await self.open.wait()
        if (x < 0).any():
            raise InferenceError(f"negative: {x.min():g}")
        return [x * 2]


def make_batcher(gate: Gate, most: int = 8, timeout: float = 0.0, axis: int = 0) -> Batcher:
    return Batcher(gate, BatchPlan((axis,), (axis,), most, timeout), gate.batches.append)


def rows(value: float, samples: int = 1, width: int = 3) -> list[Array]:
    return [np.full((samples, width), value, np.float32)]


async def ask(batcher: Batcher, *requests: list[Array]) -> list[Any]:
    return list(await asyncio.gather(*map(batcher.infer, requests), return_exceptions=True))


def check(requests: Sequence[list[Array]], results: Sequence[Any]) -> None:
    for (x,), (y,) in zip(requests, results, strict=True):
        assert y.flags.c_contiguous
        np.testing.assert_array_equal(y, x * 2)


async def until(condition: Any) -> None:
    while not condition():  # noqa: ASYNC110 - turns of the loop, in which no time passes
        await asyncio.sleep(0)


async def start(batcher: Batcher, *requests: list[Array]) -> list[asyncio.Task[Any]]:
    """In this order, as far as they get by themselves."""
    tasks = [asyncio.create_task(batcher.infer(request)) for request in requests]
    for _ in range(5):
        await asyncio.sleep(0)
    return tasks


async def test_an_idle_engine_starts_at_once_and_without_a_copy() -> None:
    gate = Gate()
    batcher = make_batcher(gate)
    request = rows(1)
    check([request], await ask(batcher, request))
    assert gate.seen[0] is request[0]
    assert gate.batches == [1]


async def test_what_comes_while_the_engine_is_busy_goes_together() -> None:
    gate = Gate()
    gate.open.clear()
    batcher = make_batcher(gate)
    first = await start(batcher, rows(0))
    requests = [rows(n) for n in range(1, 13)]
    later = await start(batcher, *requests)
    assert gate.batches == [1]
    gate.open.set()
    check([rows(0), *requests], await asyncio.gather(*first, *later))
    assert gate.batches == [1, 8, 4]


async def test_it_takes_a_batch_for_each_place_and_one_more() -> None:
    gate = Gate(size=3)
    assert make_batcher(gate, most=8).size == 32
    gate.open.clear()
    batcher = make_batcher(gate, most=2)
    tasks = await start(batcher, *(rows(n) for n in range(7)))
    assert gate.batches == [2, 2, 2]
    gate.open.set()
    await asyncio.gather(*tasks)
    assert gate.batches == [2, 2, 2, 1]


async def test_samples_count_and_the_order_is_kept() -> None:
    gate = Gate()
    gate.open.clear()
    batcher = make_batcher(gate, most=8)
    requests = [rows(n, samples) for n, samples in enumerate((1, 3, 5, 1, 20, 0, 8))]
    tasks = [task for request in requests for task in await start(batcher, request)]
    gate.open.set()
    check(requests, await asyncio.gather(*tasks))
    assert gate.batches == [1, 8, 1, 20, 8]


async def test_other_shapes_never_share() -> None:
    gate = Gate()
    gate.open.clear()
    batcher = make_batcher(gate)
    requests = [rows(0), *(rows(n, width=3 + n % 2) for n in range(1, 7))]
    tasks = await start(batcher, *requests)
    gate.open.set()
    check(requests, await asyncio.gather(*tasks))
    assert sorted(gate.batches) == [1, 3, 3] or sorted(gate.batches) == [3, 4]
    assert {x.shape[1] for x in gate.seen} == {3, 4}


async def test_along_another_dimension_than_the_first() -> None:
    gate = Gate()
    batcher = make_batcher(gate, axis=1)
    requests = [[RNG.random((4, samples)).astype(np.float32)] for samples in (1, 2, 3)]
    check(requests, await ask(batcher, *requests))
    assert gate.batches == [6]


async def test_a_request_whose_inputs_count_differently_goes_alone() -> None:
    gate = Gate()
    seen: list[tuple[int, int]] = []

    async def infer(tensors: Sequence[Array]) -> Sequence[Array]:
        a, b = tensors
        seen.append((len(a), len(b)))
        return [a + b]

    gate.infer = infer  # type: ignore[assignment]
    batcher = Batcher(gate, BatchPlan((0, 0), (0,), 8, 0.0), gate.batches.append)
    odd, even = [*rows(1, 2), *rows(2, 1)], [*rows(3, 2), *rows(4, 2)]
    results = await ask(batcher, odd, even, odd, even)
    assert sorted(seen) == [(2, 1), (2, 1), (4, 4)]
    for result, value in zip(results, (3, 7, 3, 7), strict=True):
        np.testing.assert_array_equal(result[0], np.full((2, 3), value))


async def test_one_clients_mistake_is_not_the_others() -> None:
    gate = Gate()
    requests = [rows(1), rows(-2), rows(3), rows(-4)]
    results = await ask(make_batcher(gate), *requests)
    check([requests[0], requests[2]], [results[0], results[2]])
    assert [str(results[1]), str(results[3])] == ["negative: -2", "negative: -4"]
    assert gate.batches == [4, 1, 1, 1, 1]


async def test_who_has_gone_is_not_in_the_batch() -> None:
    gate = Gate()
    gate.open.clear()
    batcher = make_batcher(gate)
    first, *others = await start(batcher, rows(0), rows(1, width=2), *(rows(n) for n in range(2, 6)))
    assert gate.batches == [5]  # all of one width came in the same turn
    queued = await start(batcher, *(rows(n) for n in range(6, 10)))
    for task in (first, *others[:1], *queued[1:3]):
        task.cancel()
    await asyncio.sleep(0)
    gate.open.set()
    results = await asyncio.gather(*queued, return_exceptions=True)
    assert [isinstance(result, asyncio.CancelledError) for result in results] == [False, True, True, False]
    check([rows(6), rows(9)], [results[0], results[3]])
    assert gate.batches == [5, 2]
    assert await ask(batcher, rows(1))


async def test_a_batch_that_everybody_left_is_not_made() -> None:
    gate = Gate()
    gate.open.clear()
    batcher = make_batcher(gate)
    running = await start(batcher, rows(0))
    queued = await start(batcher, rows(1), rows(2))
    for task in queued:
        task.cancel()
    gate.open.set()
    await asyncio.gather(*running, *queued, return_exceptions=True)
    assert gate.batches == [1]
    check([rows(3)], await ask(batcher, rows(3)))


async def test_a_timeout_lets_a_batch_fill() -> None:
    gate = Gate()
    loop = asyncio.get_running_loop()
    batcher = make_batcher(gate, most=3, timeout=0.2)
    started = loop.time()
    tasks = await start(batcher, rows(1))
    tasks += await start(batcher, rows(2), rows(3))
    await asyncio.gather(*tasks)
    assert loop.time() - started < 0.15  # full before the time was over
    assert gate.batches == [3]
    started = loop.time()
    check([rows(4)], await ask(batcher, rows(4)))
    assert loop.time() - started >= 0.19
    assert gate.batches == [3, 1]


async def test_a_full_batch_of_one_shape_does_not_wait_for_another_shape() -> None:
    gate = Gate()
    batcher = make_batcher(gate, most=2, timeout=30.0)
    alone = await start(batcher, rows(1, width=5))
    check([rows(2), rows(3)], await ask(batcher, rows(2), rows(3)))
    assert gate.batches == [2]
    alone[0].cancel()


def make_dataplane(batcher: Batcher, queued: int, seconds: int = 30) -> Dataplane:
    limits = LIMITS.model_copy(update={"max_queued_requests": queued, "request_timeout_seconds": seconds})
    dataplane = Dataplane("m", "1", limits, Metrics("m", "1"))
    dataplane.attach(batcher)
    return dataplane


async def test_the_queue_behind_full_batches_is_bounded() -> None:
    gate = Gate()
    gate.open.clear()
    batcher = make_batcher(gate, most=4)
    dataplane = make_dataplane(batcher, queued=3)
    tasks = []
    for n in range(batcher.size + 3):
        dataplane.admit()
        tasks.append(asyncio.create_task(dataplane.infer(rows(n))))
        await asyncio.sleep(0)
    assert (dataplane.in_flight, dataplane.queue_length) == (8, 3)
    with pytest.raises(QueueFullError):
        dataplane.admit()
    gate.open.set()
    check([rows(n) for n in range(11)], await asyncio.gather(*tasks))
    assert (dataplane.in_flight, dataplane.queue_length) == (0, 0)
    assert sum(gate.batches) == 11
    assert max(gate.batches) == 4


async def test_each_request_has_a_deadline_of_its_own() -> None:
    gate = Gate()
    gate.open.clear()
    dataplane = make_dataplane(make_batcher(gate, most=4), queued=3, seconds=1)
    running = asyncio.create_task(dataplane.infer(rows(0)))
    for _ in range(5):
        await asyncio.sleep(0)
    waiting = [asyncio.create_task(dataplane.infer(rows(n))) for n in (1, 2)]
    with pytest.raises(DeadlineExceededError):
        await running
    late = asyncio.create_task(dataplane.infer(rows(3)))
    for task in waiting:
        with pytest.raises(DeadlineExceededError):
            await task
    gate.open.set()
    check([rows(3)], [await late])
    assert gate.batches == [1, 1]


@given(
    samples=st.lists(st.integers(0, 4), min_size=1, max_size=6),
    axes=st.lists(st.integers(0, 2), min_size=1, max_size=3),
    data=st.data(),
)
def test_what_is_put_together_is_told_apart(samples: list[int], axes: list[int], data: st.DataObject) -> None:
    dtype = data.draw(st.sampled_from([np.float32, np.int8, np.object_]))
    parts = []
    for index, count in enumerate(samples):
        shapes = [[count if dim == axis else 2 for dim in range(3)] for axis in axes]
        parts.append([np.full(shape, index, dtype) for shape in shapes])
    whole = [np.concatenate([part[i] for part in parts], axis) for i, axis in enumerate(axes)]
    for part, again in zip(parts, split(whole, axes, samples), strict=True):
        for array, result in zip(part, again, strict=True):
            np.testing.assert_array_equal(result, array)
            assert result.flags.c_contiguous
