"""What autoscaling, replicas and rollouts make of a service's children."""

from typing import Any

import pytest

from tests.operator.scaling import CPU, QUEUE, SCALED
from tests.operator.test_desired import make
from vinoserve_operator.desired.children import Children
from vinoserve_operator.plan import is_settled

Object = dict[str, Any]


def extras(children: Children) -> dict[str, Object]:
    return {extra["kind"]: extra["spec"] for extra in children.extras}


def test_the_autoscaler_scales_the_service_and_never_the_deployment() -> None:
    spec = extras(make(**SCALED))["HorizontalPodAutoscaler"]
    assert spec["scaleTargetRef"] == {
        "apiVersion": "vinoserve.dev/v1alpha1",
        "kind": "InferenceService",
        "name": "resnet",
    }
    assert (spec["minReplicas"], spec["maxReplicas"]) == (2, 6)
    assert spec["metrics"][0] == CPU
    assert "behavior" not in spec


def test_what_the_api_server_makes_of_it_is_not_written_again() -> None:
    """It fills in defaults, and gives quantities back as text."""
    behavior = {"scaleDown": {"stabilizationWindowSeconds": 60}}
    children = make(**SCALED | {"autoscaling": {**SCALED["autoscaling"], "behavior": behavior}})
    wanted = next(e for e in children.extras if e["kind"] == "HorizontalPodAutoscaler")
    spec = wanted["spec"]
    queue = {**QUEUE["pods"], "target": {"type": "AverageValue", "averageValue": "4"}}  # type: ignore[dict-item]
    policies = [{"type": "Percent", "value": 100, "periodSeconds": 15}]
    present = {
        **wanted,
        "spec": {
            **spec,
            "metrics": [CPU, {**QUEUE, "pods": queue}],
            "behavior": {
                "scaleDown": {
                    **spec["behavior"]["scaleDown"],
                    "selectPolicy": "Max",
                    "policies": policies,
                }
            },
        },
        "status": {"currentReplicas": 2},
    }
    assert is_settled(wanted, present)


def test_a_suspended_service_has_no_autoscaler() -> None:
    assert "HorizontalPodAutoscaler" not in extras(make(**SCALED, suspend=True))


@pytest.mark.parametrize(
    ("spec", "guarded"),
    [({}, False), ({"replicas": 2}, True), (SCALED, True), ({**SCALED, "suspend": True}, True)],
)
def test_what_may_have_two_pods_is_drained_one_by_one(spec: Object, guarded: bool) -> None:
    """Also while there is but one: the budget doesn't come and go with the load."""
    assert ("PodDisruptionBudget" in extras(make(**spec))) == guarded


@pytest.mark.parametrize(
    "spec",
    [
        {"replicas": 7},
        {"replicas": 0},
        {"suspend": True},
        {"rollout": {"strategy": "Recreate", "minReadySeconds": 5}},
        {"autoscaling": SCALED["autoscaling"]},
    ],
    ids=str,
)
def test_how_many_and_how_they_come_leaves_the_pods_and_their_config_as_they_are(spec: Object) -> None:
    """Nothing is compiled anew, and no pod is replaced."""
    plain, changed = make(resources=SCALED["resources"]), make(resources=SCALED["resources"], **spec)
    assert changed.deployment["spec"]["template"] == plain.deployment["spec"]["template"]
    assert changed.config_map == plain.config_map


def test_a_new_pod_proves_itself_before_the_next_old_one_goes() -> None:
    spec = make(rollout={"minReadySeconds": 30}).deployment["spec"]
    assert spec["minReadySeconds"] == 30
    assert spec["progressDeadlineSeconds"] > make().deployment["spec"]["progressDeadlineSeconds"]
