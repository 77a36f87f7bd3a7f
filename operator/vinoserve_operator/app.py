"""Puts the parts together and runs them: caches first, then the watches and, with the Lease, the queue."""

import asyncio
import contextlib
import time
from datetime import UTC, datetime
from typing import Final

import structlog
from kubernetes.aio.client import ApiClient, Configuration

from vinoserve_operator.cluster import Cluster, Kept, find_service
from vinoserve_operator.errors import GoneError, RejectedError, RetryableError
from vinoserve_operator.health import Health
from vinoserve_operator.inbox import Inbox
from vinoserve_operator.kinds import INFERENCE_SERVICE, POD, WATCHED, Kind, Object, Ref
from vinoserve_operator.kube import Kube
from vinoserve_operator.lease import Lease
from vinoserve_operator.metrics import (
    LEADER,
    QUEUE_DEPTH,
    QUEUE_FAILING,
    QUEUE_RUNNING,
    SERVICE_STALLED,
    SERVICES,
    WATCH_AGE,
    WATCH_RESTARTS,
    Metrics,
    Sample,
    count_services,
    list_stalled,
)
from vinoserve_operator.probes import serve_probes
from vinoserve_operator.queue import Backoff, Queue
from vinoserve_operator.reconcile import Reconciler
from vinoserve_operator.recorder import Recorder
from vinoserve_operator.reports import Fetch, Reports
from vinoserve_operator.settings import Settings
from vinoserve_operator.watches import Watches

_LIST_TRIES: Final = 5
_LONGEST_LIST_PAUSE: Final = 2.0
_RESYNC_SECONDS_EACH: Final = 0.5
"""Between two looks at one service that nothing calls for: in a large fleet they are rarer, or a processor does little else."""

_GAP_SECONDS: Final = 1.0
"""The watches of all kinds begin anew together; one round of lists answers them all."""

log = structlog.get_logger()


class Operator:
    """One operator process; `run` it once."""

    def __init__(self, settings: Settings, configuration: Configuration, fetch: Fetch) -> None:
        """`fetch` gets the pods' reports."""
        self.settings = settings
        self.metrics = Metrics()
        self.cluster = Cluster()
        client = ApiClient(configuration)
        self.lease = Lease(client, settings.lease_name, settings.find_lease_namespace())
        self.kube = Kube(client, lambda: self.lease.held, self.metrics)
        self.reports = Reports(fetch, settled_seconds=settings.report_seconds, changed=self._add_service_of)
        self.recorder = Recorder(self.kube)
        reconciler = Reconciler(
            self.kube,
            self.cluster,
            self.reports,
            self.recorder,
            self.metrics,
            image=settings.image,
            instance=self.lease.identity,
            now=lambda: datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        )
        self.queue: Queue[Ref] = Queue(reconciler, workers=settings.workers)
        self.inbox = Inbox(self.cluster, self.queue, self.reports, self.metrics)
        self.watches = Watches(self.inbox.receive, self.inbox.gap.set, settings.namespaces)
        self.synced = False
        self.port = 0
        """Of the probes, once they listen."""

        self.metrics.follow_one(LEADER, lambda: self.lease.held)
        self.metrics.follow_one(QUEUE_DEPTH, lambda: len(self.queue))
        self.metrics.follow_one(QUEUE_RUNNING, lambda: self.queue.running)
        self.metrics.follow_one(QUEUE_FAILING, lambda: self.queue.failing)
        self.metrics.follow(WATCH_AGE, self._gather_ages)
        self.metrics.follow_one(WATCH_RESTARTS, lambda: max(0, self.watches.starts - 1))
        self.metrics.follow(SERVICES, lambda: count_services(self.cluster.gather(INFERENCE_SERVICE)))
        self.metrics.follow(SERVICE_STALLED, lambda: list_stalled(self.cluster.gather(INFERENCE_SERVICE)))

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop` is set."""
        health = Health(self.queue, self.watches, time.monotonic)
        probes = serve_probes(self.settings.port, self.metrics, health, lambda: self.synced)
        async with self.kube, probes as self.port:
            await self._fill(stop)
            if stop.is_set():
                return
            async with asyncio.TaskGroup() as group:
                loops = (
                    self.lease.run(),
                    self.recorder.run(),
                    self._work(),
                    self._resync(),
                    self._close_gaps(),
                )
                tasks = [group.create_task(loop) for loop in loops]
                await self.watches.run(stop)
                for task in tasks:
                    task.cancel()
            await self.reports.close()

    async def _fill(self, stop: asyncio.Event) -> None:
        """Fill every cache before anything is decided: to an empty one all seems to be missing."""
        backoff, failures = Backoff(), 0
        while not stop.is_set() and not self.synced:
            try:
                await self._list()
                self.synced = True
            except (GoneError, RejectedError, RetryableError) as error:
                failures += 1
                hint = "are the CustomResourceDefinitions installed?" if isinstance(error, GoneError) else ""
                log.warning("cannot list yet", error=str(error), hint=hint)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), min(10, backoff.delay(failures)))

    async def _list(self) -> None:
        """Everything there is, once."""
        for kind in WATCHED:
            where = (self.settings.namespaces if kind.namespaced else ()) or (None,)
            lists = [await self._gather(kind, namespace) for namespace in where]
            items = [item for found, _ in lists for item in found]
            self.inbox.replace(kind, items, min(version for _, version in lists))

    async def _gather(self, kind: Kind, namespace: str | None) -> tuple[list[Kept], int]:
        """Tried again by itself: where two of five answers are errors, all kinds in a row would never be had."""
        backoff = Backoff()
        for failures in range(1, _LIST_TRIES):
            try:
                return await self._gather_once(kind, namespace)
            except RetryableError as error:
                log.debug("listing again", kind=kind.name, error=str(error))
                await asyncio.sleep(min(_LONGEST_LIST_PAUSE, backoff.delay(failures)))
        return await self._gather_once(kind, namespace)

    async def _gather_once(self, kind: Kind, namespace: str | None) -> tuple[list[Kept], int]:
        """All of the kind, and the list's version."""
        kept: list[Kept] = []
        version = 0
        async for page, version in self.kube.read_pages(kind, namespace):  # noqa: B007  # the last one's counts
            kept += [self.cluster.make_kept(kind, item) for item in page]
        return kept, version

    async def _work(self) -> None:
        await self.lease.wait()
        log.info("leading", identity=self.lease.identity)
        self.inbox.add_all()
        await self.queue.run()

    async def _resync(self) -> None:
        """Whatever was missed is found now."""
        while True:
            services = len(self.cluster.gather_refs(INFERENCE_SERVICE))
            await asyncio.sleep(max(self.settings.resync_seconds, services * _RESYNC_SECONDS_EACH))
            if await self._try_list():
                self.inbox.add_all()

    async def _close_gaps(self) -> None:
        while True:
            await self.inbox.gap.wait()
            await asyncio.sleep(_GAP_SECONDS)
            self.inbox.gap.clear()
            if not await self._try_list():
                self.inbox.gap.set()

    async def _try_list(self) -> bool:
        try:
            await self._list()
        except (GoneError, RejectedError, RetryableError) as error:
            log.warning("cannot list", error=str(error))
            return False
        return True

    def _gather_ages(self) -> list[Sample]:
        now = time.monotonic()
        return [((kind.name,), now - heard) for kind, heard in self.watches.heard.items()]

    def _add_service_of(self, pod: Object) -> None:
        service = find_service(POD, pod)
        if service:
            self.queue.add(service)
