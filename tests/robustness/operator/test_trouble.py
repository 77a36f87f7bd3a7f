"""What the operator bears: an API server in trouble, being killed at any step, objects that always fail, missed events."""

import asyncio
import gc
import os
import time
from pathlib import Path
from typing import Any

import pytest

from tests.operator.fakes.api_server import ApiError, ApiServer, Faults
from tests.operator.fakes.running import eventually, is_ready, make_service, run_operator, settle
from tests.operator.fakes.workloads import Workloads
from vinoserve_operator.kinds import CHILDREN, DEPLOYMENT, INFERENCE_SERVICE, POD

Object = dict[str, Any]

SOAK = bool(os.environ.get("VINOSERVE_SOAK"))
"""The numbers that the operator is meant for take minutes; smaller ones show the same mistakes."""


def all_ready(api: ApiServer, names: list[str]) -> bool:
    return all(is_ready(api, name) for name in names)


async def test_many_services_converge_while_the_api_server_answers_trouble(
    api: ApiServer, workloads: Workloads, kubeconfig: Path
) -> None:
    names = [f"s{i:03}" for i in range(500 if SOAK else 80)]
    api.faults = Faults(seed=1, shares={429: 0.05, 500: 0.02, 409: 0.05}, lost=0.02)
    async with run_operator(workloads) as operator:
        for name in names:
            api.put(make_service(name))
        await eventually(lambda: all_ready(api, names), api, 240)
        await settle(operator, api)
    for kind in CHILDREN:
        assert sorted(o["metadata"]["name"] for o in api.gather(kind)) == names


async def test_a_restart_on_converged_services_writes_nothing(
    api: ApiServer, workloads: Workloads, kubeconfig: Path
) -> None:
    names = [f"s{i:04}" for i in range(1000 if SOAK else 120)]
    for name in names:
        api.put(make_service(name))
    async with run_operator(workloads) as operator:
        await eventually(lambda: all_ready(api, names), api, 240)
        await settle(operator, api)
    before = len(api.writes)
    async with run_operator(workloads) as operator:
        reconciled = operator.operator.metrics.reconcile_seconds.labels("InferenceService")
        await eventually(lambda: reconciled._sum.get() > 0, api)
        await settle(operator, api, 120)
    assert api.writes[before:] == []


async def test_a_poisoned_object_delays_no_other(
    api: ApiServer, workloads: Workloads, kubeconfig: Path
) -> None:
    tries: list[float] = []

    def refuse(method: str, path: str) -> ApiError | None:
        if "/poison" in path:
            tries.append(time.monotonic())
            return ApiError(500, "always")
        return None

    api.faults.refuse = refuse
    async with run_operator(workloads):
        api.put(make_service("poison"))
        await eventually(lambda: len(tries) >= 2, api)
        for i in range(20):
            api.put(make_service(f"s{i}"))
            started = time.monotonic()
            await eventually(lambda name=f"s{i}": is_ready(api, name), api)
            assert time.monotonic() - started < 5
    assert len(tries) < 40


@pytest.mark.parametrize("step", range(6))
async def test_killed_after_any_write_the_next_one_finishes(
    api: ApiServer, workloads: Workloads, kubeconfig: Path, step: int
) -> None:
    """The write is done, its answer is lost, and nothing else of that process is heard."""

    def refuse(method: str, path: str) -> ApiError | None:
        return ApiError(503, "dead") if len(api.writes) > step + 1 else None

    api.faults = Faults(refuse=refuse)
    api.faults.loses = lambda: len(api.writes) == step + 1  # type: ignore[method-assign]
    async with run_operator(workloads):
        api.put(make_service())
        await eventually(lambda: len(api.writes) > step or is_ready(api), api)
    api.faults = Faults()
    async with run_operator(workloads) as operator:
        await eventually(lambda: is_ready(api), api)
        await settle(operator, api)
    assert [len(api.gather(kind)) for kind in (*CHILDREN, POD)] == [1, 1, 1, 1]


async def test_a_watch_that_is_too_old_begins_anew_and_deletions_are_noticed(
    api: ApiServer, workloads: Workloads, kubeconfig: Path
) -> None:
    async with run_operator(workloads) as operator:
        api.put(make_service())
        api.put(make_service("other"))
        await eventually(lambda: is_ready(api) and is_ready(api, "other"), api)
        await settle(operator, api)
        api.compact()
        api.delete(DEPLOYMENT, "default", "resnet")  # forgotten before any watch could tell
        api.delete(INFERENCE_SERVICE, "default", "other")
        api.compact()
        await eventually(lambda: api.get(DEPLOYMENT, "default", "resnet"), api)
        await settle(operator, api)
        found = api.get(INFERENCE_SERVICE, "default", "resnet")
        api.put({**found, "spec": {**found["spec"], "replicas": 2}})
        await eventually(lambda: api.get(DEPLOYMENT, "default", "resnet")["spec"]["replicas"] == 2, api)
    assert not any(api.get(kind, "default", "other") for kind in CHILDREN)


async def test_of_two_operators_one_writes_and_the_other_takes_over(
    api: ApiServer, workloads: Workloads, kubeconfig: Path
) -> None:
    async with run_operator(workloads) as second_to_be:
        await eventually(lambda: second_to_be.operator.lease.held, api)
        async with run_operator(workloads) as standby:
            api.put(make_service())
            await eventually(lambda: is_ready(api), api)
            assert not standby.operator.lease.held
            assert standby.operator.kube.writes == 0
            second_to_be.stop()
            await eventually(lambda: standby.operator.lease.held, api)
            api.put(make_service("after"))
            await eventually(lambda: is_ready(api, "after"), api)


async def test_without_a_fresh_lease_nothing_is_written(
    api: ApiServer, workloads: Workloads, kubeconfig: Path
) -> None:
    async with run_operator(workloads) as operator:
        await eventually(lambda: operator.operator.lease.held, api)
        await operator.do(lambda: setattr(operator.operator.lease, "_clock", lambda: 1e12))
        operator.operator.lease._renewed = 0.0  # as after a long stop of the process
        before = len(api.writes)
        api.put(make_service())
        await eventually(lambda: operator.operator.queue.failing, api)
        assert api.writes[before:] == []


async def test_stopped_at_any_moment_of_its_start_it_leaves_nothing_open(
    api: ApiServer, workloads: Workloads, kubeconfig: Path
) -> None:
    """kopf's discovery is a crowd of requests that outlive the task that began them (warnings are errors here)."""
    for milliseconds in range(0, 60, 6):
        async with run_operator(workloads) as operator:
            await eventually(lambda watches=operator.operator.watches: watches.starts, api)
            await asyncio.sleep(milliseconds / 1000)
        gc.collect()
