"""What an admin sees of the operator itself: numbers, probes, lines in the log."""

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families
from structlog.testing import capture_logs

from tests.operator.fakes.api_server import ApiError, ApiServer
from tests.operator.fakes.running import (
    Running,
    condition,
    edit,
    eventually,
    is_ready_now,
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
NEXT = Ref(INFERENCE_SERVICE, "default", "b")


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


@pytest.fixture
def lines(operator: Running) -> Iterator[list[Object]]:
    """What is logged from now on."""
    with capture_logs() as found:
        yield found


# --- alive


def make_health(queue: Queue[Ref], now: list[float], watches: Watches | None = None) -> Health:
    return Health(queue, watches or Watches(lambda *_: None, lambda: None, ()), lambda: now[0])


async def test_a_queue_that_gets_nothing_done_is_stuck_and_an_idle_one_is_not() -> None:
    begun, end, done = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def work(key: Ref) -> None:
        if key == NEXT:
            done.set()
        else:
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
    queue.add(NEXT)
    await done.wait()
    assert health.find_trouble() is None
    task.cancel()


async def test_what_was_there_at_the_start_is_no_event(
    api: ApiServer, workloads: Workloads, kubeconfig: Path
) -> None:
    names = [f"s{number}" for number in range(3)]
    for name in names:
        api.put(make_service(name))
    async with run_operator(workloads) as first:
        await eventually(lambda: all(is_ready_now(api, name) for name in names), api)
        await settle(first, api)
    async with run_operator(workloads) as second:

        def count(kind: str) -> float | None:
            registry = second.operator.metrics.registry
            return registry.get_sample_value("vinoserve_operator_watch_events_total", {"kind": kind})

        edit(api, "s0", replicas=2)
        await eventually(lambda: is_ready_now(api, "s0") and count("InferenceService"), api)
        assert not count("ConfigMap")  # the watches are there, and none of the three has changed


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


# --- the log


async def test_a_reconciliation_that_writes_logs_one_line_and_another_none(
    api: ApiServer, operator: Running, lines: list[Object]
) -> None:
    api.put(make_service())
    await eventually(lambda: condition(api, "Ready").get("status") == "True", api)
    await settle(operator, api)
    told = [line for line in lines if line["event"] == "reconciled"]
    assert all(line["object"] == "InferenceService default/resnet" for line in told)
    assert sorted(told[0]["applied"]) == ["ConfigMap", "Deployment", "Service"]
    assert told[0]["conditions"]["Accepted"] == "True Valid"
    assert told[0]["generation"] == 1
    assert {"Ready": "True Ready"}.items() <= {k: v for line in told for k, v in line.get("conditions", {}).items()}.items()  # fmt: skip
    writes = [w for w in api.writes if w[0] == "PATCH"]
    assert sum(len(line.get("applied", ())) + ("status" in line) for line in told) == len(writes)
    assert {"conditions", "url"} <= set(told[0]["status"])
    assert "readyReplicas" in {name for line in told for name in line.get("status", ())}
    before = len(lines)
    await operator.do(operator.operator.inbox.add_all)
    await settle(operator, api)
    assert lines[before:] == []


async def test_what_was_written_before_an_error_is_told_too(
    api: ApiServer, operator: Running, lines: list[Object]
) -> None:
    refused = iter([ApiError(500, "injected")])
    api.faults.refuse = lambda method, path: (
        next(refused, None) if method == "PATCH" and "/services/" in path else None
    )
    api.put(make_service())
    await eventually(lambda: len([line for line in lines if line["event"] == "reconciled"]) > 1, api)
    first, second = [line for line in lines if line["event"] == "reconciled"][:2]
    assert first["applied"][0] == "ConfigMap"
    assert "conditions" not in first
    assert sorted(first["applied"] + second["applied"]) == ["ConfigMap", "Deployment", "Service"]


async def test_a_namespace_that_goes_makes_no_noise(
    api: ApiServer, operator: Running, lines: list[Object]
) -> None:
    """Its objects are still told of, but nothing more can be made in it."""
    refused: list[str] = []

    def refuse(method: str, path: str) -> ApiError | None:
        if method == "POST" and "/events" in path:
            refused.append(path)
            return ApiError(403, "forbidden: unable to create new content because it is being terminated")
        return None

    api.faults.refuse = refuse
    api.put(make_service())
    await eventually(lambda: condition(api, "Ready").get("status") == "True" and bool(refused), api)
    await settle(operator, api)
    assert {line["log_level"] for line in lines} <= {"debug", "info"}


def test_a_line_is_json_and_carries_what_it_is_about() -> None:
    script = (
        "import logging\n"
        "from vinoserve_operator.logs import Written, configure_logs\n"
        "configure_logs('INFO')\n"
        "Written('InferenceService a/b', 2, deleted=['HorizontalPodAutoscaler']).log()\n"
        "Written('InferenceService a/b', 2).log()\n"
        "logging.getLogger('kopf').warning('a record of %s', 'another')\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    ours, theirs = (json.loads(line) for line in done.stderr.splitlines())
    del ours["timestamp"]
    assert ours == {
        "event": "reconciled", "level": "info", "object": "InferenceService a/b", "generation": 2,
        "deleted": ["HorizontalPodAutoscaler"],
    }  # fmt: skip
    assert (theirs["event"], theirs["level"], theirs["logger"]) == ("a record of another", "warning", "kopf")


# --- secrets


async def test_the_operator_asks_for_no_secret_and_tells_none(
    api: ApiServer, operator: Running, lines: list[Object]
) -> None:
    """Credentials are named; what names them goes into the Deployment, and nowhere else."""
    asked: list[str] = []
    api.faults.refuse = lambda _, path: asked.append(path)  # type: ignore[func-returns-value]
    model = {"uri": "s3://bucket/m.onnx", "credentials": {"secretName": "canary-reader"}}
    api.put(make_service(model=model))
    await eventually(lambda: condition(api, "Ready").get("status") == "True", api)
    await settle(operator, api)
    assert asked
    assert not [path for path in asked if "secret" in path]
    assert not [verb for verb in api.verbs if "secret" in verb[2]]
    named = {kind.name for (kind, _, _), found in api.objects.items() if "canary-reader" in json.dumps(found)}
    assert named == {"InferenceService", "Deployment", "Pod"}  # the first is the user's own spec
    told = api.get(INFERENCE_SERVICE, "default", "resnet")["status"]
    assert "canary-reader" not in json.dumps([told, lines])
