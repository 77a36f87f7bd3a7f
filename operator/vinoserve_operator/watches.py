"""Runs kopf in a thread of its own, and again when it gives up.

kopf takes all tasks of its loop for its own when it ends, and it ends when the answer to a list is neither success nor
something that it retries (it retries no 409, and no 404 while a CRD is missing): our queue and our Lease shall not end with it.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Collection
from typing import Final

import aiohttp
import kopf
import structlog

from vinoserve_operator.kinds import WATCHED, Kind, Object
from vinoserve_operator.queue import Backoff
from vinoserve_operator.streams import Sink, make_registry, make_settings, watch

_GRACE_SECONDS: Final = 2.0
_CANCELLATIONS: Final = 10
_PULSE_SECONDS: Final = 5.0
_CLOSING_STEPS: Final = 10
"""Turns of the loop in which closed connections let go of their sockets."""

log = structlog.get_logger()


class Watches:
    """Brings every event of every kind to a sink."""

    def __init__(self, sink: Sink, listed: Callable[[], None], namespaces: Collection[str]) -> None:
        """`sink`, and `listed` where a watch begins anew, are called in the loop in which `run` runs; no `namespaces`: all."""
        self._sink = sink
        self._listed = listed
        self._namespaces = namespaces
        self.pulse = 0.0
        """`time.monotonic()` of when the thread was last heard of, or is waited for; 0 before."""

        self.heard: dict[Kind, float] = {}
        """`time.monotonic()` of the last event of a kind, or of the first start."""

        self.starts = 0
        """Times that kopf was started: the first, and once more whenever it gave up."""

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop` is set."""
        home = asyncio.get_running_loop()

        waiting: deque[tuple[Kind, str, Object]] = deque()

        def deliver(kind: Kind, type_: str, found: Object) -> None:
            waiting.append((kind, type_, found))
            if len(waiting) == 1:  # waking the other thread costs more than what it then does
                home.call_soon_threadsafe(receive)

        def receive() -> None:
            while waiting:
                home.call_soon(self._receive, *waiting.popleft())

        def tell_listed() -> None:
            home.call_soon_threadsafe(self._listed)

        def beat() -> None:
            home.call_soon_threadsafe(self._beat)

        stopped = asyncio.create_task(stop.wait())
        backoff, failures = Backoff(), 0
        while not stop.is_set():
            end: asyncio.Future[Callable[[], None]] = home.create_future()
            thread = asyncio.create_task(
                asyncio.to_thread(_run, deliver, tell_listed, beat, self._namespaces, end)
            )
            self._beat()
            self.starts += 1
            self.heard = dict.fromkeys(WATCHED, self.pulse) | self.heard
            await asyncio.wait({thread, stopped}, return_when=asyncio.FIRST_COMPLETED)
            if not thread.done():
                (await end)()
            try:
                await thread
            except Exception as error:  # noqa: BLE001  # whatever ends the watches, they begin anew
                failures += 1
                log.warning("the watches ended and begin anew", error=str(error))
                self._beat()
                await asyncio.wait({stopped}, timeout=backoff.delay(failures))

    def _beat(self) -> None:
        self.pulse = time.monotonic()

    def _receive(self, kind: Kind, type_: str, found: Object) -> None:
        self.heard[kind] = time.monotonic()
        self._sink(kind, type_, found)


def _run(
    sink: Sink,
    listed: Callable[[], None],
    beat: Callable[[], None],
    namespaces: Collection[str],
    end: asyncio.Future[Callable[[], None]],
) -> None:
    """Runs in a thread; `end` gets what ends it, and `beat` is called while its loop turns.

    Not `kopf.operator`: when one of its tasks fails, it waits for the others, and those for a login that never comes.
    """
    loop = asyncio.new_event_loop()
    sessions: list[aiohttp.ClientSession] = []

    async def main() -> None:
        flag = asyncio.Event()

        def stop() -> None:
            loop.call_soon_threadsafe(flag.set)

        pulse = loop.create_task(_pulse(beat))
        end.get_loop().call_soon_threadsafe(end.set_result, stop)
        settings = make_settings()
        around = await kopf.spawn_tasks(
            registry=make_registry(sessions),
            settings=settings,
            standalone=True,
            clusterwide=True,
            stop_flag=flag,
        )
        watches = [
            loop.create_task(watch(kind, namespace, settings, sink, listed))
            for kind in WATCHED
            for namespace in (namespaces if kind.namespaced else ()) or (None,)
        ]
        tasks = (*around, *watches)
        ended, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in (*tasks, pulse):
            task.cancel()
        await asyncio.wait(tasks, timeout=_GRACE_SECONDS)
        for task in ended:
            task.result()

    try:
        loop.run_until_complete(main())
    finally:
        _cancel_all(loop)
        loop.run_until_complete(_close(sessions))
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()


async def _pulse(beat: Callable[[], None]) -> None:
    while True:
        beat()
        await asyncio.sleep(_PULSE_SECONDS)


def _cancel_all(loop: asyncio.AbstractEventLoop) -> None:
    """Some of kopf's tasks take a cancellation for a hint: they are told again, and left behind in the end.

    Others outlive the one that started them, as the parts of a discovery do.
    """
    for _ in range(_CANCELLATIONS):
        tasks = asyncio.all_tasks(loop)
        if not tasks:
            return
        for task in tasks:
            task.cancel()
        loop.run_until_complete(asyncio.wait(tasks, timeout=0.1))


async def _close(sessions: Collection[aiohttp.ClientSession]) -> None:
    """Because kopf closes them only when it ends well, and a connection that was just being made even then not."""
    for session in sessions:
        await session.close()
    for _ in range(_CLOSING_STEPS):
        await asyncio.sleep(0)
