"""What an autoscaler's life does to a service."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.operator.fakes.api_server import ApiServer
from tests.operator.fakes.running import (
    Running,
    condition,
    edit,
    eventually,
    make_service,
    run_operator,
    settle,
)
from tests.operator.fakes.workloads import Workloads
from tests.operator.scaling import SCALED
from vinoserve_operator.kinds import (
    DEPLOYMENT,
    HORIZONTAL_POD_AUTOSCALER,
    INFERENCE_SERVICE,
    POD,
    POD_DISRUPTION_BUDGET,
)

Object = dict[str, Any]


@pytest.fixture
async def operator(workloads: Workloads, kubeconfig: Path) -> AsyncIterator[Running]:
    async with run_operator(workloads) as running:
        yield running


def ready_pods(api: ApiServer) -> int:
    status = api.get(INFERENCE_SERVICE, "default", "resnet").get("status") or {}
    return status.get("readyReplicas") or 0


async def test_the_autoscalers_number_reaches_the_deployment_and_rolls_no_pod(
    api: ApiServer, operator: Running
) -> None:
    api.put(make_service(**SCALED))
    await eventually(lambda: condition(api, "Ready").get("status") == "True", api)
    first = api.gather(POD)
    maps = len([write for write in api.writes if "configmaps" in str(write)])
    edit(api, replicas=5)  # as the HorizontalPodAutoscaler does by way of /scale
    await eventually(lambda: ready_pods(api) == 5, api)
    await settle(operator, api)
    names = {pod["metadata"]["name"] for pod in api.gather(POD)}
    assert {pod["metadata"]["name"] for pod in first} < names
    assert len([write for write in api.writes if "configmaps" in str(write)]) == maps
    status = api.get(INFERENCE_SERVICE, "default", "resnet")["status"]
    assert status["replicas"] == 5
    assert status["selector"] == "app.kubernetes.io/instance=resnet,app.kubernetes.io/name=inferenceservice"


async def test_suspend_takes_the_autoscaler_away_and_resume_goes_on_with_as_many_pods(
    api: ApiServer, operator: Running
) -> None:
    def autoscaler() -> Object | None:
        return api.get(HORIZONTAL_POD_AUTOSCALER, "default", "resnet")

    api.put(make_service(**SCALED, replicas=3))
    await eventually(lambda: ready_pods(api) == 3 and autoscaler(), api)
    edit(api, suspend=True)
    await eventually(lambda: autoscaler() is None and not api.gather(POD), api)
    assert api.get(INFERENCE_SERVICE, "default", "resnet")["spec"]["replicas"] == 3
    edit(api, suspend=False)
    await eventually(lambda: ready_pods(api) == 3 and autoscaler(), api)
    edit(api, autoscaling=None, replicas=1)
    await eventually(
        lambda: autoscaler() is None and not api.get(POD_DISRUPTION_BUDGET, "default", "resnet"), api
    )


async def test_somebody_elses_autoscaler_of_that_name_is_left_alone(
    api: ApiServer, operator: Running
) -> None:
    theirs = {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "resnet", "namespace": "default"},
        "spec": {"maxReplicas": 9},
    }
    api.put(theirs)
    api.put(make_service(**SCALED))
    await eventually(lambda: condition(api, "Accepted").get("status") == "False", api)
    assert "HorizontalPodAutoscaler default/resnet already" in condition(api, "Accepted")["message"]
    assert api.get(HORIZONTAL_POD_AUTOSCALER, "default", "resnet")["spec"] == {"maxReplicas": 9}
    api.delete(HORIZONTAL_POD_AUTOSCALER, "default", "resnet")
    edit(api, targetDevice="CPU")
    await eventually(lambda: api.get(DEPLOYMENT, "default", "resnet"), api)
