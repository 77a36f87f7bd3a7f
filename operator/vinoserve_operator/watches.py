"""Runs kopf in a thread of its own, and again when it gives up.

kopf takes all tasks of its loop for its own when it ends, and it ends when the answer to a list is neither success nor
something that it retries (it retries no 409, and no 404 while a CRD is missing): our queue and our Lease shall not end with it.
"""

import asyncio
from collections.abc import Callable, Collection
from typing import Final

import kopf
import structlog

from vinoserve_operator.handlers import Sink, make_registry
from vinoserve_operator.kinds import Kind, Object
from vinoserve_operator.queue import Backoff

_GRACE_SECONDS: Final = 2.0
_CANCELLATIONS: Final = 10

log = structlog.get_logger()


async def watch(sink: Sink, namespaces: Collection[str], stop: asyncio.Event) -> None:
    """Bring every event to `sink`, which is called in this loop, until `stop` is set."""
    home = asyncio.get_running_loop()

    def deliver(kind: Kind, type_: str | None, found: Object) -> None:
        home.call_soon_threadsafe(sink, kind, type_, found)

    stopped = asyncio.create_task(stop.wait())
    backoff, failures = Backoff(), 0
    while not stop.is_set():
        end: asyncio.Future[Callable[[], None]] = home.create_future()
        thread = asyncio.create_task(asyncio.to_thread(_run, deliver, namespaces, end))
        await asyncio.wait({thread, stopped}, return_when=asyncio.FIRST_COMPLETED)
        if not thread.done():
            (await end)()
        try:
            await thread
        except Exception as error:  # noqa: BLE001  # whatever ends the watches, they begin anew
            failures += 1
            log.warning("the watches ended and begin anew", error=str(error))
            await asyncio.wait({stopped}, timeout=backoff.delay(failures))


def _run(sink: Sink, namespaces: Collection[str], end: asyncio.Future[Callable[[], None]]) -> None:
    """Runs in a thread; `end` gets what ends it.

    Not `kopf.operator`: when one of its tasks fails, it waits for the others, and those for a login that never comes.
    """
    loop = asyncio.new_event_loop()

    async def main() -> None:
        flag = asyncio.Event()

        def stop() -> None:
            loop.call_soon_threadsafe(flag.set)

        end.get_loop().call_soon_threadsafe(end.set_result, stop)
        tasks = await kopf.spawn_tasks(
            registry=make_registry(sink),
            standalone=True,
            clusterwide=not namespaces,
            namespaces=namespaces,
            stop_flag=flag,
        )
        ended, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks, timeout=_GRACE_SECONDS)
        for task in ended:
            task.result()

    try:
        loop.run_until_complete(main())
    finally:
        _cancel_all(loop)
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()


def _cancel_all(loop: asyncio.AbstractEventLoop) -> None:
    """Some of kopf's tasks take a cancellation for a hint: they are told again, and left behind in the end."""
    for _ in range(_CANCELLATIONS):
        tasks = asyncio.all_tasks(loop)
        if not tasks:
            return
        for task in tasks:
            task.cancel()
        loop.run_until_complete(asyncio.wait(tasks, timeout=0.1))
