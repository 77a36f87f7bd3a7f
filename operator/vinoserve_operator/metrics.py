"""What the operator counts, for Prometheus."""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram


class Metrics:
    """One registry for each operator, so that two of them in one process don't share numbers."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.reconcile_seconds = Histogram(
            "vinoserve_reconcile_seconds",
            "Time that it took to look at an object and write what was needed.",
            ["kind"],
            registry=self.registry,
        )
        self.reconcile_errors = Counter(
            "vinoserve_reconcile_errors",
            "Times that an object could not be reconciled, by what was in the way.",
            ["kind", "error"],
            registry=self.registry,
        )
        self.events = Counter(
            "vinoserve_watch_events", "Events that the watches brought.", ["kind"], registry=self.registry
        )

    def follow(self, name: str, text: str, read: Callable[[], float]) -> None:
        """A gauge that is read when it is asked for."""
        Gauge(f"vinoserve_{name}", text, registry=self.registry).set_function(read)
