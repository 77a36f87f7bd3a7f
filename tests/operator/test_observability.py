"""What an admin sees of the operator itself: numbers, probes, lines in the log."""

import asyncio
import json
import logging
import re
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.operator.fakes.api_server import ApiError, ApiServer
from tests.operator.fakes.running import (
    Running,
    condition,
    eventually,
    make_class,
    make_service,
    run_operator,
    settle,
)
from tests.operator.fakes.workloads import Workloads
from vinoserve_operator.health import Health
from vinoserve_operator.kinds import INFERENCE_SERVICE, Ref
from vinoserve_operator.metrics import FAMILIES
from vinoserve_operator.queue import Queue
from vinoserve_operator.watches import Watches

Object = dict[str, Any]
KEY = Ref(INFERENCE_SERVICE, "default", "a")


@pytest.fixture
async def operator(workloads: Workloads, kubeconfig: Path) -> AsyncIterator[Running]:
    async with run_operator(workloads) as running:
        yield running


async def get(running: Running, path: str) -> tuple[int, str]:
    url = f"http://127.0.0.1:{running.operator.port}{path}"
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        return response.status, await response.text()


async def scrape(running: Running) -> dict[str, list[tuple[Object, float]]]:
    """Samples by name: labels and number."""
    _, text = await get(running, "/metrics")
    found: dict[str, list[tuple[Object, float]]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found.setdefault(sample.name, []).append((sample.labels, sample.value))
    return found


async def test_every_family_is_there_and_no_other(api: ApiServer, operator: Running) -> None:
    api.put(make_service())
    await eventually(lambda: condition(api, "Ready").get("status") == "True", api)
    _, text = await get(operator, "/metrics")
    # counters carry their ending in their samples alone
    declared = {family.name.removesuffix("_total"): family.kind for family in FAMILIES}
    found = [f for f in text_string_to_metric_families(text) if f.name.startswith("vinoserve_")]
    shown = {f.name: f for f in found if not f.name.endswith("_created")}
    assert {name: family.type for name, family in shown.items()} == declared
    for family in FAMILIES:
        for sample in shown[family.name.removesuffix("_total")].samples:
            assert set(sample.labels) - {"le"} == set(family.labels), family.name


async def test_requests_are_counted_by_verb_resource_and_answer(api: ApiServer, operator: Running) -> None:
    refused = iter([ApiError(500, "injected")])
    api.faults.refuse = lambda method, path: (
        next(refused, None) if method == "PATCH" and "/deployments/" in path else None
    )
    api.put(make_service())
    await eventually(lambda: condition(api, "Ready").get("status") == "True", api)
    await settle(operator, api)
    counted = {
        (labels["verb"], labels["resource"], labels["code"]): value
        for labels, value in (await scrape(operator))["vinoserve_operator_api_requests_total"]
    }
    assert counted["patch", "deployments", "500"] == 1
    for resource in ("deployments", "services", "configmaps", "inferenceservices/status"):
        seen = api.verbs["patch", *next((g, r) for _, g, r in api.verbs if r == resource)]
        assert counted["patch", resource, "200"] + counted.get(("patch", resource, "500"), 0) == seen
    assert counted["list", "nodes", "200"] >= 1
    assert counted["get", "inferenceservices", "200"] >= 1


async def test_services_are_counted_by_how_they_are(api: ApiServer, operator: Running) -> None:
    api.put(make_service("fine"))
    api.put(make_service("classless", targetDevice="GPU"))
    await eventually(lambda: condition(api, "Ready", "fine").get("status") == "True", api)
    await eventually(lambda: condition(api, "Stalled", "classless").get("status") == "True", api)
    await settle(operator, api)
    samples = await scrape(operator)
    services = {(s["ready"], s["reason"]): value for s, value in samples["vinoserve_operator_services"]}
    assert services == {("True", "Ready"): 1, ("False", "AcceleratorClassNotFound"): 1}
    assert samples["vinoserve_operator_service_stalled"] == [
        ({"namespace": "default", "service": "classless", "reason": "AcceleratorClassNotFound"}, 1)
    ]


# --- alive


def make_health(queue: Queue[Ref], now: list[float], watches: Watches | None = None) -> Health:
    return Health(queue, watches or Watches(lambda *_: None, ()), lambda: now[0])


async def test_a_queue_that_gets_nothing_done_is_stuck_and_an_idle_one_is_not() -> None:
    begun, end = asyncio.Event(), asyncio.Event()

    async def work(_: Ref) -> None:
        begun.set()
        await end.wait()

    queue: Queue[Ref] = Queue(work, workers=1)
    now = [0.0]
    health = make_health(queue, now)
    queue.add(KEY)
    now[0] = 1e9
    assert health.find_trouble() is None, "a standby doesn't work, and is well"
    task = asyncio.create_task(queue.run())
    await begun.wait()
    now[0] = asyncio.get_running_loop().time() + 179
    assert health.find_trouble() is None
    now[0] += 2
    assert "1 are looked at, and none was done for 181 s" in str(health.find_trouble())
    end.set()
    while queue.running:
        await asyncio.sleep(0)
    assert health.find_trouble() is None
    task.cancel()


async def test_a_thread_of_the_watches_that_hangs_is_noticed(
    api: ApiServer, operator: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    watches = operator.operator.watches
    api.put(make_service())
    await eventually(lambda: condition(api, "Ready").get("status") == "True", api)
    assert (await get(operator, "/livez"))[0] == 200
    before = watches.pulse
    await eventually(lambda: watches.pulse > before, api)  # its heart beats
    monkeypatch.setattr("vinoserve_operator.health._STUCK_SECONDS", -1.0)
    status, text = await get(operator, "/livez")
    assert status == 500
    assert "nothing was heard of their thread" in text


async def test_an_api_server_that_is_away_is_no_reason_for_a_restart(
    api: ApiServer, operator: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    api.put(make_service())
    await eventually(lambda: condition(api, "Ready").get("status") == "True", api)
    api.watch_down.set()
    api.faults.refuse = lambda method, path: ApiError(500, "away")
    await api._wake()
    await operator.do(operator.operator.inbox.add_all)
    watches = operator.operator.watches
    before = watches.pulse
    await eventually(lambda: watches.pulse > before, api)
    assert (await get(operator, "/livez"))[0] == 200
