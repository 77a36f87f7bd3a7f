"""Restricted Pod Security on all that is rendered: only host paths, which an admin opts into, leave it, and by no more than they must."""

from typing import Any

import pytest

from tests.operator.test_injection import CLASSES, SPECS, make_class, make_document
from tests.pod_security import find_violations
from vinoserve_api.reading import read_class, read_service
from vinoserve_operator.desired.children import make_children
from vinoserve_operator.desired.devices import Inventory

Object = dict[str, Any]

WAYS = {
    "none": [],
    "device plugin": [{"class": "plugin", "count": 2}],
    "claims": [{"class": "claims"}],
    "host paths": [{"class": "paths"}],
    "plugin and claims": [{"class": "plugin"}, {"class": "claims"}],
}


def gather_pods(name: str, **spec: Any) -> list[Object]:
    """The specs of all pods that the service calls for: of its Deployment, and of Jobs."""
    service = make_document(name)
    service["spec"] |= spec
    classes = {name: read_class(make_class(name, of)) for name, of in CLASSES.items()}
    children = make_children(read_service(service), Inventory(classes, namespaces={}), image="runtime:1")
    made = [child for child in children if child["kind"] in ("Deployment", "Job")]
    if children.precompile is not None:
        made.append(children.precompile.job)
    return [child["spec"]["template"]["spec"] for child in made]


@pytest.mark.parametrize("precompile", [False, True])
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", [name for name in SPECS if name not in ("auto", "folder")])
def test_every_spec_by_every_way_to_a_device(name: str, way: str, *, precompile: bool) -> None:
    spec: Object = {"targetDevice": "HETERO:GPU,CPU" if name == "everything" else "GPU"} if WAYS[way] else {}
    spec |= {"accelerators": WAYS[way], "uncheckedProperties": {}}
    if precompile:
        spec["precompile"] = True
        spec["cache"] = {"compiled": {"type": "PersistentVolumeClaim", "claimName": "claim"}}
    pods = gather_pods(name, **spec)
    assert len(pods) >= 1 + precompile
    for pod in pods:
        assert pod["automountServiceAccountToken"] is False
        violations = find_violations(pod)
        if way == "host paths":
            assert all(
                "hostPath" in v or "privileged" in v or "allowPrivilegeEscalation" in v for v in violations
            )
        else:
            assert violations == []
