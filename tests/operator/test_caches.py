"""Where compiled models are kept, and that a released pod is told of."""

from typing import Any

import pytest

from tests.operator.fakes.running import make_class
from tests.operator.fakes.workloads import make_report
from tests.operator.test_desired import make, make_inventory, pod_of
from tests.operator.test_status import LATER, NOW, look, make_pod, serving
from vinoserve_api.v1alpha1 import InferenceServiceStatus
from vinoserve_operator.errors import NotRenderableError
from vinoserve_operator.status.events import make_events
from vinoserve_operator.status.pods import PodView
from vinoserve_operator.status.service import make_service_status

ON_HOST = {"compiled": {"type": "HostPath"}}
GPU = {"targetDevice": "GPU", "cache": ON_HOST}


def test_on_the_host_each_service_has_a_folder_of_its_own() -> None:
    pod = pod_of(make(make_inventory(make_class(hostPathCache="/var/cache/vinoserve")), **GPU))
    (volume,) = (volume for volume in pod["volumes"] if volume["name"] == "cache")
    assert volume["hostPath"] == {"path": "/var/cache/vinoserve", "type": "DirectoryOrCreate"}
    (mount,) = (mount for mount in pod["containers"][0]["volumeMounts"] if mount["name"] == "cache")
    assert mount == {"name": "cache", "mountPath": "/cache", "subPath": "default/resnet"}
    assert "cache" not in {mount["name"] for mount in pod["initContainers"][0]["volumeMounts"]}
    assert pod["securityContext"]["runAsGroup"] == 65532


@pytest.mark.parametrize(
    ("classes", "spec", "message"),
    [
        ([], {"cache": ON_HOST}, "this service has none; take a PersistentVolumeClaim or EmptyDir"),
        ([{}], GPU, "AcceleratorClass intel-gpu doesn't allow HostPath"),
        (
            [{"hostPathCache": "/a"}, {"name": "npu", "deviceType": "NPU", "hostPathCache": "/b"}],
            {"targetDevice": "HETERO:GPU,NPU", "onFallback": "Warn", "cache": ON_HOST}
            | {"accelerators": [{"class": "intel-gpu"}, {"class": "npu"}]},
            "different folders for it (intel-gpu: /a, npu: /b)",
        ),
    ],
)
def test_where_it_is_not_allowed_it_is_refused_with_what_to_do(
    classes: list[dict[str, Any]], spec: dict[str, Any], message: str
) -> None:
    with pytest.raises(NotRenderableError) as error:
        make(make_inventory(*(make_class(**one) for one in classes)), **spec)
    assert error.value.reason == "HostPathNotAllowed"
    assert "spec.cache.compiled.type: " in str(error.value)
    assert message in str(error.value)


def test_what_a_pod_warns_of_is_in_the_status() -> None:
    warning = "compiled without a cache: /cache: Permission denied"
    view = PodView(make_pod(ready=True), make_report(warnings=[warning]))
    assert make_service_status(look(view)).warnings == (warning,)


# --- idle

RELEASED = "2025-12-31T23:00:00Z"


def status_of(
    *released_at: str | None, previous: dict[str, Any] | None = None, now: str = NOW
) -> InferenceServiceStatus:
    """Of a service whose ready pods say so."""
    pods = [
        PodView(
            make_pod(f"p{i}", ready=True, **serving(state={"running": {}})),
            make_report(phase="Idle" if time else "Ready", idle={"releasedAt": time}),
        )
        for i, time in enumerate(released_at)
    ]
    deployment = {
        "metadata": {"generation": 1},
        "spec": {"replicas": len(pods)},
        "status": {"observedGeneration": 1}
        | dict.fromkeys(("replicas", "updatedReplicas", "readyReplicas", "availableReplicas"), len(pods)),
    }
    idle = {"releaseAfterSeconds": 60}
    return make_service_status(
        look(*pods, deployment=deployment, replicas=len(pods), idle=idle, previous=previous, now=now)
    )


def said(status: InferenceServiceStatus) -> dict[str, tuple[str, str, str]]:
    return {c.type: (c.status, c.reason, c.message) for c in status.conditions}


def test_a_released_pod_is_ready_and_the_status_says_since_when_it_rests() -> None:
    status = status_of(RELEASED)
    conditions = said(status)
    assert conditions["Ready"][:2] == conditions["ModelReady"][:2] == ("True", "Idle")
    assert conditions["DeviceReady"][:2] == ("True", "OnRequestedDevice")
    for type_ in ("Ready", "ModelReady", "DeviceReady"):
        assert RELEASED in conditions[type_][2]
    assert status.pods[0].released_at == RELEASED
    assert status.execution_devices == ("CPU",)
    assert conditions["Reconciling"][0] == conditions["Stalled"][0] == "False"


def test_while_one_pod_is_loaded_the_service_is_not_idle() -> None:
    status = status_of(RELEASED, None)
    assert said(status)["Ready"][:2] == ("True", "Ready")
    assert [pod.released_at for pod in status.pods] == [RELEASED, None]


def test_rest_is_no_event_and_an_unchanged_rest_no_write() -> None:
    busy = status_of(None)
    idle = status_of(RELEASED, previous=busy.dump(), now=LATER)
    raw = {"apiVersion": "v", "kind": "k", "metadata": {"name": "n", "namespace": "d", "uid": "u"}}
    for before, after in ((busy, idle), (idle, busy)):
        assert make_events(raw, before.dump()["conditions"], after.conditions, "i", LATER) == []
    assert status_of(RELEASED, previous=idle.dump(), now="2026-01-01T01:00:00Z") == idle
