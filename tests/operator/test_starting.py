"""Pods that their nodes don't start: what the kubelet's events say of it is told within seconds, and without many questions."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.operator.fakes.api_server import ApiServer
from tests.operator.fakes.running import Running, condition, eventually, make_service, run_operator, settle
from tests.operator.fakes.workloads import Workloads
from tests.operator.test_status import look, make_deployment, make_pod, read_message, tell
from vinoserve_operator.errors import RejectedError
from vinoserve_operator.kinds import INFERENCE_SERVICE, POD, Ref
from vinoserve_operator.status.diagnosis import Diagnosis
from vinoserve_operator.status.pods import PodView
from vinoserve_operator.status.starting import diagnose_start
from vinoserve_operator.waits import Waits, read_warning

Object = dict[str, Any]

NOW = "2026-01-01T00:00:00Z"
SOON = "2026-01-01T00:00:03Z"
LATER = "2026-01-01T00:01:00Z"
NO_SECRET = 'MountVolume.SetUp failed for volume "credentials" : secret "s3-reader" not found'
GAVE_UP = (
    "Unable to attach or mount volumes: unmounted volumes=[credentials]: timed out waiting for the condition"
)
ELSEWHERE = 'Multi-Attach error for volume "pvc-1" Volume is already used by pod(s) other-1'
TRY = "0123456789abcdef" * 4
NO_NETWORK = f'Failed to create pod sandbox: rpc error: failed to setup network for sandbox "{TRY}": plugin type="calico" failed'
NO_DRIVER = "Failed to prepare dynamic resources: DRA driver gpu.intel.com is not registered"


def warn(reason: str, note: str, time: str = NOW, **fields: Any) -> Object:
    """As the kubelet writes it and events.k8s.io/v1 shows it."""
    return {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {"name": f"{reason}.{hash(note)}", "creationTimestamp": NOW},
        "eventTime": None,
        "deprecatedLastTimestamp": time,
        "type": "Warning",
        "reason": reason,
        "note": note,
        **fields,
    }


def diagnose(events: list[Object]) -> Diagnosis | None:
    return diagnose_start([read_warning(event) for event in events])


def make_waiting(since: str = NOW, **spec: Any) -> Object:
    pod = make_pod()
    pod["metadata"]["uid"] = "uid-1"
    pod["spec"].update(spec)
    pod["status"]["conditions"].append(
        {"type": "PodReadyToStartContainers", "status": "False", "lastTransitionTime": since}
    )
    return pod


CREDENTIALS = [{"name": "credentials", "secret": {"secretName": "s3-reader"}}]


class Answers:
    """In the place of the API server."""

    def __init__(self, *events: Object) -> None:
        self.events = list(events)
        self.asked: list[tuple[str, str]] = []
        self.refuses = False

    async def gather_warnings(self, namespace: str, uid: str) -> list[Object]:
        self.asked.append((namespace, uid))
        if self.refuses:
            raise RejectedError("events is forbidden")
        return self.events


SERVICE = Ref(INFERENCE_SERVICE, "default", "resnet")


@pytest.mark.parametrize(
    ("event", "reason", "stuck", "text"),
    [
        (warn("FailedMount", NO_SECRET), "VolumeNotReady", True, NO_SECRET),
        (warn("FailedMount", GAVE_UP), "VolumeNotReady", False, "unmounted volumes=[credentials]"),
        (warn("FailedAttachVolume", ELSEWHERE), "VolumeNotReady", False, ELSEWHERE),
        (warn("FailedCreatePodSandBox", NO_NETWORK), "SandboxFailed", True, 'plugin type="calico" failed'),
        (warn("NetworkNotReady", "network is not ready: cni"), "SandboxFailed", True, "cni"),
        (warn("FailedPrepareDynamicResources", NO_DRIVER), "DeviceNotPrepared", True, NO_DRIVER),
    ],
)
async def test_what_a_node_says_is_the_reason(event: Object, reason: str, *, stuck: bool, text: str) -> None:
    (pod,), again = await Waits(Answers(event)).explain(SERVICE, [PodView(make_waiting())], SOON)  # type: ignore[arg-type]
    one = look(pod, deployment=make_deployment(readyReplicas=0))
    assert tell(one)["Ready"] == ("False", reason)
    assert tell(one)["Stalled"][0] == str(stuck)
    assert text in read_message(one)
    assert again is not None
    assert again <= 5


async def test_the_device_is_at_fault_where_it_is_not_handed_out() -> None:
    event = warn("FailedPrepareDynamicResources", NO_DRIVER)
    (pod,), _ = await Waits(Answers(event)).explain(SERVICE, [PodView(make_waiting())], SOON)  # type: ignore[arg-type]
    one = look(pod, deployment=make_deployment(readyReplicas=0))
    assert tell(one)["DeviceReady"] == ("False", "DeviceNotPrepared")


def test_each_try_tells_the_same() -> None:
    again = NO_NETWORK.replace(TRY, "f" * 64)
    first, second = (diagnose([warn("FailedCreatePodSandBox", text)]) for text in (NO_NETWORK, again))
    assert first == second


def test_what_is_missing_is_told_together_and_what_has_passed_is_not() -> None:
    events = [
        warn("FailedMount", 'secret "b" not found', "2026-01-01T01:00:00Z"),
        warn("FailedMount", 'configmap "a" not found', "2026-01-01T01:01:00Z"),
        warn("FailedMount", GAVE_UP, "2026-01-01T01:02:00Z"),
        warn("FailedMount", 'secret "c" not found', "2026-01-01T00:50:00Z"),
        warn("Unhealthy", "Startup probe failed", "2026-01-01T01:02:00Z"),
    ]
    found = diagnose(events)
    assert found is not None
    assert 'configmap "a" not found; secret "b" not found;' in found.message
    assert found == diagnose(events[::-1])
    for other in ('secret "c"', "timed out", "probe"):
        assert other not in found.message


def test_a_series_counts_by_its_last_occurrence() -> None:
    series = {"count": 9, "lastObservedTime": "2026-01-01T03:00:00.000000Z"}
    events = [
        warn("FailedMount", "old", "2026-01-01T01:00:00Z"),
        warn(
            "NetworkNotReady",
            "new",
            deprecatedLastTimestamp=None,
            eventTime="2026-01-01T00:30:00.5Z",
            series=series,
        ),
    ]
    found = diagnose(events)
    assert found is not None
    assert "new" in found.message


async def test_pods_that_start_as_usual_are_not_asked_about() -> None:
    api = Answers(warn("FailedMount", NO_SECRET))
    waits = Waits(api)  # type: ignore[arg-type]
    assert (await waits.explain(SERVICE, [PodView(make_pod())], LATER))[1] is None
    (pod,), again = await waits.explain(SERVICE, [PodView(make_waiting())], NOW)
    assert (pod.heard, again, api.asked) == (None, 2.0, [])
    deleted = make_waiting()
    deleted["metadata"]["deletionTimestamp"] = NOW
    assert (await waits.explain(SERVICE, [PodView(deleted)], LATER))[1] is None
    assert api.asked == []


async def test_one_that_waits_is_asked_about_now_and_then_however_often_it_is_looked_at() -> None:
    api = Answers(warn("FailedMount", NO_SECRET))
    waits = Waits(api)  # type: ignore[arg-type]
    pods = [(await waits.explain(SERVICE, [PodView(make_waiting())], SOON))[0][0] for _ in range(10)]
    assert api.asked == [("default", "uid-1")]
    assert {pod.heard for pod in pods} == {diagnose(api.events)}


async def test_without_events_it_is_told_late_what_must_be_there() -> None:
    api = Answers()
    api.refuses = True
    view = PodView(make_waiting(volumes=CREDENTIALS))
    (pod,), _ = await Waits(api).explain(SERVICE, [view], SOON)  # type: ignore[arg-type]
    assert tell(look(pod, deployment=make_deployment(readyReplicas=0)))["Ready"] == ("False", "Pending")
    (pod,), _ = await Waits(api).explain(SERVICE, [view], LATER)  # type: ignore[arg-type]
    told = look(pod, deployment=make_deployment(readyReplicas=0))
    assert tell(told)["Ready"] == ("False", "VolumeNotReady")
    assert tell(told)["Reconciling"][0] == "True"
    assert "see that Secret s3-reader is there" in read_message(told)
    (pod,), _ = await Waits(api).explain(SERVICE, [PodView(make_waiting())], LATER)  # type: ignore[arg-type]
    assert tell(look(pod, deployment=make_deployment(readyReplicas=0)))["Ready"] == ("False", "Pending")


TOO_MUCH = "Pod ephemeral local storage usage exceeds the total limit of containers 4Ki. "


async def test_a_pod_that_was_evicted_and_ended_well_says_so() -> None:
    """All that the kubelet leaves of it is an event."""
    api = Answers(warn("Unhealthy", "Startup probe failed"), warn("Evicted", TOO_MUCH, SOON))
    waits = Waits(api)  # type: ignore[arg-type]
    ended = make_pod("ended", phase="Succeeded")
    ended["metadata"]["uid"] = "uid-1"
    for _ in range(3):
        pods, again = await waits.explain(SERVICE, [PodView(ended), PodView(make_pod("next"))], LATER)
        assert again is None
    assert len(api.asked) == 1
    one = look(*pods, deployment=make_deployment(readyReplicas=0))
    assert tell(one)["Ready"] == ("False", "Evicted")
    message = read_message(one)
    assert "pod ended: " in message
    assert "exceeds the total limit of containers 4Ki" in message


async def test_one_that_another_has_replaced_is_not_asked_about() -> None:
    api = Answers(warn("Evicted", TOO_MUCH))
    ended, ready = make_pod("ended", phase="Succeeded"), make_pod("next", ready=True)
    ended["metadata"]["uid"] = "uid-1"
    ready["metadata"]["creationTimestamp"] = LATER
    assert (await Waits(api).explain(SERVICE, [PodView(ended), PodView(ready)], LATER))[1] is None  # type: ignore[arg-type]
    assert api.asked == []


@pytest.fixture
async def operator(api: ApiServer, workloads: Workloads, kubeconfig: Path) -> AsyncIterator[Running]:
    workloads.ready = False
    async with run_operator(workloads) as running:
        yield running


async def test_a_missing_secret_is_told_and_nothing_is_written_while_it_stays(
    api: ApiServer, operator: Running
) -> None:
    api.put(make_service())
    (pod,) = await eventually(lambda: api.gather(POD), api)
    conditions = [
        {"type": "PodScheduled", "status": "True"},
        {"type": "PodReadyToStartContainers", "status": "False", "lastTransitionTime": NOW},
    ]
    regarding = {"kind": "Pod", "uid": pod["metadata"]["uid"]}
    api.put(warn("FailedMount", NO_SECRET, regarding=regarding))
    api.put(warn("FailedMount", "of another pod", LATER, regarding={"kind": "Pod", "uid": "other"}))
    api.put(
        {**pod, "metadata": dict(pod["metadata"]), "status": {"phase": "Pending", "conditions": conditions}}
    )
    told = await eventually(lambda: condition(api, "Ready").get("reason") == "VolumeNotReady", api)
    assert told
    assert NO_SECRET in condition(api, "Ready")["message"]
    await settle(operator, api)
    writes, lists = len(api.writes), api.verbs["list", "events.k8s.io", "events"]
    await eventually(lambda: api.verbs["list", "events.k8s.io", "events"] > lists + 1, api)
    assert len(api.writes) == writes
