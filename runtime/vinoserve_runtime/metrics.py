"""What the runtime counts, for Prometheus; the families are listed in `metric_families`.

Written on the event loop only, so plain numbers do: an observation costs a fifth of prometheus-client's locked
histogram. The registry turns them into families when it is scraped; what the report knows is taken from there.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from vinoserve_api.contract import IdleReport, RuntimeReport
from vinoserve_api.v1alpha1 import Startup
from vinoserve_runtime import metric_families as families
from vinoserve_runtime.metric_families import Family

SECONDS: Final = (
    *(0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05),
    *(0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0),
)
"""Upper bounds: from a tiny model on a CPU to the longest request timeouts."""

SAMPLES: Final = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0)

_OVERLOADED: Final = frozenset({429, 503, 504, "RESOURCE_EXHAUSTED", "UNAVAILABLE", "DEADLINE_EXCEEDED"})
_FAILED: Final = frozenset({"INTERNAL", "UNKNOWN"})


class Histogram:
    """Observations by their upper bounds."""

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def observe(self, value: float) -> None:
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    @property
    def count(self) -> int:
        return sum(self._counts)

    def family(self, family: Family, labels: dict[str, str]) -> HistogramMetricFamily:
        total = 0
        buckets: list[tuple[str, float]] = []
        for bound, count in zip((*map(str, self._bounds), "+Inf"), self._counts, strict=True):
            total += count
            buckets.append((bound, total))
        metric = HistogramMetricFamily(family.name, family.help, labels=list(labels))
        metric.add_metric(list(labels.values()), buckets=buckets, sum_value=self._sum)
        return metric


class Metrics(Collector):
    """The families of one served model; every sample carries its name and version."""

    def __init__(self, model: str, version: str) -> None:
        self._labels = {"model": model, "version": version}
        self.requests: Counter[tuple[str, str, int | str]] = Counter()
        """By API (`rest`, `grpc`), operation (`infer`, `metadata`, `health`, `other`) and status: HTTP's number, gRPC's name."""
        self.request_seconds = Histogram(SECONDS)
        self.queue_seconds = Histogram(SECONDS)
        self.inference_seconds = Histogram(SECONDS)
        self.batch_size = Histogram(SAMPLES)
        self.reload_seconds = Histogram(SECONDS)
        self.in_flight: Callable[[], int] = lambda: 0
        self.queue_length: Callable[[], int] = lambda: 0
        self.connections: Callable[[], int] = lambda: 0
        self.report: Callable[[], RuntimeReport] | None = None
        self.registry = CollectorRegistry()
        self.registry.register(self)
        ProcessCollector(registry=self.registry)

    def collect(self) -> Iterable[Metric]:
        yield self._make_requests()
        yield self.request_seconds.family(families.REQUEST_SECONDS, self._labels)
        yield self.queue_seconds.family(families.QUEUE_SECONDS, self._labels)
        yield self.inference_seconds.family(families.INFERENCE_SECONDS, self._labels)
        yield self.batch_size.family(families.BATCH_SIZE, self._labels)
        yield self.reload_seconds.family(families.RELOAD_SECONDS, self._labels)
        yield self._gauge(families.IN_FLIGHT, [((), self.in_flight())])
        yield self._gauge(families.QUEUE_LENGTH, [((), self.queue_length())])
        yield self._gauge(families.CONNECTIONS, [((), self.connections())])
        if self.report is not None:
            yield from self._collect_report(self.report())

    def _make_requests(self) -> CounterMetricFamily:
        family = families.REQUESTS
        metric = CounterMetricFamily(family.name, family.help, labels=[*self._labels, *family.labels])
        for (api, operation, code), count in sorted(self.requests.items(), key=str):
            metric.add_metric([*self._labels.values(), api, operation, tell_outcome(code), str(code)], count)
        return metric

    def _collect_report(self, report: RuntimeReport) -> Iterator[Metric]:
        yield self._gauge(families.PHASE, [((report.phase,), 1)])
        yield self._gauge(families.STARTUP_SECONDS, _stages(report.startup))
        yield self._gauge(families.INFER_REQUESTS, _known(report.infer_requests))
        yield self._gauge(families.STREAMS, _known(report.streams))
        yield self._gauge(families.ON_REQUESTED_DEVICE, _known(report.on_requested_device))
        yield self._gauge(families.CACHE_HIT, _known(report.startup.cache_hit))
        devices = zip(report.execution_devices, report.device_names, strict=False)
        yield self._gauge(
            families.DEVICE_INFO, [((device, name, report.target_device), 1) for device, name in devices]
        )
        if report.model is not None:
            about = (report.model.digest or "", report.model.format or "")
            yield self._gauge(families.MODEL_INFO, [(about, 1)])
        idle = report.idle or IdleReport()
        yield self._gauge(families.RELEASED, [((), idle.released_at is not None)])
        yield self._counter(families.RELOADS, {"success": idle.reloads, "failed": idle.failed_reloads})
        yield self._counter(families.ENGINE_ERRORS, {None: report.engine_errors})

    def _counter(self, family: Family, counts: Mapping[str | None, int]) -> CounterMetricFamily:
        """By the value of the family's only label; None where it has none."""
        metric = CounterMetricFamily(family.name, family.help, labels=[*self._labels, *family.labels])
        for label, count in counts.items():
            metric.add_metric([*self._labels.values(), *([label] if label else [])], count)
        return metric

    def _gauge(self, family: Family, samples: Iterable[tuple[tuple[str, ...], float]]) -> GaugeMetricFamily:
        metric = GaugeMetricFamily(family.name, family.help, labels=[*self._labels, *family.labels])
        for labels, value in samples:
            metric.add_metric([*self._labels.values(), *labels], value)
        return metric


def tell_outcome(code: int | str) -> str:
    """`code`: HTTP's status, or the name of gRPC's."""
    if code in _OVERLOADED:
        return "overloaded"
    if code in _FAILED or (isinstance(code, int) and code >= 500):
        return "failed"
    return "success" if code == "OK" or (isinstance(code, int) and code < 400) else "refused"


def _known(value: float | None) -> list[tuple[tuple[str, ...], float]]:
    return [] if value is None else [((), float(value))]


def _stages(startup: Startup) -> list[tuple[tuple[str, ...], float]]:
    stages = {
        "fetch": startup.fetch_seconds,
        "read": startup.read_seconds,
        "compile": startup.compile_seconds,
        "parity": startup.parity_seconds,
        "warmup": startup.warmup_seconds,
    }
    return [((stage,), seconds) for stage, seconds in stages.items() if seconds is not None]
