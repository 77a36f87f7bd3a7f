"""New pods wait for the Job that compiles their model; old ones go on serving."""

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
    is_ready_now,
    make_class,
    make_service,
    run_operator,
    settle,
)
from tests.operator.fakes.workloads import Workloads
from tests.operator.test_desired import make, make_inventory
from tests.operator.test_precompile_pods import OVER_QUOTA, refuse
from tests.pod_security import find_violations
from vinoserve_api.conditions import FailureReason
from vinoserve_api.contract import RuntimeFailure, make_termination_message
from vinoserve_operator.desired.children import Children
from vinoserve_operator.desired.names import COMPILED_ANNOTATION
from vinoserve_operator.kinds import DEPLOYMENT, INFERENCE_SERVICE, JOB, POD
from vinoserve_operator.plan import find_superfluous, hold_back

Object = dict[str, Any]

CACHE: Object = {"compiled": {"type": "PersistentVolumeClaim", "claimName": "cache"}}
MODEL = {"uri": "https://example.com/m.onnx"}
COMPLETE: Object = {"status": {"conditions": [{"type": "Complete", "status": "True"}]}}


def make_compiled(**spec: Any) -> Children:
    given = {"precompile": True, "cache": CACHE, **spec}
    gpu = make_class(exclusive=spec.pop("exclusive", True))
    return make(make_inventory(gpu), **given)


def key_of(children: Children) -> str:
    assert children.precompile is not None
    return children.precompile.key


def job_of(children: Children) -> Object:
    assert children.precompile is not None
    return children.precompile.job


# --- what is compiled


@pytest.mark.parametrize(
    "spec",
    [
        {"replicas": 4},
        {"limits": {"requestTimeoutSeconds": 5}},
        {"resources": {"limits": {"memory": "2Gi"}}},
        {"warmup": {"requests": 9}},
        {"idle": {"releaseAfterSeconds": 60}},
        {"model": {**MODEL, "name": "another", "version": "2"}},
        {"podTemplate": {"labels": {"team": "a"}, "tolerations": [{"operator": "Exists"}]}},
        {"cache": {"compiled": {**CACHE["compiled"], "sizeLimit": "9Gi"}}},
    ],
    ids=lambda spec: next(iter(spec)),
)
def test_what_makes_no_other_compiled_model_needs_no_job(spec: Object) -> None:
    assert key_of(make_compiled(**spec)) == key_of(make_compiled())


@pytest.mark.parametrize(
    "spec",
    [
        {"model": {"uri": "https://example.com/n.onnx"}},
        {"model": {**MODEL, "digest": "sha256:" + "a" * 64}},
        {"model": {**MODEL, "inputs": [{"name": "x", "shape": [1, 4]}]}},
        {"targetDevice": "GPU"},
        {"hints": {"performanceMode": "THROUGHPUT"}},
        {"properties": {"CPU": {"INFERENCE_NUM_THREADS": 2}}},
        {"podTemplate": {"image": "example.com/runtime:2"}},
        {"podTemplate": {"nodeSelector": {"gpu": "b580"}}},
        {"cache": {"compiled": {**CACHE["compiled"], "claimName": "other"}}},
    ],
    ids=str,
)
def test_what_makes_another_compiled_model_needs_one(spec: Object) -> None:
    assert key_of(make_compiled(**spec)) != key_of(make_compiled())


def test_the_job_is_a_model_pod_that_nothing_takes_for_one() -> None:
    spread = {"maxSkew": 1, "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "DoNotSchedule"}
    children = make_compiled(targetDevice="GPU", podTemplate={"topologySpreadConstraints": [spread]})
    template = job_of(children)["spec"]["template"]
    model = children.deployment["spec"]["template"]
    assert "topologySpreadConstraints" in model["spec"]
    assert "topologySpreadConstraints" not in template["spec"], "a node full of replicas may compile"
    selector = children.deployment["spec"]["selector"]["matchLabels"]
    assert not selector.items() <= template["metadata"]["labels"].items()
    assert find_violations(template["spec"]) == []
    (serve,), (served,) = template["spec"]["containers"], model["spec"]["containers"]
    assert serve["command"] == [*served["command"], "--precompile"]
    for field in ("image", "resources", "securityContext", "volumeMounts"):
        assert serve[field] == served[field]
    for field in ("volumes", "securityContext", "initContainers"):
        assert template["spec"][field] == model["spec"][field]
    assert not {"ports", "readinessProbe", "startupProbe", "livenessProbe"} & serve.keys()


def test_its_name_is_a_labels_value_and_another_jobs_is_another() -> None:
    raw = make_service("a" * 63, precompile=True, cache=CACHE)
    raw["metadata"]["uid"] = "1"
    small, large = (make_compiled(resources={"limits": {"memory": m}}) for m in ("1Gi", "2Gi"))
    assert job_of(small)["metadata"]["name"] != job_of(large)["metadata"]["name"]
    assert len(job_of(small)["metadata"]["name"]) <= 63


# --- what may be applied now


def deployment(children: Children, replicas: int = 1, key: str | None = None) -> Object:
    annotations = {COMPILED_ANNOTATION: key} if key else {}
    spec = {**children.deployment["spec"], "replicas": replicas}
    return {**children.deployment, "metadata": {"annotations": annotations}, "spec": spec}


def kinds(children: Children) -> list[str]:
    return [child["kind"] for child in children if child["kind"] in ("Job", "Deployment")]


def test_the_first_pods_wait_for_the_job() -> None:
    wanted = make_compiled()
    assert kinds(hold_back(wanted, None, None)) == ["Job"]
    assert kinds(hold_back(wanted, None, {"status": {}})) == ["Job"]
    done = hold_back(wanted, None, COMPLETE)
    assert kinds(done) == ["Deployment"]
    assert done.deployment["metadata"]["annotations"][COMPILED_ANNOTATION] == key_of(wanted)


def test_a_new_template_waits_and_what_runs_already_does_not() -> None:
    old, new = make_compiled(), make_compiled(hints={"performanceMode": "THROUGHPUT"})
    assert kinds(hold_back(new, deployment(old), None)) == ["Job"]
    assert kinds(hold_back(new, deployment(new), None)) == ["Deployment"]
    assert kinds(hold_back(new, deployment(new, replicas=0), None)) == ["Job"]
    assert kinds(hold_back(new, deployment(old, key=key_of(new)), None)) == ["Deployment"]


def test_where_no_pod_is_wanted_nothing_is_compiled() -> None:
    for spec in ({"suspend": True}, {"replicas": 0}):
        held = hold_back(make_compiled(**spec), None, None)
        assert kinds(held) == ["Deployment"]
        assert COMPILED_ANNOTATION not in held.deployment["metadata"]["annotations"]


def test_old_pods_that_shall_go_first_and_hold_exclusive_devices_are_not_waited_for() -> None:
    gpu = {"targetDevice": "GPU", "rollout": {"strategy": "Recreate"}}
    old, new = make_compiled(**gpu), make_compiled(**gpu, hints={"performanceMode": "THROUGHPUT"})
    assert kinds(hold_back(new, deployment(old), None)) == ["Deployment"]
    assert kinds(hold_back(new, None, None)) == ["Job"], "at first the devices are free"
    on_cpu = {"rollout": {"strategy": "Recreate"}}
    old, new = make_compiled(**on_cpu), make_compiled(**on_cpu, hints={"performanceMode": "THROUGHPUT"})
    assert kinds(hold_back(new, deployment(old), None)) == ["Job"]


def test_a_job_that_is_wanted_no_more_goes() -> None:
    old, new = make_compiled(), make_compiled(hints={"performanceMode": "THROUGHPUT"})
    present = [job_of(old), job_of(new)]
    assert find_superfluous(hold_back(new, None, None), present, "1") == [job_of(old)]


# --- with an operator


@pytest.fixture
async def operator(workloads: Workloads, kubeconfig: Path) -> AsyncIterator[Running]:
    async with run_operator(workloads) as running:
        yield running


def find_job(api: ApiServer) -> Object | None:
    """The one that has not ended."""
    jobs = [job for job in api.gather(JOB) if not (job.get("status") or {}).get("conditions")]
    assert len(jobs) <= 1
    return jobs[0] if jobs else None


def end(api: ApiServer, job: Object, condition_: str) -> None:
    api.put({**job, "status": {"conditions": [{"type": condition_, "status": "True", "message": "ended"}]}})


def put_pod(api: ApiServer, job: Object, **status: Any) -> None:
    template, metadata = job["spec"]["template"], job["metadata"]
    api.put(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "name": f"{metadata['name']}-x",
                "namespace": "default",
                "labels": template["metadata"]["labels"],
                "annotations": template["metadata"]["annotations"],
                "ownerReferences": [
                    {"uid": metadata["uid"], "kind": "Job", "name": metadata["name"], "controller": True}
                ],
            },
            "spec": {**template["spec"], "nodeName": "n"},
            "status": status,
        }
    )


async def until_ready(api: ApiServer) -> None:
    """The first rollout, whose Job is complete at once."""
    api.put(make_service(precompile=True, cache=CACHE))
    end(api, await eventually(lambda: find_job(api), api), "Complete")
    await eventually(lambda: is_ready_now(api), api)


async def test_from_the_job_to_the_pods(api: ApiServer, operator: Running) -> None:
    api.put(make_service(precompile=True, cache=CACHE))
    job = await eventually(lambda: find_job(api), api)
    put_pod(
        api,
        job,
        phase="Running",
        containerStatuses=[{"name": "serve", "state": {"running": {}}}],
        conditions=[{"type": "Ready", "status": "True"}],
    )
    await eventually(lambda: "reported yet" in condition(api, "Reconciling").get("message", ""), api)
    assert condition(api, "Reconciling")["status"] == "True"
    for type_ in ("Ready", "Reconciling", "ModelReady"):
        assert condition(api, type_)["reason"] == "Precompiling"
    found = api.get(INFERENCE_SERVICE, "default", "resnet")
    assert found is not None
    assert "pods" not in found["status"] or not found["status"]["pods"]
    assert api.get(DEPLOYMENT, "default", "resnet") is None
    end(api, job, "Complete")
    await eventually(lambda: is_ready_now(api), api)
    assert [found["metadata"]["name"] for found in api.gather(JOB)] == [job["metadata"]["name"]], (
        "to be looked at"
    )

    await settle(operator, api)
    api.delete(JOB, "default", job["metadata"]["name"])
    edit(api, replicas=2, limits={"requestTimeoutSeconds": 5})
    await eventually(lambda: is_ready_now(api), api)
    await settle(operator, api)
    assert api.gather(JOB) == [], "nothing else is compiled"


async def test_a_model_that_does_not_compile_leaves_the_old_pods_alone(
    api: ApiServer, operator: Running
) -> None:
    await until_ready(api)
    before = [pod["metadata"]["name"] for pod in api.gather(POD)]
    edit(api, hints={"performanceMode": "THROUGHPUT"})
    job = await eventually(lambda: find_job(api), api)
    failure = RuntimeFailure(reason=FailureReason.UNSUPPORTED_OPERATOR, message="no Inverse here")
    put_pod(
        api,
        job,
        phase="Failed",
        containerStatuses=[
            {
                "name": "serve",
                "state": {"terminated": {"exitCode": 1, "message": make_termination_message(failure)}},
            }
        ],
    )
    await eventually(lambda: condition(api, "Ready").get("reason") == "UnsupportedOperator", api)
    end(api, job, "Failed")
    await eventually(lambda: "kubectl delete job" in condition(api, "Stalled")["message"], api)
    message = condition(api, "Ready")["message"]
    assert job["metadata"]["name"] in message
    assert "no Inverse here" in message
    assert "1 pod goes on serving" in message
    found = api.get(INFERENCE_SERVICE, "default", "resnet")
    assert found is not None
    assert found["status"]["failure"]["reason"] == "UnsupportedOperator"
    assert [pod["name"] for pod in found["status"]["pods"]] == before
    assert before == [p["metadata"]["name"] for p in api.gather(POD) if p["metadata"]["name"] in before]

    edit(api, hints={"performanceMode": "LATENCY"})
    again = await eventually(lambda: find_job(api), api)
    await eventually(lambda: api.get(JOB, "default", job["metadata"]["name"]) is None, api)
    end(api, again, "Complete")
    await eventually(lambda: is_ready_now(api), api)


async def test_a_job_without_a_device_says_what_to_do(api: ApiServer, operator: Running) -> None:
    api.put(make_class())
    api.put(make_service(precompile=True, cache=CACHE, targetDevice="GPU"))
    end(api, await eventually(lambda: find_job(api), api), "Complete")
    await eventually(lambda: is_ready_now(api), api)
    edit(api, hints={"performanceMode": "THROUGHPUT"})
    job = await eventually(lambda: find_job(api), api)
    waits = {
        "type": "PodScheduled",
        "status": "False",
        "reason": "Unschedulable",
        "message": "Insufficient gpu",
    }
    put_pod(api, job, phase="Pending", conditions=[waits])
    await eventually(lambda: condition(api, "Stalled").get("status") == "True", api)
    assert condition(api, "Ready")["reason"] == "Unschedulable"
    assert "the pods that serve hold the devices" in condition(api, "Ready")["message"]
    edit(api, rollout={"strategy": "Recreate"})
    await eventually(lambda: is_ready_now(api), api)
    assert find_job(api) is None


async def test_a_namespace_that_forbids_folders_of_the_host_is_named(
    api: ApiServer, operator: Running
) -> None:
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    api.put({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "default", "labels": labels}})
    api.put(make_class(hostPathCache="/var/cache/vinoserve"))
    on_host = {"compiled": {"type": "HostPath"}}
    api.put(make_service(precompile=True, cache=on_host, targetDevice="GPU"))
    await eventually(lambda: condition(api, "Ready").get("reason") == "PodsForbidden", api)
    assert condition(api, "Stalled")["status"] == "True"
    assert "Pod Security restricted, which forbids hostPath" in condition(api, "Ready")["message"]


async def test_a_job_whose_pods_are_refused_says_so_until_one_is_made(
    api: ApiServer, operator: Running
) -> None:
    api.put(make_service(precompile=True, cache=CACHE))
    job = await eventually(lambda: find_job(api), api)
    regarding = {"kind": "Job", "uid": job["metadata"]["uid"]}
    pods = f'pods "{job["metadata"]["name"]}'
    api.put(refuse(f'{pods}-x7k2p" is forbidden: {OVER_QUOTA}', regarding=regarding))
    await eventually(lambda: condition(api, "Ready").get("reason") == "QuotaExceeded", api)
    for type_, status in {"Ready": "False", "Stalled": "True", "Reconciling": "False"}.items():
        assert (condition(api, type_)["status"], condition(api, type_)["reason"]) == (status, "QuotaExceeded")
    message = condition(api, "Ready")["message"]
    assert message.startswith(f"Job {job['metadata']['name']}: the API server refuses the pods: pods ")
    assert OVER_QUOTA in message

    await settle(operator, api)
    api.put(refuse(f'{pods}-9bcdf" is forbidden: {OVER_QUOTA}', "2026-01-01T00:00:09Z", regarding=regarding))
    writes, lists = len(api.writes), api.verbs["list", "events.k8s.io", "events"]
    await eventually(lambda: api.verbs["list", "events.k8s.io", "events"] > lists + 1, api)
    assert len(api.writes) == writes, "each try is refused as the one before"

    put_pod(api, job, phase="Pending")
    await eventually(lambda: condition(api, "Reconciling").get("status") == "True", api)
    assert condition(api, "Ready")["reason"] == "Precompiling"
    end(api, job, "Complete")
    await eventually(lambda: is_ready_now(api), api)
