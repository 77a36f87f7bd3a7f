"""The rights that the operator uses are the rights that the chart gives: no more, no less."""

import re
from pathlib import Path

import pytest

from tests.operator.fakes.api_server import ApiError, ApiServer
from tests.operator.fakes.running import (
    condition,
    eventually,
    make_class,
    make_dra_class,
    make_service,
    run_operator,
    settle,
)
from tests.operator.fakes.workloads import Workloads
from vinoserve_operator.kinds import (
    HORIZONTAL_POD_AUTOSCALER,
    INFERENCE_SERVICE,
    JOB,
    POD,
    RESOURCE_CLAIM_TEMPLATE,
)

ROLES = Path(__file__).parents[2] / "charts/vinoserve/templates/rbac.yaml"
RULE = re.compile(
    r"- apiGroups: \[(?P<groups>[^\]]*)\]\s+resources: \[(?P<resources>[^\]]*)\]\s+"
    r"(?:resourceNames:.*?)?verbs: \[(?P<verbs>[^\]]*)\]",
    re.DOTALL,
)

PAST = "2026-01-01T00:00:00Z"
CACHE = {"compiled": {"type": "PersistentVolumeClaim", "claimName": "cache"}}

OTHERS = {
    # of the init container, which applies the AcceleratorClasses that the chart brings
    *((verb, "vinoserve.dev", "acceleratorclasses") for verb in ("get", "create", "patch")),
    # asked for by an admission plugin (OwnerReferencesPermissionEnforcement) of who sets blockOwnerDeletion
    ("update", "vinoserve.dev", "inferenceservices/finalizers"),
}


def split(text: str) -> list[str]:
    return [part.strip().strip('"') for part in text.split(",")]


def granted() -> set[tuple[str, str, str]]:
    return {
        (verb, group, resource)
        for rule in RULE.finditer(ROLES.read_text())
        for group in split(rule["groups"])
        for resource in split(rule["resources"])
        for verb in split(rule["verbs"])
    }


class ConflictOnce:
    """Whatever is applied for the first time is answered as if somebody's was there already."""

    def __init__(self) -> None:
        self._seen: set[str] = set()

    def __call__(self, method: str, path: str) -> ApiError | None:
        if method != "PATCH" or path in self._seen:
            return None
        self._seen.add(path)
        return ApiError(409, "the object has been modified")


@pytest.fixture
async def used(api: ApiServer, workloads: Workloads, kubeconfig: Path) -> set[tuple[str, str, str]]:
    """What a life takes: made, edited, fallen out with, deleted; and a new operator."""
    api.faults.refuse = ConflictOnce()
    for _ in range(2):
        async with run_operator(workloads) as operator:
            api.put(make_class())
            api.put(make_service(targetDevice="GPU"))
            await eventually(lambda: condition(api, "Ready").get("status") == "True", api)
            found = api.get(INFERENCE_SERVICE, "default", "resnet")
            averaged = {"type": "AverageValue", "averageValue": "500m"}
            metric = {"type": "Resource", "resource": {"name": "cpu", "target": averaged}}
            scaled = {"maxReplicas": 2, "metrics": [metric]}
            api.put({**found, "spec": {**found["spec"], "autoscaling": scaled}})
            await eventually(lambda: bool(api.gather(HORIZONTAL_POD_AUTOSCALER)), api)
            api.put({**found, "spec": {**found["spec"], "hints": {"performanceMode": "LATENCY"}}})
            await eventually(lambda: ("list", "apps", "replicasets") in api.verbs, api)
            api.put({"kind": "Node", "apiVersion": "v1", "metadata": {"name": "node-1"}, "status": {}})
            api.put({"kind": "DeviceClass", "metadata": {"name": "gpu.intel.com"}, "spec": {}})
            api.put(make_dra_class("by-dra", default=False))
            claiming = [{"class": "by-dra", "count": 1}]
            api.put(make_service("claiming", targetDevice="GPU", accelerators=claiming))
            await eventually(lambda: condition(api, "Ready", "claiming").get("status") == "True", api)
            api.put(make_service("claiming"))
            await eventually(lambda: not api.gather(RESOURCE_CLAIM_TEMPLATE), api)
            compiled = {"precompile": True, "cache": CACHE}
            api.put(make_service("compiled", **compiled))
            (first,) = await eventually(lambda: api.gather(JOB), api)
            api.put(make_service("compiled", **compiled, hints={"performanceMode": "LATENCY"}))
            await eventually(lambda old=first: api.gather(JOB) and old not in api.gather(JOB), api)
            (pod,) = [p for p in api.gather(POD) if p["metadata"]["name"].startswith("resnet-")]
            waits = [
                {"type": "PodScheduled", "status": "True"},
                {"type": "PodReadyToStartContainers", "status": "False", "lastTransitionTime": PAST},
            ]
            api.put({**pod, "metadata": dict(pod["metadata"]), "status": {"conditions": waits}})
            await eventually(lambda: ("list", "events.k8s.io", "events") in api.verbs, api)
            await settle(operator, api)
        for name in ("resnet", "claiming", "compiled"):
            api.delete(INFERENCE_SERVICE, "default", name)
    return set(api.verbs)


def test_nothing_is_granted_by_wildcard_and_secrets_are_not_read() -> None:
    assert not [right for right in granted() if "*" in right or right[2] == "secrets"]


def test_what_is_used_is_granted_and_what_is_granted_is_used(used: set[tuple[str, str, str]]) -> None:
    made = {
        # Server-side apply of a new object is a creation to the authorizer.
        ("create", group, resource)
        for verb, group, resource in used
        if verb == "patch" and not resource.endswith("/status")
    }
    assert used | made == granted() - OTHERS
