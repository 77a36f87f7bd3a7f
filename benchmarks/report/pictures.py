"""The report's pictures as Vega-Lite specifications, which a renderer of its own environment turns into SVG."""

import json
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from benchmarks.cluster.results import ClusterResults
from benchmarks.environments import make_environment
from benchmarks.figures import Figures, p50, p99
from benchmarks.report.cluster import make_cluster_pictures
from benchmarks.report.markdown import order
from benchmarks.results import Results
from tools.toolbox.errors import ToolError

Spec = dict[str, Any]
_DRAW = Path(__file__).parents[1] / "served/draw.py"
_COLOURS = ["#0068b5", "#76b900", "#e4572e", "#8a4fbe", "#888888", "#bbbbbb"]


def make_pictures(results: Results, cluster: ClusterResults | None) -> dict[str, Spec]:
    """By name; without those that nothing was measured for. Pure."""
    figures = Figures(results)
    specs = {
        "throughput": make_throughput(figures),
        "latency-rest": make_latency(figures, "REST binary"),
        "latency-grpc": make_latency(figures, "gRPC"),
        **(make_cluster_pictures(cluster) if cluster else {}),
    }
    return {name: spec for name, spec in specs.items() if spec["data"]["values"]}


def make_throughput(figures: Figures) -> Spec:
    values = [
        {"server": server, "protocol": load.protocol, "x": load.in_flight, "y": round(rate.value, 1)}
        for load in figures.loads("tiny")
        if load.protocol != "REST JSON"
        for server in order(figures.servers("tiny"))
        if (rate := figures.rate("tiny", server, load))
    ]
    return {
        **make_base(values),
        "facet": {"column": {"field": "protocol", "title": None, "sort": None}},
        "spec": {
            "width": 330,
            "height": 240,
            "mark": {"type": "line", "point": True},
            "encoding": {
                **make_axes("requests at a time", "answers a second"),
                "color": make_colour(order(figures.servers("tiny"))),
            },
        },
    }


def make_latency(figures: Figures, protocol: str) -> Spec:
    servers = order(figures.servers("tiny"))
    values = list(make_latency_values(figures, protocol))
    return {
        **make_base(values),
        "width": 560,
        "height": 280,
        "mark": {"type": "line", "point": True},
        "encoding": {
            **make_axes("requests a second", "milliseconds until an answer"),
            "color": make_colour(
                [server for server in servers if any(v["server"] == server for v in values)]
            ),
            "strokeDash": {
                "field": "percentile",
                "title": None,
                "sort": ["p50", "p99"],
                "legend": {"symbolType": "stroke"},
            },
        },
    }


def make_latency_values(figures: Figures, protocol: str) -> Iterator[Spec]:
    for cell in figures.results.cells:
        if cell.load.protocol == protocol and cell.load.share is not None and cell.rounds[0].rate:
            for percentile, found in (("p50", p50(cell)), ("p99", p99(cell))):
                rate = cell.rounds[0].rate
                yield {"server": cell.server, "percentile": percentile, "x": rate, "y": round(found, 3)}


def make_base(values: list[Spec]) -> Spec:
    return {
        "$schema": "https://vega.github.io/schema/vega-lite/v5.json",
        "background": "white",
        "config": {"font": "sans-serif", "aria": False},
        "data": {"values": values},
    }


def make_axes(x: str, y: str) -> Spec:
    return {
        "x": {"field": "x", "type": "quantitative", "scale": {"type": "log", "nice": False}, "title": x},
        "y": {"field": "y", "type": "quantitative", "scale": {"type": "log"}, "title": y},
    }


def make_colour(servers: list[str]) -> Spec:
    scale = {"domain": servers, "range": _COLOURS[: len(servers)]}
    return {"field": "server", "type": "nominal", "title": None, "scale": scale}


def draw(specs: Mapping[str, Spec], folder: Path) -> None:
    """Write NAME.svg for each, and remove others. Raises ToolError where they can't be drawn."""
    folder.mkdir(parents=True, exist_ok=True)
    python = make_environment("report") / "bin/python"
    done = subprocess.run(
        [python, _DRAW, folder], input=json.dumps(specs), capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise ToolError(f"can't draw the pictures: {done.stderr.strip()[-500:]}")
    for old in folder.glob("*.svg"):
        if old.stem not in specs:
            old.unlink()
