"""The Open Inference Protocol, whatever carries it: one model, its state, and who may ask it now."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version as package_version
from time import perf_counter
from typing import Any, Final, cast

from vinoserve_api.contract import RuntimeLimits
from vinoserve_runtime.metrics import Metrics
from vinoserve_runtime.protocol.errors import (
    DeadlineExceededError,
    InvalidRequestError,
    ModelNotFoundError,
    NotOfferedError,
    NotReadyError,
    QueueFullError,
)
from vinoserve_runtime.protocol.metadata import (
    make_model_metadata,
    make_repository_index,
    make_server_metadata,
)
from vinoserve_runtime.protocol.signature import Signature, shown
from vinoserve_runtime.room import make_room
from vinoserve_runtime.tensors import Array, Engine, QuickEngine
from vinoserve_runtime.vigil import Vigil, make_vigil

QUIET_SECONDS: Final = 0.25
SETTLE_SECONDS: Final = 3.0
"""How long a draining server lets requests in: until none comes for QUIET_SECONDS, at most SETTLE_SECONDS. Load balancers
learn with a delay that a server isn't ready any more."""


class Dataplane:
    """Belongs to one event loop. Answers health and metadata from the start, inference between attach and detach."""

    def __init__(self, name: str, version: str, limits: RuntimeLimits, metrics: Metrics) -> None:
        self.name = name
        self.version = version
        self.limits = limits
        self.metrics = metrics
        self.room = make_room(limits.max_request_bytes)
        self.draining = False
        self.doubted: Callable[[], bool] = lambda: False
        """Whether the engine has to prove itself: what is asked is answered, but no more is wanted."""
        self._refusing = False
        self._admitted = 0
        self._engine: Engine | None = None
        self._quick: QuickEngine | None = None
        """The engine, where it is."""
        self._vigil: Vigil | None = None
        self._signature: Signature | None = None
        self._running = 0
        self._waiting: OrderedDict[asyncio.Future[None], asyncio.Task[Any]] = OrderedDict()
        self._deadlines = _Deadlines(limits.request_timeout_seconds)
        self._finished = asyncio.Event()
        metrics.in_flight = lambda: self._running
        metrics.queue_length = lambda: self.queue_length

    @property
    def ready(self) -> bool:
        return self._engine is not None and not self.draining and not self.doubted()

    @property
    def in_flight(self) -> int:
        """Inferences that the engine works on."""
        return self._running

    @property
    def admitted(self) -> int:
        """How many requests have come in so far."""
        return self._admitted

    @property
    def queue_length(self) -> int:
        """Requests that wait for the engine."""
        return len(self._waiting)

    def attach(self, engine: Engine) -> None:
        """From now on requests are let through to `engine`."""
        self._engine = engine
        self._quick = engine if isinstance(engine, QuickEngine) and engine.is_quick else None
        self._vigil = make_vigil() if self._quick else None
        self._signature = Signature(engine.inputs, engine.outputs)

    def detach(self) -> None:
        """From now on requests are refused as not ready; those that the engine has are still answered."""
        self._engine = None
        self._quick = None
        self._signature = None

    async def drain(self, timeout: float) -> bool:  # noqa: ASYNC109 - it ends by itself, and says how
        """Not ready from now on. Refuses new work once it stops coming, and waits until all that was let in is done.

        False where that takes more than `timeout` seconds.
        """
        self.draining = True
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await self._settle()
                self._refusing = True
                while self._running or self._waiting:
                    self._finished.clear()
                    await self._finished.wait()
        self._refusing = True
        return not self._running and not self._waiting

    async def _settle(self) -> None:
        """Until no request has come for a moment: some were sent before anybody could know of the end."""
        most = asyncio.get_running_loop().time() + SETTLE_SECONDS
        seen = -1
        while seen != self._admitted and asyncio.get_running_loop().time() < most:
            seen = self._admitted
            await asyncio.sleep(QUIET_SECONDS)

    def server_metadata(self) -> dict[str, Any]:
        return make_server_metadata(package_version("vinoserve"))

    def model_metadata(self) -> dict[str, Any]:
        """Raises NotReadyError where no model is loaded yet."""
        if self._signature is None:
            raise NotReadyError(f"model {shown(self.name)} is not loaded")
        return make_model_metadata(self.name, self.version, self._signature)

    def repository_index(self, *, only_ready: bool) -> list[dict[str, str]]:
        """The one model and whether it is ready; nothing where it isn't and `only_ready`."""
        why_not = None
        if self.draining:
            why_not = "the server is shutting down"
        elif self._engine is None:
            why_not = "the model is not loaded"
        if only_ready and why_not is not None:
            return []
        return make_repository_index(self.name, self.version, why_not)

    def check_repository(self, name: str) -> None:
        """Raises InvalidRequestError unless `name` is the empty one of the only repository."""
        if name:
            raise InvalidRequestError(f"no repository {shown(name)}: there is one, and it has no name")

    def why_no_repository_change(self) -> NotOfferedError:
        return NotOfferedError(
            f"models are not loaded or unloaded on request: this server has {shown(self.name)} and nothing else; "
            "change spec.model of its InferenceService, or apply another InferenceService"
        )

    def check_model(self, name: str, version: str | None) -> None:
        """Raises ModelNotFoundError unless this is the model, and the version, that is served here."""
        if name != self.name:
            raise ModelNotFoundError(f"no model {shown(name)} here; this server has {shown(self.name)}")
        if version is not None and version != self.version:
            raise ModelNotFoundError(
                f"model {shown(name)} has no version {shown(version)}; it has {shown(self.version)}"
            )

    def admit(self) -> Signature:
        """Whether a request may come in, asked before it is decoded; then `infer` is called without awaiting anything.

        Raises NotReadyError or QueueFullError.
        """
        if self._refusing:
            raise NotReadyError("the server is shutting down")
        engine = self._engine
        if engine is None or self._signature is None:
            raise NotReadyError(f"model {shown(self.name)} is not loaded")
        if len(self._waiting) >= self.limits.max_queued_requests and self._running >= engine.size:
            raise QueueFullError(
                f"{self.limits.max_queued_requests} requests wait for model {shown(self.name)} already"
            )
        self._admitted += 1
        return self._signature

    @property
    def is_quick(self) -> bool:
        """Whether `infer_now` is worth a try."""
        return self._quick is not None and not self._waiting

    def infer_now(self, tensors: Sequence[Array]) -> Sequence[Array] | None:
        """`infer` where the engine is quick: done when it returns. None where it isn't, or something is wrong: ask `infer`.

        There is nothing to wait for, so there is no place in a queue, and no deadline that could pass meanwhile.
        """
        if self._quick is None or self._waiting:
            return None
        started = perf_counter()
        results = self._quick.infer_now(tensors)
        if results is not None:
            ended = perf_counter()
            self.metrics.queue_seconds.observe(0.0)
            self.metrics.inference_seconds.observe(ended - started)
            if self._vigil is not None:
                self._vigil.note(started, ended)
        return results

    async def infer(self, tensors: Sequence[Array]) -> Sequence[Array]:
        """One inference, as soon as the engine has room; `tensors` as the signature has them, results likewise.

        Cancelling it gives up the place in the queue. Raises NotReadyError, DeadlineExceededError, and InferenceError of
        the engine.
        """
        task = cast("asyncio.Task[Any]", asyncio.current_task())
        ticket = self._deadlines.start(task)
        metrics = self.metrics
        asked = perf_counter()
        try:
            engine = self._engine
            if engine is not None and self._running >= engine.size:
                await self._wait(task)
            else:
                self._running += 1
            started = perf_counter()
            metrics.queue_seconds.observe(started - asked)
            try:
                if self._engine is None:
                    raise NotReadyError(f"model {shown(self.name)} is not loaded")
                results = await self._engine.infer(tensors)
            finally:
                self._leave()
        except asyncio.CancelledError:
            self._deadlines.check(ticket)
            raise
        finally:
            self._deadlines.stop(ticket)
        metrics.inference_seconds.observe(perf_counter() - started)
        return results

    def is_waiting(self, task: asyncio.Task[Any]) -> bool:
        """Whether `task` is in `infer` and the engine has not begun with it."""
        return task in self._waiting.values()

    async def _wait(self, task: asyncio.Task[Any]) -> None:
        """For a place in the engine, counted in `_running`."""
        waiter = asyncio.get_running_loop().create_future()
        self._waiting[waiter] = task
        try:
            await waiter
        except asyncio.CancelledError:
            if waiter.cancelled():
                self._waiting.pop(waiter, None)
                self._check_finished()
            else:
                self._leave()  # the place was handed over just as its taker went away
            raise

    def _leave(self) -> None:
        """Hands the place in the engine to the one who has waited longest."""
        while self._waiting:
            waiter, _ = self._waiting.popitem(last=False)
            if not waiter.done():
                waiter.set_result(None)
                return
        self._running -= 1
        self._check_finished()

    def _check_finished(self) -> None:
        if not self._running and not self._waiting:
            self._finished.set()


@dataclass(slots=True, eq=False)
class _Ticket:
    task: asyncio.Task[Any]
    deadline: float
    expired: bool = False


class _Deadlines:
    """As many `asyncio.timeout(seconds)` as there are requests, on one timer: all wait equally long, so they end in order."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._tickets: dict[_Ticket, None] = {}
        self._timer: asyncio.TimerHandle | None = None

    def start(self, task: asyncio.Task[Any]) -> _Ticket:
        loop = task.get_loop()
        ticket = _Ticket(task, loop.time() + self._seconds)
        self._tickets[ticket] = None
        if self._timer is None:
            self._timer = loop.call_at(ticket.deadline, self._expire, loop)
        return ticket

    def stop(self, ticket: _Ticket) -> None:
        del self._tickets[ticket]

    def check(self, ticket: _Ticket) -> None:
        """Raises DeadlineExceededError where it was the deadline that cancelled the task."""
        if ticket.expired and ticket.task.uncancel() == 0:
            raise DeadlineExceededError(f"no result within {self._seconds} seconds")

    def _expire(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = None
        now = loop.time()
        for ticket in self._tickets:
            if ticket.deadline > now:
                self._timer = loop.call_at(ticket.deadline, self._expire, loop)
                return
            if not ticket.expired:
                ticket.expired = True
                ticket.task.cancel()
