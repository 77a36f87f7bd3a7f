"""OpenVINO's long calls, in threads that don't keep the process from ending."""

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

_T = TypeVar("_T")


class Worker:
    """Belongs to one event loop. One call at a time: one whose caller has gone comes to its end before the next."""

    def __init__(self) -> None:
        self._running = 0
        self._turn = threading.Lock()

    @property
    def is_busy(self) -> bool:
        """Whether a call is under way; nothing can interrupt it."""
        return self._running > 0

    async def run(self, work: Callable[[], _T]) -> _T:
        """What `work` returns or raises. A caller that is cancelled leaves it running."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[_T] = loop.create_future()

        def settle(result: _T | None, error: BaseException | None) -> None:
            self._running -= 1
            if future.done():
                return
            if error is not None:
                future.set_exception(error)
            else:
                future.set_result(result)  # type: ignore[arg-type]

        def run() -> None:
            try:
                with self._turn:
                    result, error = work(), None
            except BaseException as failure:  # noqa: BLE001  handed to the one who waits
                result, error = None, failure
            with suppress(RuntimeError):  # the loop is closed: nobody waits
                loop.call_soon_threadsafe(settle, result, error)

        self._running += 1
        threading.Thread(target=run, name="openvino", daemon=True).start()
        return await future
