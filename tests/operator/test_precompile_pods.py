"""What ails the pods of a Job that precompiles, and what the cluster knows beyond them."""

from dataclasses import replace
from typing import Any

import pytest

from tests.operator.test_starting import Answers, warn
from tests.operator.test_status import look, make_pod, read_message, tell
from vinoserve_operator.kinds import INFERENCE_SERVICE, Ref
from vinoserve_operator.status.diagnosis import Diagnosis
from vinoserve_operator.status.look import Look
from vinoserve_operator.status.pods import PodView
from vinoserve_operator.status.precompile import Precompiling
from vinoserve_operator.status.refusals import diagnose_refusal
from vinoserve_operator.waits import Waits, read_warning

Object = dict[str, Any]

JOB_NAME = "resnet-compile-0123456789ab"
OVER_QUOTA = "exceeded quota: gpus, requested: requests.gpu.intel.com/xe=1, used: requests.gpu.intel.com/xe=1, limited: requests.gpu.intel.com/xe=1"
SERVICE = Ref(INFERENCE_SERVICE, "default", "resnet")


def refuse(note: str, time: str = "2026-01-01T00:00:01Z", **fields: Any) -> Object:
    """As the Job controller writes it."""
    return warn("FailedCreate", f"Error creating: {note}", time, **fields)


def hear(*events: Object, job: str = JOB_NAME) -> Diagnosis | None:
    return diagnose_refusal([read_warning(event) for event in events], job, since=0)


@pytest.mark.parametrize(
    ("note", "reason"),
    [
        (f'pods "{JOB_NAME}-x7k2p" is forbidden: {OVER_QUOTA}', "QuotaExceeded"),
        (f'pods "{JOB_NAME}-x7k2p" is forbidden: violates PodSecurity "restricted:latest"', "PodsForbidden"),
        ('admission webhook "policy.example.com" denied the request: no', "PodsForbidden"),
    ],
)
def test_a_refusal_is_told_in_the_refusers_words_and_each_try_tells_the_same(note: str, reason: str) -> None:
    found = hear(refuse(note))
    assert found is not None
    assert (found.reason, found.stuck) == (reason, True)
    assert found.message == f"the API server refuses the pods: {note.replace('x7k2p', '*')}"
    for again in (note.replace("x7k2p", "9bcdf"), note.replace("x7k2p", "zzzzz")):
        assert hear(refuse(note), refuse(again, "2026-01-01T00:00:09Z")) == found
    similar = warn("FailedCreate", f"(combined from similar events): Error creating: {note}")
    assert hear(similar) == found
    assert hear(warn("BackoffLimitExceeded", "Job has reached the specified backoff limit")) is None


def test_a_long_jobs_pods_have_shorter_names() -> None:
    name = f"{'a' * 40}-compile-0123456789ab"
    first, second = (
        hear(refuse(f'pods "{name[:58]}{x}" is forbidden: no'), job=name) for x in ("bcdfg", "xxxxx")
    )
    assert first == second
    assert first is not None


def make_job(*pods: PodView, uid: str = "job-1", **fields: Any) -> Precompiling:
    metadata = {"name": JOB_NAME, "uid": uid, "creationTimestamp": "2026-01-01T00:00:00Z"}
    return Precompiling({"metadata": metadata, "spec": {}, **fields}, pods)


async def explain(waits: Waits, job: Precompiling | None, time: str) -> tuple[Diagnosis | None, float | None]:
    explained, again = await waits.explain_job(SERVICE, job, f"2026-01-01T00:{time}Z")
    return explained.heard if explained else None, again


async def test_a_job_without_a_pod_is_asked_about_now_and_then_and_only_while_it_has_none() -> None:
    api = Answers(refuse(OVER_QUOTA))
    waits = Waits(api)  # type: ignore[arg-type]
    assert await explain(waits, make_job(), "00:00") == (None, 2.0)
    assert api.asked == [], "most have one within a moment"
    for _ in range(5):
        found, again = await explain(waits, make_job(), "00:03")
        assert found == hear(*api.events)
        assert again is not None
        assert again <= 5
    assert api.asked == [("default", "job-1")]

    failed = {"conditions": [{"type": "Failed", "status": "True"}]}
    for other in (make_job(TRYING), make_job(COMPILED), make_job(status=failed), None):
        assert await explain(waits, other, "30:00") == (None, None)
    assert len(api.asked) == 1
    assert (await explain(waits, make_job(uid="job-2"), "30:10"))[0] is not None
    assert api.asked[1:] == [("default", "job-2")], "another Job has its own"


async def test_what_was_refused_before_a_pod_was_made_has_passed() -> None:
    api = Answers(refuse(OVER_QUOTA))
    waits = Waits(api)  # type: ignore[arg-type]
    assert (await explain(waits, make_job(), "00:03"))[0] is not None
    await explain(waits, make_job(TRYING), "20:00")
    assert await explain(waits, make_job(EVICTED), "20:01") == (None, 1.0)
    assert (await explain(waits, make_job(EVICTED), "20:03"))[0] is None
    api.events.append(refuse(OVER_QUOTA, "2026-01-01T00:20:05Z"))
    waits.forget(SERVICE)
    assert (await explain(waits, make_job(EVICTED), "20:06"))[0] is not None


def test_a_try_that_is_refused_says_so_whatever_ended_the_one_before() -> None:
    job = replace(make_job(EVICTED), heard=hear(refuse(OVER_QUOTA)))
    assert job.diagnose(keep, serving=False).reason == "QuotaExceeded"


def test_where_devices_are_exclusive_the_quota_may_be_held_by_the_pods_that_serve() -> None:
    job = replace(make_job(), heard=hear(refuse(OVER_QUOTA)), exclusive=True)
    assert "the quota counts the pods that serve, too" in job.diagnose(keep, serving=True).message
    assert "the pods that serve" not in job.diagnose(keep, serving=False).message


# --- one try after the other


def try_once(name: str, created: str, **status: Any) -> PodView:
    metadata = {"name": name, "creationTimestamp": f"2026-01-01T00:00:0{created}Z"}
    return PodView({"metadata": metadata, "spec": {}, "status": status})


OUT_OF_MEMORY = try_once(
    "a",
    "1",
    phase="Failed",
    containerStatuses=[
        {"name": "serve", "state": {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}},
    ],
)
EVICTED = try_once("b", "2", phase="Failed", reason="Evicted", message="low on resource: memory")
TRYING = try_once("c", "3", phase="Pending")
COMPILED = try_once("d", "4", phase="Succeeded")


@pytest.mark.parametrize(
    ("pods", "reason"),
    [
        ([TRYING], "Precompiling"),
        ([OUT_OF_MEMORY], "OutOfMemory"),
        ([OUT_OF_MEMORY, TRYING], "OutOfMemory"),
        ([OUT_OF_MEMORY, TRYING, COMPILED], "Precompiling"),
        ([EVICTED], "Evicted"),
        ([EVICTED, TRYING], "Precompiling"),
    ],
)
def test_a_new_try_does_not_undo_that_the_one_before_failed(pods: list[PodView], reason: str) -> None:
    job = {"metadata": {"name": "resnet-compile-1"}, "spec": {}}
    assert Precompiling(job, pods).diagnose(keep, serving=True).reason == reason


# --- what the cluster knows beyond the Job's pod


def keep(_: PodView, found: Diagnosis) -> Diagnosis:
    """Where nothing is known beyond the pod."""
    return found


def make_look(pod: PodView, **known: Any) -> Look:
    return replace(look(), deployment=None, precompiling=make_job(pod), **known)


def test_a_node_of_which_nothing_is_heard_is_named() -> None:
    running = try_once("a", "1", phase="Running")
    running = replace(running, pod={**running.pod, "spec": {"nodeName": "node7"}})
    one = make_look(running, lost_nodes=frozenset({"node7"}))
    assert tell(one)["Ready"] == ("False", "NodeLost")
    assert "node7" in read_message(one)


UNSCHEDULED = try_once(
    "a",
    "1",
    phase="Pending",
    conditions=[
        {
            "type": "PodScheduled",
            "status": "False",
            "reason": "Unschedulable",
            "message": "0/1 nodes are available: 1 Insufficient gpu.intel.com/xe.",
        }
    ],
)


def test_a_job_that_no_node_takes_says_why_as_a_replica_does() -> None:
    one = make_look(UNSCHEDULED)
    assert tell(one)["Ready"] == ("False", "Unschedulable")
    assert "no accelerator of its class is free" in read_message(one)
    trouble = "AcceleratorClass intel-gpu: no node offers gpu.intel.com/xe"
    assert trouble in read_message(make_look(UNSCHEDULED, class_troubles=(trouble,)))


def test_a_job_waits_for_the_device_of_a_pod_that_ends() -> None:
    ending = make_pod("old")
    ending["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    one = make_look(UNSCHEDULED, pods=(PodView(ending),))
    assert tell(one)["Ready"] == ("False", "Precompiling")
    assert "pod old holds until it has ended" in read_message(one)
