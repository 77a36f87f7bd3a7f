"""What the chart has for Prometheus and Grafana: off by default, and about the pods that there are."""

import json
from pathlib import Path

import pytest
import yaml

from tests.chart.conftest import CHART, Render, pick

GOLDEN = Path(__file__).parents[1] / "golden/cpu.output.yaml"


def test_off_by_default(render: Render) -> None:
    made = render()
    assert not [d for d in made if d["kind"] == "PodMonitor" or d["metadata"]["name"].endswith("-dashboard")]


def test_the_pod_monitor_finds_what_the_operator_renders(render: Render) -> None:
    monitor = pick(render("metrics.podMonitor=true"), "PodMonitor", "vinoserve-models")["spec"]
    (deployment,) = (d for d in yaml.safe_load_all(GOLDEN.read_text()) if d["kind"] == "Deployment")
    pod = deployment["spec"]["template"]
    assert monitor["selector"]["matchLabels"].items() <= pod["metadata"]["labels"].items()
    names = {port["name"] for port in pod["spec"]["containers"][0]["ports"]}
    assert {endpoint["port"] for endpoint in monitor["podMetricsEndpoints"]} <= names
    assert monitor["namespaceSelector"] == {"any": True}


@pytest.mark.parametrize("namespaces", [["a"], ["a", "b"]])
def test_the_pod_monitor_stays_where_the_operator_does(render: Render, namespaces: list[str]) -> None:
    made = render("metrics.podMonitor=true", f"watchNamespaces={json.dumps(namespaces)}")
    assert pick(made, "PodMonitor", "vinoserve-models")["spec"]["namespaceSelector"] == {
        "matchNames": namespaces
    }


def test_the_dashboard_is_the_one_of_the_repository(render: Render) -> None:
    config_map = pick(render("metrics.dashboard=true"), "ConfigMap", "vinoserve-dashboard")
    assert config_map["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert config_map["data"]["vinoserve-models.json"] == (CHART / "dashboards/models.json").read_text()
