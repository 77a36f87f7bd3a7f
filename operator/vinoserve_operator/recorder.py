"""Records Kubernetes Events, in their own time: no reconciliation waits for one."""

import asyncio
from typing import Final

import structlog

from vinoserve_operator.errors import GoneError, NotLeaderError, RejectedError, RetryableError
from vinoserve_operator.kinds import Object
from vinoserve_operator.kube import Kube
from vinoserve_operator.queue import Backoff

_MOST_WAITING: Final = 2000
_TRIES: Final = 6

log = structlog.get_logger()


class Recorder:
    """An event that can't be recorded is dropped in the end: the status says the same."""

    def __init__(self, kube: Kube) -> None:
        self._kube = kube
        self._waiting: asyncio.Queue[Object] = asyncio.Queue(_MOST_WAITING)
        self._backoff = Backoff()

    def record(self, event: Object) -> None:
        if self._waiting.full():
            log.warning("event dropped", reason="too many wait", note=event["note"])
        else:
            self._waiting.put_nowait(event)

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self._create(await self._waiting.get())

    async def _create(self, event: Object) -> None:
        reason = ""
        for failures in range(1, _TRIES + 1):
            try:
                await self._kube.create_event(event)
            except GoneError as error:
                # Its namespace is being deleted.
                log.debug("event dropped", reason=str(error), note=event["note"])
                return
            except (RejectedError, NotLeaderError) as error:
                reason = str(error)
                break
            except RetryableError as error:
                reason = str(error)
                await asyncio.sleep(self._backoff.delay(failures))
            else:
                return
        log.warning("event dropped", reason=reason, note=event["note"])
