"""What the user is told, for what there is: pods, reports, a Deployment, a previous status."""

import json
from dataclasses import replace
from typing import Any

import pytest

from tests.operator.fakes.running import make_service
from tests.operator.fakes.workloads import make_report
from vinoserve_api.conditions import AcceptedReason, FailureReason
from vinoserve_api.contract import RuntimeFailure, make_termination_message
from vinoserve_api.reading import read_service
from vinoserve_operator.kinds import POD
from vinoserve_operator.status.events import make_events
from vinoserve_operator.status.look import Acceptance, Look
from vinoserve_operator.status.pods import PodView
from vinoserve_operator.status.service import make_service_status
from vinoserve_operator.trimming import trim

Object = dict[str, Any]
NOW = "2026-01-01T00:00:00Z"
LATER = "2026-01-01T00:01:00Z"


def make_pod(name: str = "p1", *, config: str = "new", ready: bool = False, **status: Any) -> Object:
    conditions = [{"type": "PodScheduled", "status": "True"}, {"type": "Ready", "status": str(ready)}]
    return {
        "metadata": {
            "name": name,
            "creationTimestamp": "2026-01-01T00:00:00Z",
            "annotations": {"vinoserve.dev/config": config},
        },
        "spec": {"nodeName": "n1"},
        "status": {"phase": "Running", "conditions": conditions, **status},
    }


def fetching(**state: Any) -> Object:
    return {"initContainerStatuses": [{"name": "fetch", "image": "i", **state}]}


def serving(**state: Any) -> Object:
    return {
        "initContainerStatuses": [{"name": "fetch", "state": {"terminated": {"exitCode": 0}}}],
        "containerStatuses": [{"name": "serve", "image": "i", **state}],
    }


def ended(reason: str | None = None, **terminated: Any) -> Object:
    message = json.dumps({"failure": {"reason": reason, "message": "why"}}) if reason else ""
    return {"terminated": {"exitCode": 1, "message": message, "finishedAt": NOW, **terminated}}


def make_deployment(replicas: int = 1, **status: Any) -> Object:
    done = {"observedGeneration": 1, "replicas": 1, "updatedReplicas": 1, "readyReplicas": 1}
    return {"metadata": {"generation": 1}, "spec": {"replicas": replicas}, "status": {**done, **status}}


def look(
    *pods: PodView,
    deployment: Object | None = None,
    previous: Object | None = None,
    acceptance: Acceptance | None = None,
    now: str = NOW,
    **spec: Any,
) -> Look:
    raw = make_service(**spec)
    raw["metadata"].update(uid="u", generation=3)
    raw["status"] = previous or {}
    accepted = acceptance or Acceptance(AcceptedReason.VALID, "the spec is valid", read_service(raw), "new")
    # What the caches keep is all that the operator knows.
    kept = [replace(view, pod=trim(POD, dict(view.pod))) for view in pods]
    return Look(raw, accepted, deployment or make_deployment(), kept, now)


def tell(one: Look) -> dict[str, tuple[str, str]]:
    return {c.type: (c.status, c.reason) for c in make_service_status(one).conditions}


def read_message(one: Look, type_: str = "Ready") -> str:
    return next(c.message for c in make_service_status(one).conditions if c.type == type_)


WAITING = {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off"}}


@pytest.mark.parametrize(
    ("status", "reason", "stuck"),
    [
        ({}, "Pending", False),
        (fetching(state={"running": {}}), "Fetching", False),
        (fetching(state={"waiting": {"reason": "PodInitializing"}}), "Pending", False),
        (fetching(state={"waiting": {"reason": "ErrImagePull", "message": "m"}}), "ImagePullFailed", True),
        (
            fetching(
                state={"waiting": {"reason": "ImagePullBackOff", "message": 'Back-off pulling image "i": m'}}
            ),
            "ImagePullFailed",
            True,
        ),
        (
            fetching(state={"waiting": {"reason": "CreateContainerConfigError", "message": "m"}}),
            "ContainerConfigError",
            True,
        ),
        (fetching(state=WAITING, lastState=ended("DigestMismatch")), "DigestMismatch", True),
        (fetching(state={"running": {}}, lastState=ended("ModelNotFound")), "ModelNotFound", True),
        (fetching(state=ended("FetchFailed")), "FetchFailed", True),
        (serving(state=WAITING, lastState=ended("UnsupportedOperator")), "UnsupportedOperator", True),
        (serving(state=WAITING, lastState=ended(reason=None)), "CrashLoop", True),
        (serving(state=WAITING, lastState=ended("OutOfMemory")), "OutOfMemory", True),
        (serving(state={"running": {}}), "Pending", False),
    ],
)
def test_what_a_pod_is_at(status: Object, reason: str, *, stuck: bool) -> None:
    told = tell(look(PodView(make_pod(**status)), deployment=make_deployment(readyReplicas=0)))
    assert told["Ready"] == ("False", reason)
    assert told["ModelReady"] == ("False", reason)
    assert told["Stalled"][0] == str(stuck)
    assert told["Reconciling"][0] == str(not stuck)


MODEL_IMAGE = "registry.example.com/team/model:v1"


@pytest.mark.parametrize(
    ("waiting", "message", "reason"),
    [
        ("ErrImagePull", f'failed to resolve "{MODEL_IMAGE}": {MODEL_IMAGE}: not found', "ModelNotFound"),
        (
            "ImagePullBackOff",
            f'Back-off pulling image "{MODEL_IMAGE}": ErrImagePull: {MODEL_IMAGE}: not found',
            "ModelNotFound",
        ),
        ("ErrImagePull", f"{MODEL_IMAGE}: 401 Unauthorized", "AccessDenied"),
        ("ErrImagePull", f"{MODEL_IMAGE}: pull access denied, or it is not found", "AccessDenied"),
        (
            "ErrImagePull",
            f'failed to pull and unpack image "{MODEL_IMAGE}": failed to do request: dial tcp: connection refused',
            "FetchFailed",
        ),
        (
            "ErrImagePull",
            f'failed to pull and unpack image "{MODEL_IMAGE}": mismatched image rootfs and manifest layers',
            "ModelInvalid",
        ),
        ("CreateContainerError", "failed to unpack image volume: mismatched image rootfs", "ModelInvalid"),
        ("ImageVolumeMountFailed", "failed to mount image volume", "ModelInvalid"),
        ("ErrImagePull", "i: not found", "ImagePullFailed"),
        ("CreateContainerError", "no such device", "ContainerConfigError"),
    ],
)
def test_the_models_image_is_not_the_containers(waiting: str, message: str, reason: str) -> None:
    pod = make_pod(**fetching(state={"waiting": {"reason": waiting, "message": message}}))
    pod["spec"]["volumes"] = [{"name": "image", "image": {"reference": MODEL_IMAGE}}]
    one = look(PodView(pod), deployment=make_deployment(readyReplicas=0))
    told = tell(one)
    assert told["Ready"] == ("False", reason)
    assert told["ModelReady"] == ("False", reason)
    assert told["Stalled"] == ("True", reason)
    failure = make_service_status(one).failure
    assert failure is not None
    assert (MODEL_IMAGE in failure.message) == (reason not in ("ImagePullFailed", "ContainerConfigError"))


def test_a_lost_device_is_the_devices_fault_and_a_new_start_may_mend_it() -> None:
    report = make_report(failure={"reason": "DeviceLost", "message": "the GPU was reset"})
    pod = PodView(make_pod(**serving(state={"running": {}})), report)
    one = look(pod, deployment=make_deployment(readyReplicas=0))
    told = tell(one)
    assert told["DeviceReady"] == ("False", "DeviceLost")
    assert told["Ready"] == ("False", "DeviceLost")
    assert told["Stalled"][0] == "False"
    assert told["Reconciling"][0] == "True"
    failure = make_service_status(one).failure
    assert failure is not None
    assert failure.message == "the GPU was reset"
    crashed = PodView(make_pod(**serving(state=WAITING, lastState=ended("DeviceLost"))))
    assert tell(look(crashed, deployment=make_deployment(readyReplicas=0))) == told


@pytest.mark.parametrize("reason", ["AccessDenied", "ParityMismatch"])
def test_what_is_wrong_with_the_model_is_not_the_devices_fault(reason: str) -> None:
    where = fetching if reason == "AccessDenied" else serving
    pod = PodView(make_pod(**where(state=WAITING, lastState=ended(reason))))
    told = tell(look(pod, deployment=make_deployment(readyReplicas=0)))
    assert told["ModelReady"] == ("False", reason)
    assert told["DeviceReady"] == ("Unknown", reason)
    assert told["Stalled"] == ("True", reason)


def test_placement_parity_and_revision_are_the_newest_ready_pods() -> None:
    def make(name: str, created: str, operators: int, *, ready: bool = True) -> PodView:
        report = make_report(
            placement=[{"device": "GPU.0", "operators": operators}],
            parity={"passed": True, "samples": 8, "reference": "CPU", "outputs": []},
            model={"uri": "oci://r.example/m:v1", "revision": f"sha256:{operators}"},
        )
        pod = make_pod(name, ready=ready)
        pod["metadata"]["creationTimestamp"] = created
        return PodView(pod, report)

    status = make_service_status(
        look(
            make("old", "2026-01-01T00:00:00Z", 1),
            make("new", "2026-01-01T00:00:01Z", 2),
            make("starting", "2026-01-01T00:00:02Z", 3, ready=False),
        )
    )
    assert [p.operators for p in status.placement] == [2]
    assert status.parity is not None
    assert status.parity.samples == 8
    assert status.model is not None
    assert status.model.revision == "sha256:2"


def test_a_container_that_was_killed_for_memory_says_what_to_raise() -> None:
    killed = {"terminated": {"exitCode": 137, "reason": "OOMKilled", "finishedAt": NOW}}
    status = make_service_status(look(PodView(make_pod(**serving(state=WAITING, lastState=killed)))))
    assert status.failure is not None
    assert status.failure.reason == "OutOfMemory"
    assert "spec.resources.limits.memory" in status.failure.message


@pytest.mark.parametrize(("code", "reason"), [(139, "EngineCrashed"), (137, "CrashLoop")])
def test_a_crash_is_told_from_a_kill(code: int, reason: str) -> None:
    note = RuntimeFailure(reason=FailureReason.ENGINE_CRASHED, message="crashed while compiling")
    gone = ended("EngineCrashed", exitCode=code, message=make_termination_message(note))
    status = make_service_status(look(PodView(make_pod(**serving(state=WAITING, lastState=gone)))))
    assert status.failure is not None
    assert status.failure.reason == reason
    assert ("crashed" in status.failure.message) == (code == 139)


def test_the_schedulers_message_reaches_the_user() -> None:
    pod = make_pod()
    pod["status"]["conditions"] = [
        {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes: no GPU"}
    ]
    one = look(PodView(pod))
    assert tell(one)["Ready"][1] == "Unschedulable"
    assert "0/3 nodes: no GPU" in read_message(one)


@pytest.mark.parametrize(
    ("phase", "reason"), [("Reading", "Reading"), ("Compiling", "Compiling"), ("WarmingUp", "WarmingUp")]
)
def test_a_starting_server_says_what_it_is_at(phase: str, reason: str) -> None:
    report = make_report(phase=phase, executionDevices=[], onRequestedDevice=None)
    pod = make_pod(**serving(state={"running": {}}))
    told = tell(look(PodView(pod, report), deployment=make_deployment(readyReplicas=0)))
    assert told["ModelReady"] == ("False", reason)
    assert told["DeviceReady"] == ("Unknown", reason)


READY = serving(state={"running": {}})


@pytest.mark.parametrize(
    ("target", "policy", "device", "ready"),
    [
        ("AUTO:GPU,CPU", None, ("False", "FellBackToCPU"), ("True", "Ready")),
        ("AUTO:GPU,CPU", "Warn", ("False", "FellBackToCPU"), ("True", "Ready")),
        ("AUTO:GPU,CPU", "Allow", ("True", "FellBackToCPU"), ("True", "Ready")),
        ("AUTO:GPU,CPU", "Fail", ("False", "FellBackToCPU"), ("False", "FellBackToCPU")),
        ("GPU", None, ("False", "FellBackToCPU"), ("False", "FellBackToCPU")),
    ],
)
def test_another_device_than_asked_for(
    target: str, policy: str | None, device: object, ready: object
) -> None:
    report = make_report(targetDevice=target, onRequestedDevice=False)
    spec = {"targetDevice": target} | ({"onFallback": policy} if policy else {})
    one = look(PodView(make_pod(ready=True, **READY), report), **spec)
    told = tell(one)
    assert (told["DeviceReady"], told["Ready"]) == (device, ready)
    assert make_service_status(one).runs_on == "CPU"


def test_why_it_fell_back_is_told_once_and_without_other_warnings() -> None:
    why = "asked for AUTO:GPU,CPU, but it runs on CPU: GPU is not here"
    report = make_report(targetDevice="AUTO:GPU,CPU", onRequestedDevice=False, warnings=["no cache", why])
    one = look(PodView(make_pod(ready=True, **READY), report), targetDevice="AUTO:GPU,CPU")
    assert read_message(one, "DeviceReady") == f"pod p1: {why}"


def test_a_cpu_that_stands_in_is_told_from_a_device_that_is_missing() -> None:
    report = make_report(targetDevice="AUTO:GPU,CPU", executionDevices=["(CPU)"], onRequestedDevice=False)
    one = look(PodView(make_pod(ready=True, **READY), report), targetDevice="AUTO:GPU,CPU")
    assert read_message(one, "DeviceReady") == (
        "pod p1: asked for AUTO:GPU,CPU; the CPU stands in while AUTO compiles for the device that it chose"
    )


def hold_device(pod: Object, health: str) -> Object:
    """As Kubernetes 1.36 tells what a device plugin says of a device that the pod holds."""
    told = {"resourceID": "card0-0", "health": health, "message": "95 degrees"}
    container = pod["status"]["containerStatuses"][0]
    container["allocatedResourcesStatus"] = [{"name": "gpu.intel.com/xe", "resources": [told]}]
    return pod


def test_a_sick_device_is_told_while_the_service_goes_on() -> None:
    report = make_report(targetDevice="GPU", executionDevices=["GPU.0"])
    pods = {
        health: PodView(hold_device(make_pod(ready=True, **serving(state={"running": {}})), health), report)
        for health in ("Healthy", "Unhealthy", "Unknown")
    }
    for health, pod in pods.items():
        one = look(pod, targetDevice="GPU")
        wanted = ("False", "DeviceUnhealthy") if health == "Unhealthy" else ("True", "OnRequestedDevice")
        assert tell(one)["DeviceReady"] == wanted
        assert tell(one)["Ready"] == ("True", "Ready")
    status = make_service_status(look(pods["Unhealthy"], targetDevice="GPU"))
    assert all(
        "pod p1: gpu.intel.com/xe card0-0 (95 degrees) is called unhealthy on node n1" in condition.message
        for condition in status.conditions
        if condition.type in ("DeviceReady", "Ready")
    )
    raw = {"apiVersion": "v", "kind": "k", "metadata": {"name": "n", "uid": "u"}}
    warned = make_events(raw, [], status.conditions, "i", NOW)
    assert ("Warning", "DeviceUnhealthy") in [(event["type"], event["reason"]) for event in warned]


def test_a_failure_on_a_sick_device_names_it() -> None:
    failing = serving(state=WAITING, lastState=ended("InferenceFailed"))
    pod = PodView(hold_device(make_pod(**failing), "Unhealthy"))
    one = look(pod, deployment=make_deployment(readyReplicas=0), targetDevice="GPU")
    assert tell(one)["Ready"] == ("False", "InferenceFailed")
    assert tell(one)["DeviceReady"] == ("False", "DeviceUnhealthy")
    assert "why; gpu.intel.com/xe card0-0" in read_message(one)


def test_a_condition_moves_only_when_its_status_does_and_the_same_look_says_the_same() -> None:
    pod = PodView(make_pod(ready=True, **READY), make_report())
    first = make_service_status(look(pod)).dump()
    assert make_service_status(look(pod, previous=first, now=LATER)).dump() == first
    failed = PodView(make_pod(**serving(state=WAITING, lastState=ended("InvalidShape"))))
    second = make_service_status(look(failed, previous=first, now=LATER))
    times = {c.type: c.last_transition_time for c in second.conditions}
    assert times["Ready"] == LATER
    assert times["Accepted"] == NOW


def test_the_next_crash_of_the_same_kind_changes_nothing() -> None:
    def crash(at: str) -> PodView:
        return PodView(make_pod(**serving(state=WAITING, lastState=ended("InvalidShape", finishedAt=at))))

    first = make_service_status(look(crash(NOW))).dump()
    assert make_service_status(look(crash(LATER), previous=first, now=LATER)).dump() == first


def test_the_unhealthy_pods_are_listed_first_and_twenty_at_most() -> None:
    pods = [PodView(make_pod(f"a{i:02}", ready=True, **READY), make_report()) for i in range(30)]
    status = make_service_status(look(*pods, PodView(make_pod("z"))))
    assert len(status.pods) == 20
    assert status.pods[0].name == "z"


def test_evicted_and_ending_pods_are_not_spoken_of() -> None:
    evicted = make_pod("evicted", phase="Failed")
    ending = make_pod("ending")
    ending["metadata"]["deletionTimestamp"] = NOW
    healthy = PodView(make_pod("ok", ready=True, **READY), make_report())
    status = make_service_status(look(PodView(evicted), PodView(ending), healthy))
    assert [pod.name for pod in status.pods] == ["ok"]
    assert tell(look(PodView(evicted), PodView(ending), healthy))["Ready"] == ("True", "Ready")


def test_auto_that_sees_only_the_cpu_says_how_to_give_it_more() -> None:
    report = make_report(targetDevice="AUTO")
    one = look(PodView(make_pod(ready=True, **READY), report), targetDevice="AUTO")
    assert "spec.accelerators" in read_message(one, "DeviceReady")


def test_each_transition_makes_one_event_and_none_is_made_twice() -> None:
    one = look(PodView(make_pod(**serving(state=WAITING, lastState=ended("DigestMismatch")))))
    raw, status = dict(one.raw), make_service_status(one)
    events = make_events(raw, (), status.conditions, "me", NOW)
    assert [(e["action"], e["reason"], e["type"]) for e in events] == [
        ("Accepted", "Valid", "Normal"),
        ("ModelReady", "DigestMismatch", "Warning"),
    ]
    assert make_events(raw, (), status.conditions, "me", NOW)[0]["metadata"] == events[0]["metadata"]
    later = make_events(raw, (), status.conditions, "me", LATER)
    assert max(e["metadata"]["name"] for e in events) < min(e["metadata"]["name"] for e in later), (
        "kubectl describe lists them by name"
    )
    assert make_events(raw, status.dump()["conditions"], status.conditions, "me", NOW) == []
    served = [{"type": type_, "status": "True", "reason": "Ready"} for type_ in ("ModelReady", "Ready")]
    assert [(e["action"], e["reason"]) for e in make_events(raw, served, status.conditions, "me", NOW)] == [
        ("Accepted", "Valid"),
        ("Ready", "DigestMismatch"),
    ], "one for what isn't served any more, not two"


@pytest.mark.parametrize("reason", [FailureReason.DEVICE_NOT_FOUND, FailureReason.PERMISSION_DENIED])
def test_a_device_that_cannot_be_had_is_the_devices_fault(reason: FailureReason) -> None:
    told = tell(
        look(PodView(make_pod(**serving(state=WAITING, lastState=ended(reason)))), targetDevice="GPU")
    )
    assert told["DeviceReady"] == ("False", reason)
    assert told["Ready"] == ("False", reason)
