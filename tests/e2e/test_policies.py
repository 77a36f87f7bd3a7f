"""The chart's policies on the API server: which namespaces may use an AcceleratorClass, and what reaches what."""

import json
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.allowed_namespaces import CASES, LABELS
from tests.cluster_fixture import DevCluster
from tests.e2e.conftest import CHART, SYSTEM
from tests.e2e.waiting import wait_until

pytestmark = pytest.mark.cluster

Object = dict[str, Any]
DEFAULT = {"vinoserve.dev/is-default-class": "true"}

#: Runs in the cluster's network, once for all documents: entering it takes longer than an answer.
ASK_ALL = """
import json, subprocess, sys
def ask(document):
    done = subprocess.run(["kubectl", "create", "--dry-run=server", "-f", "-"], input=json.dumps(document), capture_output=True, text=True)
    return done.returncode == 0, done.stdout + done.stderr
json.dump([ask(document) for document in json.load(sys.stdin)], sys.stdout)
"""


def make_class(name: str, allowed: Object | None, *, default: bool = False, type_: str = "NPU") -> Object:
    """A class of NPUs, which nothing else here asks for."""
    spec: Object = {"deviceType": type_, "devicePlugin": {"resourceName": "npu.intel.com/accel"}}
    metadata = {"name": name, "labels": {"test": "allowed"}, "annotations": DEFAULT if default else {}}
    return {
        "apiVersion": "vinoserve.dev/v1alpha1",
        "kind": "AcceleratorClass",
        "metadata": metadata,
        "spec": spec | ({"allowedNamespaces": allowed} if allowed is not None else {}),
    }


def make_service(namespace: str, **spec: Any) -> Object:
    return {
        "apiVersion": "vinoserve.dev/v1alpha1",
        "kind": "InferenceService",
        "metadata": {"name": "asking", "namespace": namespace},
        "spec": {"model": {"uri": "pvc://models/x.onnx"}, "suspend": True, **spec},
    }


def apply(cluster: DevCluster, *documents: Object) -> None:
    wrapped = {"apiVersion": "v1", "kind": "List", "items": documents}
    cluster.kubectl("apply", "-f", "-", input=json.dumps(wrapped))


@pytest.fixture
def make_namespace(installed: DevCluster) -> Iterator[Callable[..., str]]:
    made = []

    def make(name: str, **labels: str) -> str:
        apply(
            installed,
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}},
        )
        made.append(name)
        return name

    yield make
    installed.kubectl("delete", "acceleratorclass", "-l", "test=allowed")
    if made:
        installed.kubectl("delete", "namespace", *made, "--wait=false")


@pytest.fixture
def ask(installed: DevCluster) -> Callable[..., list[tuple[bool, str]]]:
    """Whether each would be admitted, and what the API server says."""

    def run(*documents: Object) -> list[tuple[bool, str]]:
        done = installed.run(sys.executable, "-c", ASK_ALL, input=json.dumps(documents), timeout=300)
        return [(admitted, text) for admitted, text in json.loads(done.stdout)]

    return run


def test_the_policy_is_sound(installed: DevCluster) -> None:
    """The API server has checked the expressions against the schemas of both kinds."""

    def checked() -> Object:
        found: Object = installed.get("validatingadmissionpolicy", "vinoserve-allowed-namespaces")
        return found.get("status", {})

    wait_until(lambda: "observedGeneration" in checked(), "the policy was looked at", 60)
    assert checked().get("typeChecking", {}) == {}


def test_it_says_the_same_as_the_operator(
    installed: DevCluster, make_namespace: Callable[..., str], ask: Callable[..., list[tuple[bool, str]]]
) -> None:
    asking = make_namespace("default-asking", **LABELS)
    renamed = json.loads(json.dumps(CASES).replace('"default"', f'"{asking}"'))
    classes = [make_class(f"case-{i}", allowed) for i, (allowed, _) in enumerate(renamed)]
    apply(installed, *classes)
    services = [make_service(asking, accelerators=[{"class": f"case-{i}"}]) for i in range(len(CASES))]
    expected = [may for _, may in CASES]
    answers: list[tuple[bool, str]] = []

    def agree() -> bool:
        answers[:] = ask(*services)  # the policy gets to know new classes by a watch
        return [admitted for admitted, _ in answers] == expected

    wait_until(
        agree, "policy and operator agree", 60, lambda: json.dumps(list(zip(renamed, answers, strict=True)))
    )
    assert all("is not for namespace default-asking" in text for admitted, text in answers if not admitted)


def test_default_classes_are_judged_where_none_is_named(
    installed: DevCluster, make_namespace: Callable[..., str], ask: Callable[..., list[tuple[bool, str]]]
) -> None:
    inside, outside = make_namespace("inside"), make_namespace("outside")
    apply(installed, make_class("guarded", {"names": [inside]}, default=True))
    wait_until(
        lambda: not ask(make_service(outside, targetDevice="NPU"))[0][0], "the policy knows the class", 60
    )
    targets = {"NPU": False, "HETERO:NPU,CPU": False, "AUTO:CPU,NPU": False, "CPU": True, "AUTO": True, "AUTO:-NPU": True}  # fmt: skip
    answers = ask(*(make_service(outside, targetDevice=target) for target in targets))
    assert dict(zip(targets, (admitted for admitted, _ in answers), strict=True)) == targets
    assert all(a for a, _ in ask(*(make_service(inside, targetDevice=target) for target in targets)))
    assert ask(make_service(outside, targetDevice="NPU", accelerators=[]))[0][0]


def test_what_was_there_before_a_class_was_closed_is_told_and_can_still_be_changed(
    installed: DevCluster, make_namespace: Callable[..., str]
) -> None:
    team = make_namespace("early-team")
    apply(installed, make_class("closing", None))
    apply(installed, make_service(team, accelerators=[{"class": "closing"}]))

    def accepted() -> Object:
        conditions = installed.get("vis", "asking", "-n", team).get("status", {}).get("conditions", [])
        return next((c for c in conditions if c["type"] == "Accepted"), {})

    wait_until(lambda: accepted().get("status") == "True", "it is accepted", 120, lambda: str(accepted()))
    apply(installed, make_class("closing", {"selector": {"matchLabels": {"gpu": "yes"}}}))
    wait_until(lambda: accepted().get("status") == "False", "the operator refuses it", 120)
    assert accepted()["reason"] == "NamespaceNotAllowed"
    assert "namespaces with the labels gpu=yes" in accepted()["message"]
    installed.kubectl("scale", "vis/asking", "-n", team, "--replicas=2")
    installed.kubectl("label", "vis/asking", "-n", team, "edited=yes")
    patch = json.dumps({"spec": {"targetDevice": "NPU"}})
    refused = installed.kubectl("patch", "vis/asking", "-n", team, "--type=merge", "-p", patch, check=False)
    assert "AcceleratorClass closing is not for namespace early-team" in refused.stderr

    installed.kubectl("label", "namespace", team, "gpu=yes")
    wait_until(
        lambda: accepted().get("status") == "True", "the label lets it in", 120, lambda: str(accepted())
    )


def test_the_api_server_takes_the_network_policies(
    installed: DevCluster, make_namespace: Callable[..., str]
) -> None:
    team = make_namespace("policy-team")
    values = {
        "networkPolicy": {
            "enabled": True,
            "apiServer": {"cidrs": ["10.99.0.1/32"]},
            "monitoring": [
                {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}
            ],
            "models": {"namespaces": [team], "egress": [{"ports": [{"port": 443, "protocol": "TCP"}]}]},
        }
    }
    rendered = installed.helm(
        "template", "vinoserve", CHART, "-n", SYSTEM, "-s", "templates/networkpolicies.yaml", "-f", "-",
        input=json.dumps(values),
    ).stdout  # fmt: skip
    done = installed.kubectl("apply", "--dry-run=server", "--validate=strict", "-f", "-", input=rendered)
    assert done.stdout.count("networkpolicy.networking.k8s.io/") == 2
