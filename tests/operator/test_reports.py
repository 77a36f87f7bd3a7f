"""What the pods say of themselves, and when they are asked."""

import asyncio
import json
from typing import Any

import aiohttp
import pytest

from tests.operator.fakes.workloads import make_report
from vinoserve_operator.reports import Reports

Object = dict[str, Any]


def make_pod(*, ready: bool = True, restarts: int = 0, running: bool = True) -> Object:
    state = {"running": {}} if running else {"waiting": {}}
    return {
        "metadata": {"name": "p", "namespace": "default", "uid": "1"},
        "status": {
            "podIP": "10.0.0.1",
            "conditions": [{"type": "Ready", "status": str(ready)}],
            "containerStatuses": [
                {"name": "serve", "containerID": "c", "restartCount": restarts, "state": state}
            ],
        },
    }


class Server:
    def __init__(self) -> None:
        self.answer: bytes | Exception = json.dumps(make_report().dump()).encode()
        self.asked: list[str] = []
        self.changes: list[str] = []

    async def fetch(self, url: str) -> bytes:
        self.asked.append(url)
        await asyncio.sleep(0)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    def reports(self) -> Reports:
        return Reports(
            self.fetch, settled_seconds=3600, changed=lambda pod: self.changes.append(pod["metadata"]["name"])
        )


async def test_the_first_answer_of_a_ready_pod_is_waited_for() -> None:
    server = Server()
    reports = server.reports()
    view = await reports.view(make_pod())
    assert view.report == make_report()
    assert server.asked == ["http://10.0.0.1:8002/report"]
    assert (await reports.view(make_pod())).report == make_report()
    assert len(server.asked) == 1
    await reports.close()


@pytest.mark.parametrize(
    "trouble",
    [aiohttp.ClientConnectionError("refused"), TimeoutError(), RuntimeError("odd"), b"no json", b"{}"],
)
async def test_whatever_a_pod_answers_is_told_and_ends_nothing(trouble: Any) -> None:
    server = Server()
    server.answer = trouble
    reports = server.reports()
    view = await reports.view(make_pod())
    assert view.report is None
    assert "http://10.0.0.1:8002/report" in str(view.unreachable)
    await reports.close()


async def test_one_that_answers_at_the_second_try_is_not_told_as_silent() -> None:
    server = Server()
    busy = [TimeoutError()]

    async def fetch(url: str) -> bytes:
        if busy:
            raise busy.pop()
        return await server.fetch(url)

    reports = Reports(fetch, settled_seconds=3600, changed=lambda _: None)
    view = await reports.view(make_pod())
    assert (view.report, view.unreachable) == (make_report(), None)
    await reports.close()


async def test_a_report_is_forgotten_with_its_process_and_outlives_a_failed_poll() -> None:
    server = Server()
    reports = server.reports()
    await reports.view(make_pod())
    server.answer = aiohttp.ClientConnectionError("refused")
    assert (await reports.view(make_pod(ready=False))).report == make_report()
    assert (await reports.view(make_pod(ready=True))).report == make_report()
    restarted = await reports.view(make_pod(restarts=1))
    assert restarted.report is None
    assert (await reports.view(make_pod(running=False))).unreachable is None
    await reports.close()


async def test_a_change_is_told_once_and_progress_is_none() -> None:
    server = Server()
    reports = server.reports()
    await reports.view(make_pod())
    assert server.changes == ["p"]
    report = make_report(progress={"seconds": 3.0}, engineErrors=7)
    server.answer = json.dumps(report.dump()).encode()
    await reports.view(make_pod(ready=False))
    await reports.view(make_pod())
    assert server.changes == ["p"]
    await reports.close()


@pytest.mark.parametrize(("pods", "least", "most"), [(10, 22.5, 37.5), (5000, 375, 625)])
async def test_however_many_pods_there_are_the_polls_stay_few(pods: int, least: float, most: float) -> None:
    server = Server()
    reports = Reports(server.fetch, settled_seconds=30, changed=lambda _: None)
    for i in range(pods):
        pod = make_pod()
        pod["metadata"] |= {"name": f"p{i}", "uid": str(i)}
        await reports.view(pod)
    pauses = [reports._pause(entry) for entry in reports._entries.values()]
    assert least <= min(pauses) < max(pauses) <= most
    await reports.close()
