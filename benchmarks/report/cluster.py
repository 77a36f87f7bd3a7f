"""The report's part about the operator on a cluster. Pure."""

from collections.abc import Iterator, Sequence
from typing import Any

from benchmarks.cluster.results import ClusterResults, Fleet
from benchmarks.figures import Figure
from benchmarks.report.tables import make_table, show_figure, show_number

_STEPS = (
    ("deployment", "its Deployment is there"),
    ("ready", "Ready"),
    ("answered", "the first right answer"),
)


def make_cluster_part(results: ClusterResults, pictures: Sequence[str]) -> Iterator[str]:
    machine = results.machine
    yield "## On a cluster"
    yield (
        f"Measured on {results.taken} in {show_number(results.minutes)} minutes: {machine.processor}, {machine.cores} cores, "
        f"{machine.memory_gib} GiB, Kubernetes {results.kubernetes} on one node, all of it on this one machine."
    )
    yield (
        "From `kubectl apply` of an InferenceService of the tiny model, with the images on the node and the model on a claim, in seconds:"
    )
    yield make_table(["until", "seconds"], [[shown, show_first(results, step)] for step, shown in _STEPS])
    yield (
        "Fleets of InferenceServices without pods, each fleet on a new cluster. Milliseconds are from an InferenceService's being there "
        "to its Deployment's. The rest is what the operator takes until it has written all that it had to."
    )
    header = ["InferenceServices", "created in, s", "done in, s", "done a second", "p50 ms", "p99 ms"]
    header += ["requests each", "CPU ms each", "memory, MiB"]
    yield make_table(header, [show_fleet(fleet) for fleet in results.fleets])
    if "fleets" in pictures:
        yield "![Seconds and memory over the size of a fleet](benchmarks/fleets.svg)"


def show_first(results: ClusterResults, step: str) -> str:
    return show_figure(Figure.of([getattr(answer, step) for answer in results.first_answers]))


def show_fleet(fleet: Fleet) -> list[str]:
    how = f"{fleet.count:,} at {fleet.rate:g}/s" if fleet.rate else f"{fleet.count:,} at once"
    numbers = [
        fleet.created_seconds,
        fleet.done_seconds,
        fleet.count / fleet.done_seconds,
        fleet.p50_ms,
        fleet.p99_ms,
        fleet.api_requests / fleet.count,
        fleet.cpu_seconds / fleet.count * 1000,
        fleet.memory_mib,
    ]
    return [how, *(show_number(number) for number in numbers)]


def make_cluster_pictures(results: ClusterResults) -> dict[str, dict[str, Any]]:
    """Vega-Lite specifications."""
    values = [
        {"x": fleet.count, "y": y, "what": what}
        for fleet in results.fleets
        if fleet.rate is None
        for what, y in (
            ("seconds until all Deployments are there", fleet.done_seconds),
            ("processor seconds of the operator", fleet.cpu_seconds),
            ("memory of the operator, MiB", fleet.memory_mib),
        )
    ]
    return {
        "fleets": {
            "$schema": "https://vega.github.io/schema/vega-lite/v5.json",
            "background": "white",
            "config": {"font": "sans-serif", "aria": False},
            "data": {"values": values},
            "facet": {"column": {"field": "what", "title": None, "sort": None}},
            "resolve": {"scale": {"y": "independent"}},
            "spec": {
                "width": 210,
                "height": 180,
                "mark": {"type": "line", "point": True, "color": "#0068b5"},
                "encoding": {
                    "x": {"field": "x", "type": "quantitative", "title": "InferenceServices at once"},
                    "y": {"field": "y", "type": "quantitative", "title": None},
                },
            },
        }
    }
