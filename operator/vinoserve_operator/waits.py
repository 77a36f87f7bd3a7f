"""Asks why nodes don't get pods to start: only of those that wait longer than usual, each now and then.

No watch: an API server would have to go through all events of all pods for it.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

import structlog

from vinoserve_operator.errors import GoneError, RejectedError, RetryableError
from vinoserve_operator.kinds import Ref
from vinoserve_operator.kube import Kube
from vinoserve_operator.status.pods import Diagnosis, PodView
from vinoserve_operator.status.starting import diagnose_events, diagnose_wait

_USUAL_SECONDS: Final = 2.0
"""Within which most pods have their volumes and network, and no event is asked for."""

_LATE_SECONDS: Final = 20.0
"""After which it is told that a pod waits, even if no event says for what."""

_PAUSE_SECONDS: Final = 3.0
_PER_SECOND: Final = 10.0
"""Questions at most, however many pods wait: the more, the longer each one's turn takes to come again."""

log = structlog.get_logger()


@dataclass(frozen=True)
class _Answer:
    due: float
    """`time.monotonic()` of the next question."""

    found: Diagnosis | None


class Waits:
    def __init__(self, kube: Kube) -> None:
        self._kube = kube
        self._answers: dict[Ref, dict[str, _Answer]] = {}
        """By service and the pod's uid; of pods that wait alone."""

    def forget(self, service: Ref) -> None:
        self._answers.pop(service, None)

    async def explain(
        self, service: Ref, pods: Sequence[PodView], now: str
    ) -> tuple[list[PodView], float | None]:
        """All the service's pods, with what keeps them from starting; and in how many seconds to look again, if at all.

        `now` is in RFC 3339.
        """
        before, answers = self._answers.pop(service, {}), {}
        explained, again = [], []
        for pod in pods:
            if pod.prepared_since is None:
                explained.append(pod)
                continue
            waited = (
                datetime.fromisoformat(now) - datetime.fromisoformat(pod.prepared_since)
            ).total_seconds()
            if waited < _USUAL_SECONDS:
                explained.append(pod)
                again.append(_USUAL_SECONDS - waited)
                continue
            answer = before.get(pod.uid)
            if answer is None or answer.due <= time.monotonic():
                answer = await self._ask(service.namespace, pod.uid, answer)
            answers[pod.uid] = answer
            again.append(max(0.1, answer.due - time.monotonic()))
            late = diagnose_wait(pod) if waited >= _LATE_SECONDS else None
            explained.append(replace(pod, hindrance=answer.found or late))
        if answers:
            self._answers[service] = answers
        return explained, min(again, default=None)

    async def _ask(self, namespace: str, uid: str, before: _Answer | None) -> _Answer:
        found = before.found if before else None
        try:
            found = diagnose_events(await self._kube.gather_warnings(namespace, uid)) or found
        except (GoneError, RejectedError, RetryableError) as error:
            log.debug("events can't be had", namespace=namespace, error=str(error))
        waiting = sum(map(len, self._answers.values()))
        return _Answer(time.monotonic() + max(_PAUSE_SECONDS, waiting / _PER_SECOND), found)
