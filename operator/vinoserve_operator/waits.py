"""Asks for what events alone tell of pods: only of those that wait longer than usual, each now and then, or that are over.

And of Jobs that wait for theirs. No watch: an API server would have to go through all events of all pods for it.
"""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import Final

import structlog

from vinoserve_operator.errors import GoneError, RejectedError, RetryableError
from vinoserve_operator.kinds import Object, Ref
from vinoserve_operator.kube import Kube
from vinoserve_operator.status.diagnosis import Diagnosis
from vinoserve_operator.status.disruptions import diagnose_eviction
from vinoserve_operator.status.pods import PodView
from vinoserve_operator.status.precompile import Precompiling
from vinoserve_operator.status.refusals import diagnose_refusal
from vinoserve_operator.status.starting import Warned, diagnose_start, diagnose_wait

_USUAL_SECONDS: Final = 2.0
"""Within which most pods are made, and have their volumes and network, and no event is asked for."""

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

    def wait(self) -> float:
        """Seconds until then."""
        return max(0.1, self.due - time.monotonic())


@dataclass(frozen=True)
class _Job:
    uid: str
    since: str
    """When it was made, or seen with a pod the last time; in RFC 3339. What was refused before has passed."""

    answer: _Answer | None = None


class Waits:
    def __init__(self, kube: Kube) -> None:
        self._kube = kube
        self._answers: dict[Ref, dict[str, _Answer]] = {}
        """By service and the pod's uid; of pods alone that wait, or are over."""

        self._jobs: dict[Ref, _Job] = {}
        """By service."""

    def forget(self, service: Ref) -> None:
        self._answers.pop(service, None)
        self._jobs.pop(service, None)

    async def explain(
        self, service: Ref, pods: Sequence[PodView], now: str
    ) -> tuple[list[PodView], float | None]:
        """All the service's pods with what is heard of them; and in how many seconds to look again, if at all.

        `now` is in RFC 3339.
        """
        before, answers = self._answers.pop(service, {}), dict[str, _Answer]()
        replaced = max((pod.created for pod in pods if pod.live and pod.ready), default="")
        explained, again = [], []
        for pod in pods:
            heard, since = None, pod.prepared_since
            if since is not None:
                waited = _read_seconds(now) - _read_seconds(since)
                if waited < _USUAL_SECONDS:
                    again.append(_USUAL_SECONDS - waited)
                else:
                    answer = await self._ask(service, pod.uid, before.get(pod.uid), diagnose_start)
                    answers[pod.uid] = answer
                    heard = answer.found or (diagnose_wait(pod) if waited >= _LATE_SECONDS else None)
            elif pod.succeeded and not pod.compiles and pod.created >= replaced:
                answer = await self._ask(service, pod.uid, before.get(pod.uid), diagnose_eviction)
                heard = answer.found
                answers[pod.uid] = replace(answer, due=math.inf) if heard else answer
            explained.append(replace(pod, heard=heard))
        if answers:
            self._answers[service] = answers
        again += [answer.wait() for answer in answers.values() if answer.due < math.inf]
        return explained, min(again, default=None)

    async def explain_job(
        self, service: Ref, job: Precompiling | None, now: str
    ) -> tuple[Precompiling | None, float | None]:
        """The service's Job with what keeps its pod from being made; and in how many seconds to look again, if at all.

        `now` is in RFC 3339.
        """
        known = self._jobs.pop(service, None)
        if job is None:
            return None, None
        if known is None or known.uid != job.uid:
            known = _Job(job.uid, job.created)
        if not job.waits_for_pod:
            self._jobs[service] = _Job(job.uid, now)
            return job, None
        since = _read_seconds(known.since)
        waited = _read_seconds(now) - since
        if waited < _USUAL_SECONDS:
            self._jobs[service] = known
            return job, _USUAL_SECONDS - waited
        diagnose = partial(diagnose_refusal, job=job.name, since=since)
        answer = await self._ask(service, job.uid, known.answer, diagnose)
        self._jobs[service] = replace(known, answer=answer)
        return replace(job, heard=answer.found), answer.wait()

    async def _ask(
        self,
        service: Ref,
        uid: str,
        before: _Answer | None,
        diagnose: Callable[[Sequence[Warned]], Diagnosis | None],
    ) -> _Answer:
        """The answer of `before` while it is fresh."""
        if before is not None and before.due > time.monotonic():
            return before
        found = before.found if before else None
        try:
            events = await self._kube.gather_warnings(service.namespace, uid)
            found = diagnose([read_warning(event) for event in events]) or found
        except (GoneError, RejectedError, RetryableError) as error:
            log.debug("events can't be had", object=str(service), error=str(error))
        waiting = sum(map(len, self._answers.values()))
        waiting += sum(job.answer is not None for job in self._jobs.values())
        return _Answer(time.monotonic() + max(_PAUSE_SECONDS, waiting / _PER_SECOND), found)


def read_warning(event: Object) -> Warned:
    last = max(map(datetime.fromisoformat, _list_times(event)))
    time_ = last.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return Warned(event.get("reason") or "", event.get("note") or "", time_, last.timestamp())


def _read_seconds(text: str) -> float:
    """Since the epoch, of a time in RFC 3339."""
    return datetime.fromisoformat(text).timestamp()


def _list_times(event: Object) -> Iterator[str]:
    """Of its last occurrence: the kubelet's recorder writes the deprecated field, newer ones write a series."""
    series = event.get("series") or {}
    times = (series.get("lastObservedTime"), event.get("deprecatedLastTimestamp"), event.get("eventTime"))
    yield from filter(None, times)
    yield event["metadata"]["creationTimestamp"]
