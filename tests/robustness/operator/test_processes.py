"""What only whole processes show: a leader that is stopped, a kill at any moment, memory over thousands of cycles."""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.operator.fakes.api_server import ApiServer
from tests.operator.fakes.process import run_process
from tests.operator.fakes.running import condition, eventually, make_service
from tests.operator.fakes.workloads import Workloads
from vinoserve_operator.kinds import CHILDREN, DEPLOYMENT, INFERENCE_SERVICE

Object = dict[str, Any]

SOAK = bool(os.environ.get("VINOSERVE_SOAK"))


def deployed(api: ApiServer, name: str, replicas: int | None = None) -> Callable[[], bool]:
    def check() -> bool:
        found = api.get(DEPLOYMENT, "default", name)
        return found is not None and replicas in (None, found["spec"]["replicas"])

    return check


def told(api: ApiServer, name: str) -> Callable[[], bool]:
    """What the operator can know: no pod of the fake's answers another process, and that is what it says."""
    return lambda: condition(api, "Ready", name).get("reason") == "NotReporting"


async def test_a_stopped_leader_is_replaced_within_twenty_seconds_and_writes_nothing_when_it_wakes(
    api: ApiServer, workloads: Workloads, kubeconfig: Path
) -> None:
    """Check 12: two processes, one Lease, SIGSTOP and SIGCONT: never two writers."""
    async with run_process(kubeconfig, "first") as first, run_process(kubeconfig, "second") as second:
        api.put(make_service("before"))
        await eventually(told(api, "before"), api)
        leader, standby = (first, second) if first.token in api.writers else (second, first)
        assert standby.token not in api.writers
        leader.send(signal.SIGSTOP)
        stopped, writes = time.monotonic(), len(api.writers)
        api.put(make_service("meanwhile"))
        await eventually(deployed(api, "meanwhile"), api)
        assert time.monotonic() - stopped < (20 if SOAK else 40)  # the default run shares its cores
        leader.send(signal.SIGCONT)
        for i in range(10):
            api.put(make_service(f"after{i}"))
            await eventually(told(api, f"after{i}"), api)
        assert leader.running
        assert set(api.writers[writes:]) == {standby.token}


@pytest.mark.parametrize("seed", range(20 if SOAK else 2))
async def test_killed_again_and_again_it_loses_nothing_and_makes_nothing_twice(
    api: ApiServer, workloads: Workloads, kubeconfig: Path, seed: int
) -> None:
    """Check 6: kill -9 after a number of writes, which differs from run to run; then one that may finish."""
    names = [f"s{i:02}" for i in range(12)]
    for name in names:
        api.put(make_service(name))
    for kill in range(2):
        async with run_process(kubeconfig) as operator:
            enough = len(api.writes) + 3 + 7 * kill + 5 * seed
            await eventually(
                lambda enough=enough: len(api.writes) >= enough or all(told(api, name)() for name in names),
                api,
            )
            operator.send(signal.SIGKILL)
        lease = next(found for key, found in api.objects.items() if key[0].name == "Lease")
        lease["spec"]["holderIdentity"] = ""  # as time passes
    async with run_process(kubeconfig):
        await eventually(lambda: all(told(api, name)() for name in names), api, 120)
    for kind in CHILDREN:
        assert sorted(found["metadata"]["name"] for found in api.gather(kind)) == names


async def test_memory_does_not_grow_with_the_work_done(
    api: ApiServer, workloads: Workloads, kubeconfig: Path
) -> None:
    """Check 17: edits, each of which is looked at several times; at most 1 MB for 1,000 of them once all is warm."""
    names = [f"s{i:02}" for i in range(20)]
    warm, rounds, most = (100, 900, 18.0) if SOAK else (4, 8, 6.0)

    async with run_process(kubeconfig) as operator:
        for name in names:
            api.put(make_service(name))
        await eventually(lambda: all(told(api, name)() for name in names), api)

        async def edit(times: int) -> None:
            for i in range(times):
                replicas = 2 + i % 2
                for name in names:
                    found = api.get(INFERENCE_SERVICE, "default", name)
                    api.put({**found, "spec": {**found["spec"], "replicas": replicas}})
                checks = [deployed(api, name, replicas) for name in names]
                await eventually(lambda checks=checks: all(check() for check in checks), api)
                if i % 100 == 99:
                    api.compact()  # or the history would fill this process

        await edit(warm)
        before = operator.megabytes
        await edit(rounds)
        assert operator.megabytes - before < most
