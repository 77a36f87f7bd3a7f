"""What the chart has for Prometheus and Grafana: off by default, and about the pods that there are."""

import json
from pathlib import Path

import pytest
import yaml

from tests.chart.conftest import CHART, Render, pick

GOLDEN = Path(__file__).parents[1] / "golden/cpu.output.yaml"
RUNBOOKS = CHART.parents[1] / "docs/runbooks"


def test_off_by_default(render: Render) -> None:
    made = render()
    assert not [d for d in made if "monitoring.coreos.com" in d["apiVersion"]]
    assert not [d for d in made if d["metadata"]["name"].endswith("-dashboard")]


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


def test_the_dashboards_are_those_of_the_repository(render: Render) -> None:
    config_map = pick(render("metrics.dashboard=true"), "ConfigMap", "vinoserve-dashboard")
    assert config_map["metadata"]["labels"]["grafana_dashboard"] == "1"
    for name in ("models", "operator"):
        assert config_map["data"][f"vinoserve-{name}.json"] == (CHART / f"dashboards/{name}.json").read_text()


def test_the_service_monitor_finds_the_operators_service(render: Render) -> None:
    made = render("metrics.service=false", "metrics.serviceMonitor=true")  # which brings the Service along
    monitor = pick(made, "ServiceMonitor")["spec"]
    service = pick(made, "Service", "vinoserve-metrics")
    assert monitor["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    assert [endpoint["port"] for endpoint in monitor["endpoints"]] == [
        port["name"] for port in service["spec"]["ports"]
    ]
    assert "namespaceSelector" not in monitor  # its own


def test_monitors_and_rules_carry_the_labels_that_prometheus_selects_by(render: Render) -> None:
    on = ("metrics.serviceMonitor=true", "metrics.podMonitor=true", "metrics.rules=true")
    made = [d for d in render(*on, 'metrics.monitorLabels={"release":"p"}') if "coreos" in d["apiVersion"]]
    assert sorted(d["kind"] for d in made) == ["PodMonitor", "PrometheusRule", "ServiceMonitor"]
    assert all(d["metadata"]["labels"]["release"] == "p" for d in made)


def test_each_alert_has_a_runbook_of_its_own_and_links_to_it(render: Render) -> None:
    def alerts(*values: str) -> dict[str, str]:
        groups = pick(render("metrics.rules=true", *values), "PrometheusRule")["spec"]["groups"]
        rules = [rule for group in groups for rule in group["rules"]]
        return {rule["alert"]: rule["annotations"]["runbook_url"] for rule in rules}

    pages = {path.stem: path.read_text() for path in RUNBOOKS.glob("*.md")}
    assert alerts() == {name: f"docs/runbooks/{name}.md" for name in pages}
    for name, page in pages.items():
        headings = [line for line in page.splitlines() if line.startswith("#")]
        assert headings == [f"# {name}", "## Meaning", "## What to look at", "## What to do"], name
    there = alerts('metrics.runbooks="https://wiki.example.com/"')
    assert there["VinoserveFellBack"] == "https://wiki.example.com/VinoserveFellBack.md"
