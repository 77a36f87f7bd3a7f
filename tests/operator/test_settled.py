"""When a service's children need not be rendered again, and when they must."""

import copy
from typing import Any

import pytest

from vinoserve_operator.kinds import INFERENCE_SERVICE, Ref
from vinoserve_operator.settled import Settled, make_basis

Object = dict[str, Any]
REF = Ref(INFERENCE_SERVICE, "default", "resnet")


def make_world() -> tuple[Object, list[Object]]:
    service = {"metadata": {"uid": "1", "generation": 3}}
    deployment = {
        "metadata": {"uid": "2", "generation": 5, "resourceVersion": "70", "labels": {"a": "b"}},
        "status": {"replicas": 0},
    }
    config_map = {"metadata": {"uid": "3", "resourceVersion": "71"}}
    return service, [deployment, config_map]


def test_what_controllers_note_on_a_child_calls_for_nothing() -> None:
    service, (deployment, config_map) = make_world()
    settled = Settled()
    settled.note(REF, make_basis(service, 1, [deployment, config_map]), "digest")
    deployment["status"]["replicas"] = 1
    deployment["metadata"]["annotations"] = {"deployment.kubernetes.io/revision": "1"}
    deployment["metadata"]["resourceVersion"] = "90"
    assert settled.find_config(REF, make_basis(service, 1, [config_map, deployment])) == "digest"


@pytest.mark.parametrize(
    ("which", "field", "value"),
    [
        (0, "generation", 6),
        (0, "uid", "9"),
        (0, "labels", {"a": "c"}),
        (0, "annotations", {"vinoserve.dev/rendered": "x"}),
        (0, "ownerReferences", [{"uid": "9"}]),
        (1, "resourceVersion", "72"),
    ],
)
def test_whatever_an_apply_would_set_does(which: int, field: str, value: object) -> None:
    service, children = make_world()
    settled = Settled()
    settled.note(REF, make_basis(service, 1, copy.deepcopy(children)), "digest")
    children[which]["metadata"][field] = value
    assert settled.find_config(REF, make_basis(service, 1, children)) is None


def test_an_edit_another_inventory_and_a_missing_child_do() -> None:
    service, children = make_world()
    settled = Settled()
    settled.note(REF, make_basis(service, 1, children), "digest")
    assert settled.find_config(REF, make_basis(service, 2, children)) is None
    assert settled.find_config(REF, make_basis(service, 1, children[1:])) is None
    service["metadata"]["generation"] = 4
    assert settled.find_config(REF, make_basis(service, 1, children)) is None
