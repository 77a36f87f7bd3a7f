"""When nothing has to be written: what the API server makes of our objects still holds."""

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.operator.fakes.running import make_service
from vinoserve_api.reading import read_service
from vinoserve_operator.desired.children import make_children
from vinoserve_operator.desired.devices import Inventory
from vinoserve_operator.plan import holds, make_plan

Object = dict[str, Any]


def make_deployment(**spec: Any) -> Object:
    raw = make_service(**spec)
    raw["metadata"]["uid"] = "1"
    return make_children(read_service(raw), Inventory(), image="example.com/runtime:1").deployment


def as_served(made: Object) -> Object:
    """With what an API server and others add."""
    served = copy.deepcopy(made)
    served["metadata"].update(
        uid="2", resourceVersion="7", annotations={**made["metadata"]["annotations"], "a": "b"}
    )
    container = served["spec"]["template"]["spec"]["containers"][0]
    container.update(terminationMessagePath="/dev/termination-log", terminationMessagePolicy="File")
    container["startupProbe"]["successThreshold"] = 1
    container.setdefault("resources", {})
    served["spec"]["template"]["spec"]["containers"].append({"name": "sidecar", "image": "x"})
    served["status"] = {"replicas": 1}
    return served


def test_what_the_api_server_and_others_add_is_no_difference() -> None:
    made = make_deployment(resources={"limits": {"cpu": "1000m", "memory": "2048Mi"}})
    served = as_served(made)
    served["spec"]["template"]["spec"]["containers"][0]["resources"] = {
        "limits": {"cpu": "1", "memory": "2Gi"}
    }
    assert make_plan([made], [served]) == []


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d["spec"].update(replicas=9),
        lambda d: d["spec"]["template"]["spec"]["containers"][0].update(image="evil"),
        lambda d: d["spec"]["template"]["spec"]["volumes"].pop(),
        lambda d: d["metadata"].update(ownerReferences=[]),
        lambda d: d["metadata"]["annotations"].clear(),
    ],
)
def test_a_change_of_what_is_ours_is_a_difference(change: Any) -> None:
    made = make_deployment()
    served = as_served(made)
    change(served)
    assert make_plan([made], [served]) == [made]


def test_a_field_that_is_rendered_no_more_is_a_difference() -> None:
    served = as_served(make_deployment(podTemplate={"priorityClassName": "high"}))
    made = make_deployment()
    assert make_plan([made], [served]) == [made]


def test_what_is_missing_is_made() -> None:
    made = make_deployment()
    assert make_plan([made], []) == [made]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=10,
)


@given(JSON)
def test_everything_holds_in_itself(value: Any) -> None:
    assert holds(value, value)
