"""A server on an event loop in a thread of its own, so that blocking clients can be its clients."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import uvloop

_T = TypeVar("_T")


@contextmanager
def on_own_loop(
    start: Callable[[], Awaitable[tuple[Any, _T]]], *, run: Callable[..., None] = uvloop.run
) -> Iterator[tuple[asyncio.AbstractEventLoop, _T]]:
    """The loop, and what `start` gives beside the server; the server is closed at the end."""
    ready = threading.Event()
    found: list[tuple[asyncio.AbstractEventLoop, _T]] = []
    stop = asyncio.Event()

    async def serve() -> None:
        server, given = await start()
        found.append((asyncio.get_running_loop(), given))
        ready.set()
        await stop.wait()
        server.close()
        await server.wait_closed()

    thread = threading.Thread(target=run, args=(serve(),))
    thread.start()
    assert ready.wait(60), "the server did not start"
    loop, given = found[0]
    try:
        yield loop, given
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(60)
    assert not thread.is_alive(), "the server did not close"
