"""What the data plane counts, for Prometheus.

Written on the event loop only, so plain numbers do: an observation costs a fifth of prometheus-client's locked
histogram. The registry turns them into families when it is scraped.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Final

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

BUCKETS: Final = (
    *(0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05),
    *(0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0),
)
"""Upper bounds in seconds: from a tiny model on a CPU to the longest request timeouts."""


class Histogram:
    """Durations in seconds."""

    def __init__(self) -> None:
        self._counts = [0] * (len(BUCKETS) + 1)
        self._sum = 0.0

    def observe(self, seconds: float) -> None:
        self._counts[bisect_left(BUCKETS, seconds)] += 1
        self._sum += seconds

    @property
    def count(self) -> int:
        return sum(self._counts)

    def family(self, name: str, documentation: str, labels: dict[str, str]) -> HistogramMetricFamily:
        total = 0
        buckets: list[tuple[str, float]] = []
        for bound, count in zip((*map(str, BUCKETS), "+Inf"), self._counts, strict=True):
            total += count
            buckets.append((bound, total))
        family = HistogramMetricFamily(name, documentation, labels=list(labels))
        family.add_metric(list(labels.values()), buckets=buckets, sum_value=self._sum)
        return family


class Metrics(Collector):
    """The families of one served model; every sample carries its name and version."""

    def __init__(self, model: str, version: str) -> None:
        self._labels = {"model": model, "version": version}
        self.requests: Counter[tuple[str, str, int | str]] = Counter()
        """By API (`rest`, `grpc`), operation (`infer`, `metadata`, `health`, `other`) and status: HTTP's number, gRPC's name."""
        self.request_seconds = Histogram()
        self.queue_seconds = Histogram()
        self.inference_seconds = Histogram()
        self.in_flight: Callable[[], int] = lambda: 0
        self.queue_length: Callable[[], int] = lambda: 0
        self.connections: Callable[[], int] = lambda: 0
        self.registry = CollectorRegistry()
        self.registry.register(self)
        ProcessCollector(registry=self.registry)

    def collect(self) -> Iterable[Metric]:
        requests = CounterMetricFamily(
            "vinoserve_requests",
            "Requests answered, by API, operation and status code.",
            labels=[*self._labels, "api", "operation", "code"],
        )
        for (api, operation, code), count in sorted(self.requests.items(), key=str):
            requests.add_metric([*self._labels.values(), api, operation, str(code)], count)
        yield requests
        yield self.request_seconds.family(
            "vinoserve_request_seconds", "From a whole inference request to its response.", self._labels
        )
        yield self.queue_seconds.family(
            "vinoserve_queue_seconds", "How long inference requests waited for the model.", self._labels
        )
        yield self.inference_seconds.family(
            "vinoserve_inference_seconds", "How long the model took.", self._labels
        )
        yield self._gauge("vinoserve_requests_in_flight", "Inferences that run now.", self.in_flight())
        yield self._gauge(
            "vinoserve_queue_length", "Inference requests that wait for the model now.", self.queue_length()
        )
        yield self._gauge("vinoserve_connections", "Open HTTP connections of clients.", self.connections())

    def _gauge(self, name: str, documentation: str, value: float) -> GaugeMetricFamily:
        family = GaugeMetricFamily(name, documentation, labels=list(self._labels))
        family.add_metric(list(self._labels.values()), value)
        return family
