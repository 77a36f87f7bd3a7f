"""What Grafana dashboards are made of."""

import json
from collections.abc import Sequence
from typing import Any, Final

_WIDTH: Final = 24

Panel = dict[str, Any]
Target = tuple[str, str]
"""A query, and the legend of its series."""

SOURCE: Final = {"type": "prometheus", "uid": "$datasource"}
_DATASOURCE: Final = {
    "name": "datasource",
    "type": "datasource",
    "query": "prometheus",
    "label": "Data source",
}
RATE: Final = "[$__rate_interval]"


def make_json(uid: str, title: str, panels: Sequence[Panel], variables: Sequence[dict[str, Any]] = ()) -> str:
    """The dashboard's file."""
    dashboard = {
        "uid": uid,
        "title": title,
        "tags": ["vinoserve", "openvino"],
        "schemaVersion": 39,
        "refresh": "30s",
        "time": {"from": "now-1h", "to": "now"},
        "templating": {"list": [_DATASOURCE, *variables]},
        "panels": _lay_out(panels),
    }
    return json.dumps(dashboard, indent=2) + "\n"


def make_series(title: str, targets: Sequence[Target], unit: str) -> Panel:
    panel = _make_panel("timeseries", title, targets, 8, 8)
    return panel | {"fieldConfig": {"defaults": {"unit": unit, "min": 0}, "overrides": []}}


def make_stat(
    title: str,
    targets: Sequence[Target],
    width: int,
    *,
    text: str = "auto",
    unit: str = "short",
    yes_no: bool = False,
) -> Panel:
    names = {"0": {"text": "no", "color": "red"}, "1": {"text": "yes", "color": "green"}}
    mappings = [{"type": "value", "options": names}] if yes_no else []
    return _make_panel("stat", title, targets, width, 4) | {
        "options": {"textMode": text},
        "fieldConfig": {"defaults": {"unit": unit, "mappings": mappings}, "overrides": []},
    }


def make_table(title: str, expression: str) -> Panel:
    panel = _make_panel("table", title, [(expression, "")], 8, 8)
    panel["targets"][0] |= {"format": "table", "instant": True}
    hidden = {"excludeByName": {"Time": True, "Value": True}}
    return panel | {"transformations": [{"id": "organize", "options": hidden}]}


def _make_panel(kind: str, title: str, targets: Sequence[Target], width: int, height: int) -> Panel:
    return {
        "type": kind,
        "title": title,
        "datasource": SOURCE,
        "gridPos": {"w": width, "h": height},
        "targets": [
            {"refId": chr(ord("A") + i), "expr": expression, "legendFormat": legend, "datasource": SOURCE}
            for i, (expression, legend) in enumerate(targets)
        ],
    }


def _lay_out(panels: Sequence[Panel]) -> list[Panel]:
    """Left to right, row by row."""
    x = y = row = 0
    for number, panel in enumerate(panels, start=1):
        place = panel["gridPos"]
        if x + place["w"] > _WIDTH:
            x, y, row = 0, y + row, 0
        place |= {"x": x, "y": y}
        panel["id"] = number
        x, row = x + place["w"], max(row, place["h"])
    return list(panels)
