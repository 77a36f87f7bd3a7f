"""Runs kopf in a thread of its own, and again when it gives up.

kopf takes all tasks of its loop for its own when it ends, and it ends when the answer to a list is neither success nor
something that it retries (it retries no 409, and no 404 while a CRD is missing): our queue and our Lease shall not end with it.
"""

import asyncio
from collections.abc import Callable, Collection

import kopf
import structlog

from vinoserve_operator.handlers import Sink, make_registry
from vinoserve_operator.kinds import Kind, Object
from vinoserve_operator.queue import Backoff

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
    Leaving `main` cancels them all.
    """

    async def main() -> None:
        loop, flag = asyncio.get_running_loop(), asyncio.Event()

        def stop() -> None:
            loop.call_soon_threadsafe(flag.set)

        end.get_loop().call_soon_threadsafe(end.set_result, stop)
        tasks = await kopf.spawn_tasks(
            registry=make_registry(sink),
            standalone=True,
            clusterwide=not namespaces,
            namespaces=namespaces,
        )
        ended, _ = await asyncio.wait(
            {*tasks, asyncio.create_task(flag.wait())}, return_when=asyncio.FIRST_COMPLETED
        )
        for task in ended:
            task.result()

    asyncio.run(main())
