"""The pods' reports: `GET /report` of their admin ports, asked for again and again, kept by server process.

A report outlives a failed poll: what a process runs on is settled once it has said so. It is forgotten with the process.
"""

import asyncio
import math
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final, Self

import aiohttp

from vinoserve_api.contract import ADMIN_PORT, SERVING, RuntimeReport, read_report
from vinoserve_operator.desired.names import SERVE
from vinoserve_operator.kinds import POD, Object, Ref, make_ref
from vinoserve_operator.status.pods import PodView

_TIMEOUT_SECONDS: Final = 4.0
_BUSY_SECONDS: Final = 2.0
"""Between polls of a pod that is on its way, or not on the device that was asked for."""

_SETTLED_PER_SECOND: Final = 10.0
_BUSY_PER_SECOND: Final = 100.0
"""Polls at most, however many pods there are: the more, the longer each one's turn takes to come again."""

_JITTER: Final = 0.25
_PATIENT_SECONDS: Final = 10.0
"""Polls after a longer pause begin at whole seconds, several at once: waking up for each costs more than asking."""

_PARALLEL: Final = 64
_MOST_BYTES: Final = 1 << 20

Fetch = Callable[[str], Awaitable[bytes]]
"""The body of a URL; raises what it likes."""


@dataclass(slots=True)
class _Entry:
    """Of one server process, which `process` identifies. There are thousands: nothing is kept that only a poll needs."""

    pod: Object
    process: str
    body: bytes | None = None
    """The report as it came, which takes a sixth of the memory that it takes when it is read."""

    unreachable: str | None = None
    failures: int = 0
    asked: asyncio.Event | None = field(default_factory=asyncio.Event)
    """None once it has answered, or not even when it was asked again; set then."""

    task: asyncio.Task[None] | None = None
    timer: asyncio.TimerHandle | None = None

    @property
    def report(self) -> RuntimeReport | None:
        return None if self.body is None else read_report(self.body)


class Reports:
    def __init__(self, fetch: Fetch, *, settled_seconds: float, changed: Callable[[Object], None]) -> None:
        """`changed` is called with a pod whose report has changed in anything but its progress."""
        self._fetch = fetch
        self._settled_seconds = settled_seconds
        self._changed = changed
        self._entries: dict[Ref, _Entry] = {}
        self._slots = asyncio.Semaphore(_PARALLEL)

    def _follow(self, pod: Object) -> None:
        """Poll it while it has a running server, at once where that is new or has become ready."""
        ref = make_ref(POD, pod)
        process = _find_process(pod)
        entry = self._entries.get(ref)
        if process is None:
            self.forget(pod)
        elif entry is None or entry.process != process:
            self.forget(pod)
            self._entries[ref] = entry = _Entry(pod, process)
            self._begin(entry)
        elif PodView(entry.pod).ready != PodView(pod).ready:
            self._cancel(entry)
            entry.asked = entry.asked or asyncio.Event()
            self._begin(entry)
        if process is not None:
            self._entries[ref].pod = pod

    def forget(self, pod: Object) -> None:
        entry = self._entries.pop(make_ref(POD, pod), None)
        if entry:
            self._cancel(entry)
            _end_waiting(entry)

    async def view(self, pod: Object) -> PodView:
        """The pod with what it last said; waits for the first answer of a ready one, so that nothing is said too early."""
        self._follow(pod)
        entry = self._entries.get(make_ref(POD, pod))
        if entry is None:
            return PodView(pod)
        if PodView(pod).ready and entry.asked:
            await entry.asked.wait()
        return PodView(pod, entry.report, entry.unreachable)

    async def close(self) -> None:
        tasks = [entry.task for entry in self._entries.values() if entry.task]
        for entry in self._entries.values():
            self._cancel(entry)
        self._entries.clear()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _begin(self, entry: _Entry) -> None:
        entry.timer = None
        entry.task = asyncio.create_task(self._poll(entry), name=f"report of {entry.process}")

    @staticmethod
    def _cancel(entry: _Entry) -> None:
        if entry.task:
            entry.task.cancel()
        if entry.timer:
            entry.timer.cancel()
        entry.task = entry.timer = None

    async def _poll(self, entry: _Entry) -> None:
        body, unreachable = entry.body, entry.unreachable
        await self._ask(entry)
        if entry.failures == 1 and entry.asked:
            await self._ask(entry)  # an operator that has just started has thousands to ask
        _end_waiting(entry)
        if entry.unreachable != unreachable or not _is_alike(entry.body, body):
            self._changed(entry.pod)
        entry.task = None
        loop, pause = asyncio.get_running_loop(), self._pause(entry)
        due = loop.time() + pause
        entry.timer = loop.call_at(math.ceil(due) if pause > _PATIENT_SECONDS else due, self._begin, entry)

    async def _ask(self, entry: _Entry) -> None:
        url = _make_url(entry.pod)
        try:
            async with self._slots, asyncio.timeout(_TIMEOUT_SECONDS):
                body = await self._fetch(url)
            if body != entry.body:
                read_report(body)
                entry.body = body
            entry.failures, entry.unreachable = 0, None
        except Exception as error:  # noqa: BLE001  # whatever a pod answers, it is asked again
            entry.failures += 1
            entry.unreachable = f"GET {url}: {type(error).__name__}"

    def _pause(self, entry: _Entry) -> float:
        """Seconds until it is asked again. Becoming ready, which matters most, has it asked at once."""
        calm = max(self._settled_seconds, len(self._entries) / _SETTLED_PER_SECOND)
        busy = max(_BUSY_SECONDS, len(self._entries) / _BUSY_PER_SECOND)
        if entry.failures:
            pause = min(calm, busy * 2.0 ** min(entry.failures - 1, 10))
        else:
            pause = calm if _is_settled(entry) else busy
        return pause * random.uniform(1 - _JITTER, 1 + _JITTER)  # noqa: S311  # so that they don't come all at once


class HttpFetch:
    """`Fetch` over HTTP; an async context manager."""

    def __init__(self) -> None:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=_PARALLEL, force_close=True), trust_env=False
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def __call__(self, url: str) -> bytes:
        async with self._session.get(url, allow_redirects=False, raise_for_status=True) as response:
            body = bytearray()
            async for chunk in response.content.iter_any():
                body += chunk
                if len(body) > _MOST_BYTES:
                    raise ValueError(f"a report of more than {_MOST_BYTES} bytes")
            return bytes(body)


def _end_waiting(entry: _Entry) -> None:
    if entry.asked:
        entry.asked.set()
    entry.asked = None


def _find_process(pod: Object) -> str | None:
    """What tells one server process from the next; None where none runs, or it can't be reached."""
    status = pod.get("status") or {}
    if not status.get("podIP"):
        return None
    for container in status.get("containerStatuses") or ():
        if container.get("name") == SERVE and "running" in (container.get("state") or {}):
            return f"{pod['metadata']['uid']} {container.get('containerID')} {container.get('restartCount')}"
    return None


def _is_settled(entry: _Entry) -> bool:
    report = entry.report
    if report is None or report.phase not in SERVING or not report.on_requested_device:
        return False
    return PodView(entry.pod).ready


def _make_url(pod: Object) -> str:
    address = pod["status"]["podIP"]
    host = f"[{address}]" if ":" in address else address
    return f"http://{host}:{ADMIN_PORT}/report"


def _is_alike(one: bytes | None, other: bytes | None) -> bool:
    """Whether two reports tell the same, but for what changes all the time."""
    if one is None or other is None or one == other:
        return one == other
    first, second = (
        read_report(body).model_copy(update={"progress": None, "engine_errors": 0}) for body in (one, other)
    )
    return first == second
