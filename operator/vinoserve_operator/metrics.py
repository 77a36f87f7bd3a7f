"""What the operator counts, for Prometheus. `docs/reference/metrics.md` is made of `FAMILIES`.

Names follow Prometheus' conventions: base units, `_total` for counters.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector


@dataclass(frozen=True)
class Family:
    name: str
    kind: Literal["counter", "gauge", "histogram"]
    help: str
    labels: tuple[str, ...] = ()


LEADER: Final = Family("vinoserve_operator_leader", "gauge", "1 while this process holds the Lease.")
RECONCILE_SECONDS: Final = Family(
    "vinoserve_operator_reconcile_seconds",
    "histogram",
    "Time that it took to look at an object and write what was needed.",
    ("kind",),
)
RECONCILE_ERRORS: Final = Family(
    "vinoserve_operator_reconcile_errors_total",
    "counter",
    "Times that an object could not be reconciled, by what was in the way; bug is vinoserve's own.",
    ("kind", "error"),
)
QUEUE_DEPTH: Final = Family("vinoserve_operator_queue_depth", "gauge", "Objects that wait to be looked at.")
QUEUE_RUNNING: Final = Family(
    "vinoserve_operator_queue_running", "gauge", "Objects that are being looked at."
)
QUEUE_FAILING: Final = Family(
    "vinoserve_operator_queue_failing", "gauge", "Objects whose last try failed; they are tried again."
)
WATCH_EVENTS: Final = Family(
    "vinoserve_operator_watch_events_total", "counter", "Events that the watches brought.", ("kind",)
)
WATCH_AGE: Final = Family(
    "vinoserve_operator_watch_age_seconds",
    "gauge",
    "Since the last event of a kind. Nodes have one every few minutes; others only where something happens.",
    ("kind",),
)
WATCH_RESTARTS: Final = Family(
    "vinoserve_operator_watch_restarts_total", "counter", "Times that the watches ended and began anew."
)
API_REQUESTS: Final = Family(
    "vinoserve_operator_api_requests_total",
    "counter",
    "Requests to the API server, watches and the Lease apart; code is HTTP's, or none where no answer came.",
    ("verb", "resource", "code"),
)
SERVICES: Final = Family(
    "vinoserve_operator_services",
    "gauge",
    "InferenceServices by their condition Ready.",
    ("ready", "reason"),
)
SERVICE_STALLED: Final = Family(
    "vinoserve_operator_service_stalled",
    "gauge",
    "1 for each InferenceService whose condition Stalled is True: waiting alone won't help it.",
    ("namespace", "service", "reason"),
)

FAMILIES: Final = (
    LEADER,
    RECONCILE_SECONDS,
    RECONCILE_ERRORS,
    QUEUE_DEPTH,
    QUEUE_RUNNING,
    QUEUE_FAILING,
    WATCH_EVENTS,
    WATCH_AGE,
    WATCH_RESTARTS,
    API_REQUESTS,
    SERVICES,
    SERVICE_STALLED,
)

Sample = tuple[tuple[str, ...], float]
"""The values of a family's labels, and the number."""


class Metrics:
    """One registry for each operator, so that two of them in one process don't share numbers."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.reconcile_seconds = Histogram(
            RECONCILE_SECONDS.name,
            RECONCILE_SECONDS.help,
            RECONCILE_SECONDS.labels,
            registry=self.registry,
        )
        self.reconcile_errors = self._make_counter(RECONCILE_ERRORS)
        self.watch_events = self._make_counter(WATCH_EVENTS)
        self.api_requests = self._make_counter(API_REQUESTS)

    def follow(self, family: Family, read: Callable[[], Iterable[Sample]]) -> None:
        """What is kept elsewhere is read when it is asked for."""
        self.registry.register(_Followed(family, read))

    def follow_one(self, family: Family, read: Callable[[], float]) -> None:
        """The same for what has no labels."""
        self.follow(family, lambda: [((), read())])

    def _make_counter(self, family: Family) -> Counter:
        return Counter(family.name, family.help, family.labels, registry=self.registry)


class _Followed(Collector):
    def __init__(self, family: Family, read: Callable[[], Iterable[Sample]]) -> None:
        self._family = family
        self._read = read

    def describe(self) -> Iterator[CounterMetricFamily | GaugeMetricFamily]:
        """Without reading: what is followed may not be there yet."""
        yield self._make()

    def collect(self) -> Iterator[CounterMetricFamily | GaugeMetricFamily]:
        family = self._make()
        for labels, value in self._read():
            family.add_metric(labels, value)
        yield family

    def _make(self) -> CounterMetricFamily | GaugeMetricFamily:
        make = CounterMetricFamily if self._family.kind == "counter" else GaugeMetricFamily
        return make(self._family.name, self._family.help, labels=self._family.labels)


def count_services(services: Iterable[Mapping[str, Mapping[str, object]]]) -> list[Sample]:
    """Samples of SERVICES for InferenceServices as they are in the cluster."""
    counts: dict[tuple[str, ...], float] = {}
    for service in services:
        ready = _find_condition(service, "Ready")
        key = (str(ready.get("status", "Unknown")), str(ready.get("reason", "")))
        counts[key] = counts.get(key, 0) + 1
    return list(counts.items())


def list_stalled(services: Iterable[Mapping[str, Mapping[str, object]]]) -> list[Sample]:
    """Samples of SERVICE_STALLED."""
    return [
        (
            (
                str(service["metadata"]["namespace"]),
                str(service["metadata"]["name"]),
                str(stalled.get("reason", "")),
            ),
            1.0,
        )
        for service in services
        if (stalled := _find_condition(service, "Stalled")).get("status") == "True"
    ]


def _find_condition(service: Mapping[str, Mapping[str, object]], type_: str) -> Mapping[str, object]:
    conditions = (service.get("status") or {}).get("conditions")
    return next((c for c in conditions if c["type"] == type_), {}) if isinstance(conditions, list) else {}
