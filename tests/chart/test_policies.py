"""NetworkPolicies and the admission policy: about the pods and the kinds that there are."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.chart.conftest import Render, pick
from vinoserve_api.contract import ADMIN_PORT, GRPC_PORT, HTTP_PORT

GOLDEN = Path(__file__).parents[1] / "golden/cpu.output.yaml"
MONITORING = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}


def ports(rules: list[dict[str, Any]]) -> list[list[int]]:
    return [[port["port"] for port in rule["ports"]] for rule in rules]


def models(render: Render, *values: str) -> dict[str, Any]:
    on = ("networkPolicy.enabled=true", 'networkPolicy.models.namespaces=["team-a"]')
    spec: dict[str, Any] = pick(render(*on, *values), "NetworkPolicy", "vinoserve-models")["spec"]
    return spec


def test_no_network_policy_by_default(render: Render) -> None:
    assert "NetworkPolicy" not in {d["kind"] for d in render()}


def test_the_operator_reaches_names_the_api_server_and_reports_and_is_asked_for_metrics(
    render: Render,
) -> None:
    made = render("networkPolicy.enabled=true")
    spec = pick(made, "NetworkPolicy")["spec"]
    pod = pick(made, "Deployment")["spec"]["template"]
    assert spec["podSelector"]["matchLabels"].items() <= pod["metadata"]["labels"].items()
    assert spec["policyTypes"] == ["Ingress", "Egress"]
    assert ports(spec["ingress"]) == [
        [port["containerPort"] for port in pod["spec"]["containers"][0]["ports"]]
    ]
    assert ports(spec["egress"]) == [[53, 53], [443, 6443], [ADMIN_PORT]]
    assert "to" not in spec["egress"][1]
    (to,) = spec["egress"][2]["to"]
    assert to["namespaceSelector"] == {}
    (deployment,) = (d for d in yaml.safe_load_all(GOLDEN.read_text()) if d["kind"] == "Deployment")
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert to["podSelector"]["matchLabels"].items() <= labels.items()


def test_networks_and_namespaces_narrow_it(render: Render) -> None:
    made = render(
        "networkPolicy.enabled=true", 'networkPolicy.apiServer={"cidrs":["10.0.0.1/32"],"ports":[6443]}',
        f"networkPolicy.monitoring={json.dumps([MONITORING])}", 'watchNamespaces=["a","b"]',
    )  # fmt: skip
    spec = pick(made, "NetworkPolicy")["spec"]
    assert spec["ingress"][0]["from"] == [MONITORING]
    assert spec["egress"][1]["to"] == [{"ipBlock": {"cidr": "10.0.0.1/32"}}]
    (expression,) = spec["egress"][2]["to"][0]["namespaceSelector"]["matchExpressions"]
    assert expression["values"] == ["a", "b"]
    placed = [d["metadata"]["namespace"] for d in made if d["metadata"]["name"] == "vinoserve-models"]
    assert placed == ["a", "b"]


def test_models_are_asked_by_their_neighbours_and_reported_on_to_the_operator(render: Render) -> None:
    spec = models(render, f"networkPolicy.monitoring={json.dumps([MONITORING])}")
    assert ports(spec["ingress"]) == [[HTTP_PORT, GRPC_PORT], [ADMIN_PORT]]
    assert spec["ingress"][0]["from"] == [{"podSelector": {}}]
    operator, monitoring = spec["ingress"][1]["from"]
    assert operator["namespaceSelector"]["matchLabels"] == {"kubernetes.io/metadata.name": "vinoserve-system"}
    assert operator["podSelector"]["matchLabels"]["app.kubernetes.io/name"] == "vinoserve-operator"
    assert monitoring == MONITORING
    assert spec["policyTypes"] == ["Ingress"]
    assert "egress" not in spec


@pytest.mark.parametrize(
    ("egress", "expected"), [([], [[53, 53]]), ([{"ports": [{"port": 443}]}], [[53, 53], [443]])]
)
def test_models_reach_what_the_admin_lists(render: Render, egress: list[Any], expected: list[Any]) -> None:
    spec = models(render, f"networkPolicy.models.egress={json.dumps(egress)}")
    assert spec["policyTypes"] == ["Ingress", "Egress"]
    assert ports(spec["egress"]) == expected


def test_the_admission_policy_asks_each_class_about_services_where_the_operator_is(render: Render) -> None:
    made = render('watchNamespaces=["a"]')
    policy = pick(made, "ValidatingAdmissionPolicy", "vinoserve-allowed-namespaces")["spec"]
    assert policy["paramKind"] == {"apiVersion": "vinoserve.dev/v1alpha1", "kind": "AcceleratorClass"}
    binding = pick(made, "ValidatingAdmissionPolicyBinding", "vinoserve-allowed-namespaces")["spec"]
    assert binding["policyName"] == "vinoserve-allowed-namespaces"
    assert binding["paramRef"] == {"selector": {}, "parameterNotFoundAction": "Allow"}
    (expression,) = binding["matchResources"]["namespaceSelector"]["matchExpressions"]
    assert expression["values"] == ["a"]
    assert "ValidatingAdmissionPolicy" not in {d["kind"] for d in render("admission.enabled=false")}
