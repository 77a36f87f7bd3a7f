"""A compiled model behind a pool of infer requests: no copy on the way in, one hop to the event loop on the way out."""

import asyncio
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from time import perf_counter
from typing import Any, Final

import numpy as np

from vinoserve_runtime.engine.health import Faults, speaks_of_loss
from vinoserve_runtime.engine.quick import QuickRequest
from vinoserve_runtime.engine.warm_shapes import Shapes, make_tensor
from vinoserve_runtime.errors import InferenceError
from vinoserve_runtime.ov import ov
from vinoserve_runtime.ov_errors import explain
from vinoserve_runtime.tensors import Array, TensorInfo

#: OpenVINO doesn't call a request's callback when its inference fails (measured), so running requests are looked at this
#: often, in seconds. Only a failure waits for it.
_WATCH_SECONDS: Final = 0.05


#: A model on the CPU that takes less than this is run on the event loop itself: to hand it to OpenVINO's threads and back costs
#: 50 to 130 microseconds, ten times what a tiny model takes (measured).
_QUICK_SECONDS: Final = 0.0001
_TIMED_RUNS: Final = 5
_TIMED_SECONDS: Final = 0.02
"""At least so many, and more for as long: on a busy machine few of them go undisturbed."""
_HOPELESS_SECONDS: Final = 0.01
"""Models that take longer aren't timed: a large one's start would wait for it."""


class _Slot:
    """An infer request, and whom it works for."""

    __slots__ = ("arrays", "future", "request")

    def __init__(self, request: Any) -> None:
        self.request = request
        self.future: asyncio.Future[list[Array]] | None = None
        self.arrays: Sequence[Array] = ()
        """Kept alive while OpenVINO reads them, whatever becomes of the caller."""


class InferRequestPool:
    """The `Engine`. Belongs to the event loop that it is made on; `infer` is called there and nowhere else.

    `on_cpu`: the CPU alone runs it; then, where shapes are static too, an inference always takes the same time.
    `faults`: where failures are counted. `warm_shapes`: see the module of that name; where there are none, the warm-up takes the
    smallest of the bounds.
    """

    def __init__(
        self,
        compiled: Any,
        inputs: tuple[TensorInfo, ...],
        outputs: tuple[TensorInfo, ...],
        size: int,
        *,
        on_cpu: bool,
        faults: Faults,
        warm_shapes: tuple[Shapes, ...] = (),
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._compiled = compiled
        self._inputs = inputs
        self._outputs = outputs
        self._types = [port.get_element_type() for port in compiled.inputs]
        self._shapes = [None if -1 in tensor.shape else ov.Shape(list(tensor.shape)) for tensor in inputs]
        self._readers = [_READERS.get(tensor.datatype, _read_plain) for tensor in outputs]
        self._slots = [self._make_slot(compiled) for _ in range(max(1, size))]
        self._idle = deque(self._slots)
        self._waiting: deque[asyncio.Future[_Slot]] = deque()
        self._watch: asyncio.TimerHandle | None = None
        has_strings = "BYTES" in {tensor.datatype for tensor in (*inputs, *outputs)}
        self._is_steady = on_cpu and None not in self._shapes and not has_strings
        self._quick: QuickRequest | None = None
        """There where inferences are so quick that the event loop waits for them."""
        self._faults = faults
        self.warm_shapes = (
            warm_shapes[0]
            if warm_shapes
            else tuple(tuple(max(1, low) for low, _ in tensor.bounds) for tensor in inputs)
        )
        self._cures = [
            [make_tensor(tensor, shape, 1) for tensor, shape in zip(inputs, shapes, strict=True)]
            for shapes in warm_shapes
        ]

    @property
    def inputs(self) -> tuple[TensorInfo, ...]:
        return self._inputs

    @property
    def outputs(self) -> tuple[TensorInfo, ...]:
        return self._outputs

    @property
    def size(self) -> int:
        """How many inferences run at once."""
        return len(self._slots)

    @property
    def variants(self) -> tuple["InferRequestPool", ...]:
        """What there is to warm up."""
        return (self,)

    @property
    def is_quick(self) -> bool:
        return self._quick is not None

    def infer_now(self, tensors: Sequence[Array]) -> Sequence[Array] | None:
        """See `tensors.QuickEngine`."""
        if self._quick is None:
            return None
        try:
            results = self._quick.infer(tensors)
        except Exception:  # noqa: BLE001  `infer` does it once more, tells and counts
            return None
        self._faults.in_a_row = 0
        return results

    async def infer(self, tensors: Sequence[Array]) -> Sequence[Array]:
        """See `tensors.Engine`. A cancelled caller's inference runs to its end, and its request goes back to the pool."""
        results = self.infer_now(tensors)
        if results is not None:
            return results
        for _ in range(min(len(self._slots), 2) if self._cures else 0):
            try:
                return await self._infer(tensors)
            except InferenceError as error:
                if speaks_of_loss(str(error)):
                    self._faults.note(str(error))
                    raise
                await self._cure()
        try:
            return await self._infer(tensors)
        except InferenceError as error:
            await self._cure()
            self._faults.note(str(error))
            raise

    async def _cure(self) -> None:
        """What a failed inference left behind goes with one of another shape; see `warm_shapes`. Counts for nothing."""
        row = self._faults.in_a_row
        for arrays in self._cures:
            with suppress(InferenceError):
                await self._infer(arrays)
        self._faults.in_a_row = row

    async def _infer(self, tensors: Sequence[Array]) -> Sequence[Array]:
        slot = self._idle.popleft() if self._idle else await self._wait_for_slot()
        future = slot.future = self._loop.create_future()
        try:
            slot.arrays = self._set_inputs(slot.request, tensors)
            slot.request.start_async({}, None)
        except Exception as error:
            self._release(slot)
            raise InferenceError(explain(error)) from error
        if self._watch is None:
            self._watch = self._loop.call_later(_WATCH_SECONDS, self._look_at_running)
        result: Sequence[Array] = await future
        return result

    @property
    def is_at_rest(self) -> bool:
        return len(self._idle) == len(self._slots)

    def close(self) -> list[Any]:
        """See `Assembly.close`. OpenVINO's requests and their callbacks hold each other: no garbage collector finds them."""
        held = [self._compiled, self._quick, *(slot.request for slot in self._slots)]
        for slot in self._slots:
            slot.request = None
        self._compiled = self._quick = None
        self._slots.clear()
        self._idle.clear()
        return held

    async def learn_speed(self, tensors: Sequence[Array], warm_seconds: float) -> None:
        """Find out, before anybody waits, whether inferences are quick enough to run on the event loop.

        `warm_seconds`: the least that `infer` has taken so far.
        """
        if self._is_steady and warm_seconds < _HOPELESS_SECONDS:
            quick = QuickRequest(
                self._compiled.create_infer_request(), self._inputs, self._outputs, self._types
            )
            seconds = await asyncio.to_thread(_time, quick, tensors)
            self._quick = quick if seconds < _QUICK_SECONDS else None

    def _make_slot(self, compiled: Any) -> _Slot:
        slot = _Slot(compiled.create_infer_request())
        slot.request.set_callback(self._on_completion, slot)
        return slot

    async def _wait_for_slot(self) -> _Slot:
        future: asyncio.Future[_Slot] = self._loop.create_future()
        self._waiting.append(future)
        try:
            return await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled():  # given a slot and cancelled in the same turn
                self._release(future.result())
            raise

    def _set_inputs(self, request: Any, tensors: Sequence[Array]) -> list[Array]:
        """Hand the arrays over without a copy; what must stay alive until the inference is over."""
        kept: list[Array] = []
        for index, array in enumerate(tensors):
            element_type = self._types[index]
            if element_type == ov.Type.string:
                tensor = ov.Tensor(_pack_strings(array), shared_memory=False)
            else:
                # With an element type the constructor shares even read-only memory, and takes bf16 as its raw bits.
                tensor = ov.Tensor(array, self._shapes[index] or ov.Shape(list(array.shape)), element_type)
                kept.append(array)
            request.set_input_tensor(index, tensor)
        return kept

    def _on_completion(self, slot: _Slot) -> None:
        """On one of OpenVINO's threads."""
        with suppress(RuntimeError):  # the loop is closed: nobody waits
            self._loop.call_soon_threadsafe(self._finish, slot)

    def _finish(self, slot: _Slot) -> None:
        future = slot.future
        if future is None:
            return
        try:
            slot.request.wait()  # the callback comes a moment before the request is idle
            result = [read(slot.request.get_output_tensor(i)) for i, read in enumerate(self._readers)]
        except Exception as error:  # noqa: BLE001  OpenVINO raises RuntimeError and what lies below it
            self._settle(slot, future, InferenceError(explain(error)))
        else:
            self._faults.in_a_row = 0
            self._settle(slot, future, result)

    def _settle(
        self, slot: _Slot, future: asyncio.Future[list[Array]], outcome: list[Array] | InferenceError
    ) -> None:
        if future.done():  # its caller was cancelled
            if isinstance(outcome, InferenceError):
                self._faults.note(str(outcome))
        elif isinstance(outcome, InferenceError):
            future.set_exception(outcome)
        else:
            future.set_result(outcome)
        self._release(slot)

    def _release(self, slot: _Slot) -> None:
        slot.future = None
        slot.arrays = ()
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(slot)
                return
        self._idle.append(slot)

    def _look_at_running(self) -> None:
        self._watch = None
        for slot in self._slots:
            if slot.future is None:
                continue
            try:
                slot.request.wait_for(0)
            except Exception as error:  # noqa: BLE001
                self._settle(slot, slot.future, InferenceError(explain(error)))
        if any(slot.future for slot in self._slots):
            self._watch = self._loop.call_later(_WATCH_SECONDS, self._look_at_running)


def _time(quick: QuickRequest, tensors: Sequence[Array]) -> float:
    """Seconds of the fastest of some inferences; infinite where they fail."""
    fastest = float("inf")
    with suppress(Exception):
        began, runs = perf_counter(), 0
        while runs < _TIMED_RUNS or (fastest >= _QUICK_SECONDS and perf_counter() < began + _TIMED_SECONDS):
            started = perf_counter()
            quick.infer(tensors)
            fastest = min(fastest, perf_counter() - started)
            runs += 1
        return fastest
    return float("inf")


def _read_plain(tensor: Any) -> Array:
    return tensor.data.copy()  # type: ignore[no-any-return]


def _read_bf16(tensor: Any) -> Array:
    return tensor.data.view(np.uint16).copy()  # type: ignore[no-any-return]  # `data` calls the bits float16


def _read_strings(tensor: Any) -> Array:
    return tensor.bytes_data.astype(object)  # type: ignore[no-any-return]


def _pack_strings(array: Array) -> Array:
    """OpenVINO takes numpy's byte strings, which can't end in zeros: refused, rather than cut."""
    if any(element.endswith(b"\0") for element in array.flat):
        raise ValueError("a BYTES element ends with a zero byte, which OpenVINO's strings can't")
    return np.array(array.tolist(), dtype=np.bytes_).reshape(array.shape)


_READERS: Final = {"BF16": _read_bf16, "BYTES": _read_strings}
