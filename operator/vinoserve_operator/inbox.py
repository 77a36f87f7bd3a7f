"""From what has happened to what has to be looked at."""

import asyncio

from vinoserve_operator.cluster import Cluster, Kept, find_service
from vinoserve_operator.kinds import (
    ACCELERATOR_CLASS,
    INFERENCE_SERVICE,
    NAMESPACE,
    NODE,
    POD,
    Kind,
    Object,
    Ref,
    make_ref,
)
from vinoserve_operator.metrics import Metrics
from vinoserve_operator.queue import Queue
from vinoserve_operator.reports import Reports
from vinoserve_operator.trimming import is_node_ready


class Inbox:
    """Takes the watches' events and the lists, keeps the caches, and enqueues keys."""

    def __init__(self, cluster: Cluster, queue: Queue[Ref], reports: Reports, metrics: Metrics) -> None:
        self._cluster = cluster
        self._queue = queue
        self._reports = reports
        self._metrics = metrics
        self.gap = asyncio.Event()
        """A watch has begun anew: only lists can tell what has changed, and what was deleted, meanwhile."""

    def receive(self, kind: Kind, type_: str, found: Object) -> None:
        """An event of a watch."""
        self._metrics.watch_events.labels(kind.name).inc()
        before = None if kind.owned else self._cluster.get(make_ref(kind, found))
        if type_ == "DELETED":
            if self._cluster.drop(kind, found):
                self._tell(kind, before, found, gone=True)
        elif self._cluster.put(kind, found):
            self._tell(kind, before, found, gone=False)

    def replace(self, kind: Kind, listed: list[Kept], version: int) -> None:
        """A fresh list of all there is."""
        for item in self._cluster.replace(kind, listed, version):
            gone = not self._cluster.has(make_ref(kind, item))
            self._tell(kind, None, item, gone=gone)

    def add_all(self) -> None:
        """Have everything looked at."""
        self._add(INFERENCE_SERVICE)
        self._add(ACCELERATOR_CLASS)

    def _add(self, kind: Kind, namespace: str | None = None) -> None:
        for ref in self._cluster.gather_refs(kind):
            if namespace is None or ref.namespace == namespace:
                self._queue.add(ref)

    def _add_services_on(self, node: str) -> None:
        for pod in self._cluster.gather(POD):
            service = find_service(POD, pod)
            if service and pod["spec"].get("nodeName") == node:
                self._queue.add(service)

    def _tell(self, kind: Kind, before: Object | None, found: Object, *, gone: bool) -> None:
        """`before` isn't looked at for what we own: whatever has changed there, its service is looked at."""
        if kind is NODE:
            self._add(ACCELERATOR_CLASS)
            if gone or before is None or _labels(before) != _labels(found):
                self._add(INFERENCE_SERVICE)  # render groups
            elif before["status"]["ready"] != is_node_ready(found):
                self._add_services_on(found["metadata"]["name"])
            return
        if kind is NAMESPACE:
            self._add(INFERENCE_SERVICE, found["metadata"]["name"])  # which classes they may use
            return
        if kind.owned:
            if kind is POD and gone:
                self._reports.forget(found)
            service = find_service(kind, found)
            if service:
                self._queue.add(service)
            return
        edited = gone or before is None or _spec(before) != _spec(found)
        self._queue.add(make_ref(kind, found), urgent=edited)
        if kind is ACCELERATOR_CLASS and (edited or _reasons(before) != _reasons(found)):
            self._add(INFERENCE_SERVICE)


def _labels(node: Object) -> object:
    return node["metadata"].get("labels")


def _reasons(found: Object | None) -> object:
    """Services whose pods find no node say what is wrong with their classes."""
    conditions = ((found or {}).get("status") or {}).get("conditions") or ()
    return [(condition["type"], condition["reason"]) for condition in conditions]


def _spec(found: Object) -> object:
    """What the user or the admin writes; a class is made the default by an annotation."""
    return found["metadata"].get("generation"), found["metadata"].get("annotations")
