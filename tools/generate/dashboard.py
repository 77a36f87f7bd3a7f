"""The Grafana dashboard of the model pods."""

import json
from typing import Any, Final

_MODEL: Final = '{model=~"$model"}'
_WIDTH: Final = 24
_RATE: Final = "[$__rate_interval]"

Target = tuple[str, str]
"""A query, and the legend of its series."""


def make_dashboard() -> str:
    """Ordered as one asks: does it serve, how fast, what holds it up, what does it run on, how did it start."""
    panels = [
        _stat("Phase", [(f"max by (model, phase) (vinoserve_phase{_MODEL})", "{{model}}: {{phase}}")], 6, text="name"),
        _stat("On the requested device", [(f"min by (model) (vinoserve_on_requested_device{_MODEL})", "{{model}}")], 6, yes_no=True),
        _stat("Engine errors", [(f"sum by (model) (increase(vinoserve_engine_errors_total{_MODEL}[1h]))", "{{model}}")], 6),
        _stat("Compiled model from the cache", [(f"avg by (model) (vinoserve_compiled_cache_hit{_MODEL})", "{{model}}")], 6, unit="percentunit"),
        _series("Inference requests by outcome", [(f'sum by (model, api, outcome) (rate(vinoserve_requests_total{{operation="infer", model=~"$model"}}{_RATE}))', "{{model}} {{api}} {{outcome}}")], "reqps"),
        _series("Request time", [_quantile(q) for q in ("0.5", "0.95", "0.99")], "s"),
        _series("Where the time goes (mean)", [_mean("request"), _mean("queue"), _mean("inference")], "s"),
        _series("Load", [
            (f"sum by (model) (vinoserve_requests_in_flight{_MODEL})", "{{model}} running"),
            (f"sum by (model) (vinoserve_infer_requests{_MODEL})", "{{model}} can run"),
            (f"sum by (model) (vinoserve_queue_length{_MODEL})", "{{model}} waiting"),
            (f"sum by (model) (vinoserve_connections{_MODEL})", "{{model}} connections"),
        ], "short"),
        _series("Samples in an inference (mean)", [(f"sum by (model) (rate(vinoserve_batch_size_sum{_MODEL}{_RATE})) / sum by (model) (rate(vinoserve_batch_size_count{_MODEL}{_RATE}))", "{{model}}")], "short"),
        _series("Memory", [(f"process_resident_memory_bytes * on (instance) group_left (model) max by (instance, model) (vinoserve_phase{_MODEL})", "{{model}} {{instance}}")], "bytes"),
        _series("CPU cores", [(f"rate(process_cpu_seconds_total{_RATE}) * on (instance) group_left (model) max by (instance, model) (vinoserve_phase{_MODEL})", "{{model}} {{instance}}")], "short"),
        _series("Start, by stage", [(f"max by (model, stage) (vinoserve_startup_seconds{_MODEL})", "{{model}} {{stage}}")], "s"),
        _table("Devices", f"count by (model, target, device, full_name) (vinoserve_device_info{_MODEL})"),
        _table("Models", f"count by (model, version, format, digest) (vinoserve_model_info{_MODEL})"),
        _series("Streams", [(f"max by (model) (vinoserve_streams{_MODEL})", "{{model}}")], "short"),
    ]  # fmt: skip
    dashboard = {
        "uid": "vinoserve-models",
        "title": "vinoserve: models",
        "tags": ["vinoserve", "openvino"],
        "schemaVersion": 39,
        "refresh": "30s",
        "time": {"from": "now-1h", "to": "now"},
        "templating": {"list": [_DATASOURCE, _MODELS]},
        "panels": _lay_out(panels),
    }
    return json.dumps(dashboard, indent=2) + "\n"


_SOURCE: Final = {"type": "prometheus", "uid": "$datasource"}
_DATASOURCE: Final = {
    "name": "datasource",
    "type": "datasource",
    "query": "prometheus",
    "label": "Data source",
}
_MODELS: Final = {
    "name": "model",
    "type": "query",
    "label": "Model",
    "datasource": _SOURCE,
    "query": "label_values(vinoserve_phase, model)",
    "refresh": 2,
    "multi": True,
    "includeAll": True,
    "allValue": ".+",
    "current": {"text": "All", "value": "$__all"},
}


def _quantile(quantile: str) -> Target:
    buckets = f"sum by (model, le) (rate(vinoserve_request_seconds_bucket{_MODEL}{_RATE}))"
    return f"histogram_quantile({quantile}, {buckets})", "{{model}} p" + quantile.removeprefix("0.").ljust(
        2, "0"
    )


def _mean(what: str) -> Target:
    total, count = (
        f"sum by (model) (rate(vinoserve_{what}_seconds_{part}{_MODEL}{_RATE}))" for part in ("sum", "count")
    )
    return f"{total} / {count}", "{{model}} " + what


def _panel(kind: str, title: str, targets: list[Target], width: int, height: int) -> dict[str, Any]:
    return {
        "type": kind,
        "title": title,
        "datasource": _SOURCE,
        "gridPos": {"w": width, "h": height},
        "targets": [
            {"refId": chr(ord("A") + i), "expr": expression, "legendFormat": legend, "datasource": _SOURCE}
            for i, (expression, legend) in enumerate(targets)
        ],
    }


def _series(title: str, targets: list[Target], unit: str) -> dict[str, Any]:
    panel = _panel("timeseries", title, targets, 8, 8)
    return panel | {"fieldConfig": {"defaults": {"unit": unit, "min": 0}, "overrides": []}}


def _stat(
    title: str,
    targets: list[Target],
    width: int,
    *,
    text: str = "auto",
    unit: str = "short",
    yes_no: bool = False,
) -> dict[str, Any]:
    names = {"0": {"text": "no", "color": "red"}, "1": {"text": "yes", "color": "green"}}
    mappings = [{"type": "value", "options": names}] if yes_no else []
    return _panel("stat", title, targets, width, 4) | {
        "options": {"textMode": text},
        "fieldConfig": {"defaults": {"unit": unit, "mappings": mappings}, "overrides": []},
    }


def _table(title: str, expression: str) -> dict[str, Any]:
    panel = _panel("table", title, [(expression, "")], 8, 8)
    panel["targets"][0] |= {"format": "table", "instant": True}
    hidden = {"excludeByName": {"Time": True, "Value": True}}
    return panel | {"transformations": [{"id": "organize", "options": hidden}]}


def _lay_out(panels: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Left to right, row by row."""
    x = y = row = 0
    for number, panel in enumerate(panels, start=1):
        place = panel["gridPos"]
        if x + place["w"] > _WIDTH:
            x, y, row = 0, y + row, 0
        place |= {"x": x, "y": y}
        panel["id"] = number
        x, row = x + place["w"], max(row, place["h"])
    return panels
