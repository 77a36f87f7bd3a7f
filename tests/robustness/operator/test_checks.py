"""Promises about bad days, one test each.

Short forms by default, the whole ones with VINOSERVE_SOAK=1.
"""

import asyncio
import copy
import itertools
import os
import random
import time
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import pytest

from tests.operator.fakes.api_server import ApiError, ApiServer, Faults
from tests.operator.fakes.running import (
    condition,
    edit,
    eventually,
    is_ready,
    make_service,
    run_operator,
    run_settled,
    settle,
)
from tests.operator.fakes.workloads import Workloads
from vinoserve_operator import streams
from vinoserve_operator.desired.names import INSTANCE_LABEL
from vinoserve_operator.kinds import (
    CHILDREN,
    DEPLOYMENT,
    EVENT,
    INFERENCE_SERVICE,
    POD,
    POD_DISRUPTION_BUDGET,
    SERVICE,
    Kind,
)
from vinoserve_operator.queue import Backoff

Object = dict[str, Any]

SOAK = bool(os.environ.get("VINOSERVE_SOAK"))
TROUBLE_SECONDS = 60 if SOAK else 5


async def test_5_looking_again_writes_nothing_and_moves_no_transition_time(
    api: ApiServer, workloads: Workloads, kubeconfig: Path
) -> None:
    async with run_settled(workloads, api) as operator:
        before, writes = api.get(INFERENCE_SERVICE, "default", "resnet"), len(api.writes)
        for _ in range(20):
            await operator.do(operator.operator.inbox.add_all)
            await settle(operator, api)
    assert api.writes[writes:] == []
    assert api.get(INFERENCE_SERVICE, "default", "resnet") == before


STORMS = [
    Faults(2, {429: 0.05, 500: 0.02, 409: 0.05}),
    *([Faults(3, {429: 0.15, 500: 0.10, 409: 0.10}, lost=0.05)] if SOAK else []),
    *(Faults(s, {429: 0.05, 500: 0.05, 409: 0.05, 503: 0.05}, lost=0.05) for s in range(4, 10) if SOAK),
]


@pytest.mark.parametrize("faults", STORMS, ids=lambda faults: f"seed {faults.seed}")
async def test_7_storms_of_errors_lose_nothing(
    api: ApiServer, workloads: Workloads, kubeconfig: Path, faults: Faults
) -> None:
    names = [f"s{i:03}" for i in range(500 if SOAK else 30)]
    api.faults = faults
    async with run_operator(workloads) as operator:
        for name in names:
            api.put(make_service(name))
        # Where two answers of five are trouble, luck alone makes a key fail a dozen times in a row.
        await eventually(lambda: all(is_ready(api, name) for name in names), api, 600)
        await settle(operator, api, 180)
    for kind in CHILDREN:
        assert sorted(found["metadata"]["name"] for found in api.gather(kind)) == names


async def test_8_an_api_server_that_always_fails_is_not_hammered(
    api: ApiServer, workloads: Workloads, kubeconfig: Path
) -> None:
    """At most ten tries for each key in a minute, not in step, and all is well soon after."""
    tries: defaultdict[str, list[float]] = defaultdict(list)

    def refuse(method: str, path: str) -> ApiError | None:
        name = path.rsplit("/", 1)[1]
        if method == "GET" and name.startswith("s0"):
            tries[path].append(time.monotonic())
        return ApiError(500, "always")

    names = [f"s{i:03}" for i in range(20)]
    async with run_settled(workloads, api):
        api.faults.refuse = refuse
        for name in names:
            api.put(make_service(name))
        await asyncio.sleep(TROUBLE_SECONDS)
        counts = Counter({path: len(times) for path, times in tries.items()})
        owners = {path: n for path, n in counts.items() if "/inferenceservices/" in path}
        assert len(owners) == len(names)
        assert max(owners.values()) <= (10 if SOAK else 8)
        second = sorted(times[1] - times[0] for times in tries.values() if len(times) > 1)
        assert len({round(gap, 2) for gap in second}) > 1
        api.faults = Faults()
        await eventually(lambda: all(is_ready(api, name) for name in names), api, 30 if SOAK else 60)


def test_8_ten_tries_a_minute_are_the_rule_whatever_is_drawn() -> None:
    def draw(seed: int) -> list[float]:
        backoff = Backoff(random.Random(seed))
        return [backoff.delay(failures) for failures in range(1, 30)]

    drawn = [draw(seed) for seed in range(1000)]
    counts = sorted(1 + sum(at < 60 for at in itertools.accumulate(delays)) for delays in drawn)
    assert counts[500] <= 8
    assert counts[-1] <= 10
    assert max(map(max, drawn)) < 30  # so much later than its server is a service well again


async def test_9_after_a_410_the_next_change_is_seen_at_once(
    api: ApiServer, workloads: Workloads, kubeconfig: Path
) -> None:
    async with run_settled(workloads, api):
        api.compact()
        started = time.monotonic()
        edit(api, replicas=2)
        await eventually(lambda: api.get(DEPLOYMENT, "default", "resnet")["spec"]["replicas"] == 2, api)
        assert time.monotonic() - started < (2 if SOAK else 10)


async def test_10_a_watch_that_falls_silent_is_given_up(
    api: ApiServer, workloads: Workloads, kubeconfig: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The streams stay open and tell nothing; no resync comes to help."""
    if not SOAK:
        monkeypatch.setattr(streams, "_SILENCE_SECONDS", 3.0)
    async with run_settled(workloads, api) as operator:
        api.silent = True
        edit(api, replicas=2)
        await settle(operator, api)
        assert api.get(DEPLOYMENT, "default", "resnet")["spec"]["replicas"] == 1
        api.silent = False  # for new streams: nothing wakes the old ones
        started = time.monotonic()
        await eventually(lambda: api.get(DEPLOYMENT, "default", "resnet")["spec"]["replicas"] == 2, api, 120)
        assert time.monotonic() - started < 75


async def test_11_an_api_server_that_is_away_ends_nothing(
    api: ApiServer, workloads: Workloads, kubeconfig: Path
) -> None:
    """Connections are refused for a while; edits from before and from meanwhile are caught up with."""
    async with run_operator(workloads) as operator:
        api.put(make_service())
        await eventually(lambda: is_ready(api), api)
        await api.go_away()
        edit(api, replicas=2)
        api.put(make_service("meanwhile"))
        await asyncio.sleep(TROUBLE_SECONDS)
        assert not operator.loop.is_closed()
        await api.come_back()
        await eventually(
            lambda: (
                is_ready(api, "meanwhile")
                and api.get(DEPLOYMENT, "default", "resnet")["spec"]["replicas"] == 2
            ),
            api,
            30 if SOAK else 60,
        )


async def test_13_a_service_goes_at_once_though_the_operator_is_down(
    api: ApiServer, workloads: Workloads, kubeconfig: Path
) -> None:
    async with run_operator(workloads):
        api.put(make_service())
        api.put(make_service("stays"))
        await eventually(lambda: is_ready(api) and is_ready(api, "stays"), api)
    owned = [o for kind in (INFERENCE_SERVICE, *CHILDREN) for o in api.gather(kind)]
    assert not any(found["metadata"].get("finalizers") for found in owned)
    api.delete(INFERENCE_SERVICE, "default", "resnet")
    async with run_operator(workloads) as operator:
        await settle(operator, api)
        await eventually(lambda: operator.operator.lease.held, api)
        await settle(operator, api)
    for kind in (INFERENCE_SERVICE, *CHILDREN):
        assert [found["metadata"]["name"] for found in api.gather(kind)] == ["stays"]


async def test_15_ready_is_never_true_of_pods_of_another_generation(
    api: ApiServer, workloads: Workloads, kubeconfig: Path
) -> None:
    """Edits fall upon each other; whenever Ready is written as True, the pods are those of the generation it names."""
    lies: list[Object] = []

    def check(kind: Kind, found: Object) -> None:
        if kind is not INFERENCE_SERVICE:
            return
        told = {c["type"]: c for c in (found.get("status") or {}).get("conditions") or ()}.get("Ready", {})
        if told.get("status") != "True" or told["observedGeneration"] != found["metadata"]["generation"]:
            return
        streams = {f"{found['spec']['hints']['numStreams']}"}
        texts = {p["metadata"]["annotations"]["vinoserve.dev/config"] for p in api.gather(POD)}
        data = (api.gather(CHILDREN[0])[0].get("data") or {}).items()
        served = {text for key, text in data if any(digest in key for digest in texts)}
        if not all(
            f'"numStreams": {n}' in text or f'"numStreams": "{n}"' in text for n in streams for text in served
        ):
            lies.append(found)

    async with run_operator(workloads) as operator:
        api.put(make_service(hints={"numStreams": 1}))
        await eventually(lambda: is_ready(api), api)
        api.on_write.append(check)
        for streams in range(2, 12):
            edit(api, hints={"numStreams": streams})
            await asyncio.sleep(0.03 * (streams % 3))
        generation = api.get(INFERENCE_SERVICE, "default", "resnet")["metadata"]["generation"]
        await eventually(
            lambda: is_ready(api) and condition(api, "Ready")["observedGeneration"] == generation, api
        )
        await settle(operator, api)
    assert lies == []


def unscheduled(pod: Object) -> None:
    pod["status"] = {
        "phase": "Pending",
        "conditions": [
            {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes"}
        ],
    }


def crashing(pod: Object) -> None:
    pod["status"]["conditions"][1]["status"] = "False"
    pod["status"]["containerStatuses"][0] |= {
        "restartCount": 3,
        "state": {"waiting": {"reason": "CrashLoopBackOff"}},
        "lastState": {"terminated": {"exitCode": 139, "reason": "Error"}},
    }


def unpullable(pod: Object) -> None:
    pod["status"]["conditions"][1]["status"] = "False"
    pod["status"]["initContainerStatuses"][0]["state"] = {
        "waiting": {"reason": "ImagePullBackOff", "message": 'Back-off pulling image "i": not found'}
    }


@pytest.mark.parametrize(
    ("break_", "reason"),
    [(unscheduled, "Unschedulable"), (crashing, "CrashLoop"), (unpullable, "ImagePullFailed")],
)
async def test_16_what_ails_a_pod_is_told_within_seconds(
    api: ApiServer, workloads: Workloads, kubeconfig: Path, break_: Any, reason: str
) -> None:
    async with run_settled(workloads, api):
        (pod,) = api.gather(POD)
        changed = {**pod, "metadata": dict(pod["metadata"]), "status": {**pod["status"]}}
        changed = copy.deepcopy(changed)
        break_(changed)
        started = time.monotonic()
        api.put(changed)
        await eventually(lambda: condition(api, "Ready").get("reason") == reason, api)
        assert condition(api, "Ready")["status"] == "False"
        assert time.monotonic() - started < (5 if SOAK else 15)


async def test_what_is_changed_or_deleted_by_hand_is_put_back(
    api: ApiServer, workloads: Workloads, kubeconfig: Path
) -> None:
    async with run_settled(workloads, api) as operator:
        wanted = {kind: api.get(kind, "default", "resnet") for kind in CHILDREN}
        for kind in CHILDREN:
            api.delete(kind, "default", "resnet")
            await eventually(lambda kind=kind: api.get(kind, "default", "resnet"), api)
        found = api.get(DEPLOYMENT, "default", "resnet")
        template = copy.deepcopy(found["spec"]["template"])
        template["spec"]["containers"][0]["image"] = "example.com/another:1"
        edited = {"replicas": 7, "template": template, "minReadySeconds": 77, "paused": True}
        api.put({**found, "spec": {**found["spec"], **edited}})
        config_map = api.get(CHILDREN[0], "default", "resnet")
        api.put({**config_map, "data": dict.fromkeys(config_map["data"], "{}")})
        service = api.get(SERVICE, "default", "resnet")
        narrowed = {**service["spec"], "selector": {**service["spec"]["selector"], "app": "another"}}
        api.put({**service, "spec": narrowed})

        def as_before() -> bool:
            now = {kind: api.get(kind, "default", "resnet") for kind in CHILDREN}
            return all(
                now[kind].get(part) == wanted[kind].get(part)
                and now[kind]["metadata"]["labels"] == wanted[kind]["metadata"]["labels"]
                for kind in CHILDREN
                for part in ("spec", "data")
            )

        await eventually(as_before, api)
        service = api.get(SERVICE, "default", "resnet")
        api.put({**service, "metadata": {**service["metadata"], "labels": {}}})
        await eventually(as_before, api)
        await settle(operator, api)
        for kind in CHILDREN:
            found = api.get(kind, "default", "resnet")
            labels = {**found["metadata"]["labels"], INSTANCE_LABEL: "another"}
            api.put({**found, "metadata": {**found["metadata"], "labels": labels}})
        await eventually(as_before, api)
        edit(api, replicas=2)  # a budget is made for the first time, which nobody has deleted
        await eventually(lambda: api.gather(POD_DISRUPTION_BUDGET), api)
        await settle(operator, api)
        told = {event["note"].split(" ", 1)[0] for event in api.gather(EVENT) if event["reason"] == "PutBack"}
        config = next(iter(config_map["data"]))
    instance = f"metadata.labels.{INSTANCE_LABEL}"
    assert told == {
        "ConfigMap",
        "Service",
        "Deployment",
        instance,
        "spec.replicas",
        "spec.selector",
        f"data.{config}",
    }
    assert [len(api.gather(kind)) for kind in (*CHILDREN, POD)] == [1, 1, 1, 2]
