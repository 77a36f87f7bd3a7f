"""A model that nobody asks is let go of, and is back for whoever asks next."""

import asyncio
import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from tests.models import write_adder, write_classifier
from tests.runtime.configs import make_config
from tests.runtime.lifecycle import here
from tests.runtime.lifecycle.heavy import SIZE, WEIGHTS, resident, until_released, write_heavy
from tests.runtime.lifecycle.process import Runtime, running
from vinoserve_api.conditions import FailureReason
from vinoserve_runtime import idle as idle_module
from vinoserve_runtime import lifecycle as lifecycle_module
from vinoserve_runtime import loader as loader_module
from vinoserve_runtime.errors import StartupError
from vinoserve_runtime.idle import Sleeper
from vinoserve_runtime.lifecycle import Lifecycle
from vinoserve_runtime.protocol.errors import DeadlineExceededError, NotReadyError, QueueFullError

X = np.ones((1, 4), np.float32)


def read_metric(runtime: Runtime, name: str) -> float:
    lines = [line for line in runtime.get("/metrics").text.splitlines() if line.startswith(name)]
    assert len(lines) == 1, lines
    return float(lines[0].split()[-1])


def test_memory_is_given_back_and_the_next_request_is_answered_from_the_cache(
    tmp_path: Path, ports: tuple[int, int]
) -> None:
    config = make_config(write_heavy(tmp_path / "m.xml"), releaseAfterSeconds=1)
    with running(config, tmp_path, ports=ports) as runtime:
        runtime.until_ready()
        x = ([1, SIZE], [1.0] * SIZE)
        before = runtime.infer(x=x).json()["outputs"]
        loaded = resident(runtime)
        until_released(runtime)
        deadline = time.monotonic() + 30
        while resident(runtime) > loaded - WEIGHTS * 0.8:
            assert time.monotonic() < deadline, (loaded, resident(runtime), WEIGHTS)
            time.sleep(0.05)

        metadata = httpx.get(f"{runtime.rest}/v2/models/model").json()
        assert metadata["inputs"][0]["shape"] == [1, SIZE]
        for path in ("/v2/health/ready", "/v2/models/model/ready"):
            assert httpx.get(f"{runtime.rest}{path}").status_code == 200
        assert runtime.get("/readyz").status_code == runtime.get("/livez").status_code == 200
        report = runtime.report()
        assert (report.phase, report.on_requested_device, report.execution_devices) == (
            "Idle",
            True,
            ("CPU",),
        )
        assert report.idle is not None
        assert report.idle.reloads == 0, "metadata and health are no requests"
        assert read_metric(runtime, "vinoserve_released") == 1

        assert runtime.infer(x=x).json()["outputs"] == before
        report = runtime.report()
        assert report.phase == "Ready"
        assert report.idle is not None
        assert report.idle.released_at is None
        assert (report.idle.reloads, report.idle.cache_hit) == (1, True)
        assert report.startup.cache_hit is False, "the start was without it"
        assert read_metric(runtime, "vinoserve_released") == 0
        assert read_metric(runtime, "vinoserve_reload_seconds_count") == 1
        assert runtime.terminate() == 0


def test_whoever_asks_while_it_is_released_or_loads_is_answered(
    tmp_path: Path, ports: tuple[int, int]
) -> None:
    """Many clients with pauses about as long as the release takes to begin: requests meet it in every state."""
    config = make_config(write_classifier(tmp_path / "m.xml"), releaseAfterSeconds=1)
    x = ([1, 3, 8, 8], [0.5] * 192)
    with running(
        config, tmp_path, ports=ports, patch="import vinoserve_runtime.idle as i; i._TICK_SECONDS = 0.02"
    ) as runtime:
        runtime.until_ready()
        right = runtime.infer(x=x).json()["outputs"]

        def ask(pause: float) -> Any:
            time.sleep(pause)
            answer = runtime.infer(x=x)
            assert answer.status_code == 200, answer.text
            return answer.json()["outputs"]

        with ThreadPoolExecutor(8) as pool:
            for around in range(6):
                pauses = [1.0 + around / 100 + client / 200 for client in range(8)]
                assert all(outputs == right for outputs in pool.map(ask, pauses))
        report = runtime.report()
        assert report.idle is not None
        assert report.idle.reloads >= 4
        assert report.idle.failed_reloads == report.engine_errors == 0


def test_sigterm_while_a_request_waits_for_the_model(tmp_path: Path, ports: tuple[int, int]) -> None:
    slow = (
        "import time, vinoserve_runtime.loader as l; c = l.compile_model; n = []\n"
        "def compile_model(*a):\n    n.append(1); time.sleep(2 if len(n) > 1 else 0); return c(*a)\n"
        "l.compile_model = compile_model"
    )
    config = make_config(write_adder(tmp_path / "m.onnx"), releaseAfterSeconds=1)
    with running(config, tmp_path, ports=ports, patch=slow) as runtime, ThreadPoolExecutor(1) as pool:
        runtime.until_ready()
        until_released(runtime)
        answer = pool.submit(runtime.infer, x=([1, 4], [0.0] * 4))
        runtime.until_phase("Reloading")
        assert runtime.terminate() == 0
        assert answer.result().json()["outputs"][0]["data"] == [1.0] * 4


@pytest.mark.parametrize(
    "fields",
    [
        {
            "batching": {"maxBatchSize": 4, "timeoutMilliseconds": 1},
            "inputs": [{"name": "x", "shape": ["1..8", 4]}],
        },
        {"inputs": [{"name": "x", "buckets": [[1, 4], [8, 4]]}]},
        {"targetDevice": "AUTO:CPU"},
        {"targetDevice": "HETERO:CPU"},
        {"warmupRequests": 0},
        {"parity": {"random": 2}},
    ],
    ids=["batching", "buckets", "auto", "hetero", "no warm-up", "parity"],
)
async def test_every_kind_of_engine_comes_back(tmp_path: Path, fields: dict[str, Any]) -> None:
    model = write_adder(tmp_path / "m.onnx", shape=(-1, 4))
    given = {"inputs": [{"name": "x", "shape": [1, 4]}]} | fields
    async with here.running(
        tmp_path, path=model, releaseAfterSeconds=1, cache_dir=tmp_path / "c", **given
    ) as (
        lifecycle,
        task,
    ):
        await here.until(lambda: lifecycle.why_not_ready() is None, task)
        before = await lifecycle._dataplane.infer([X])
        await here.until(lambda: lifecycle.ledger.phase == "Idle" and not lifecycle.is_busy, task)
        assert lifecycle.why_not_ready() is None
        after = await asyncio.gather(*(lifecycle._dataplane.infer([X]) for _ in range(5)))
        assert [list(results[0].ravel()) for results in after] == [list(before[0].ravel())] * 5
        assert lifecycle.ledger.idle.reloads == 1


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> list[Exception]:
    """What the next loads end with; nothing of it: they work."""
    monkeypatch.setattr(lifecycle_module, "RELOAD_PAUSE_SECONDS", 0.01)
    errors: list[Exception] = []
    real = loader_module.compile_model

    def compile_model(*given: Any) -> Any:
        if errors:
            raise errors.pop(0)
        return real(*given)

    monkeypatch.setattr(loader_module, "compile_model", compile_model)
    return errors


FULL = StartupError(FailureReason.OUT_OF_DEVICE_MEMORY, "the GPU's memory is full")


async def asleep(lifecycle: Lifecycle, task: "asyncio.Task[Any]") -> None:
    await here.until(lambda: lifecycle.ledger.idle.released_at and not lifecycle.is_busy, task)


async def test_a_reload_that_fails_is_refused_with_the_reason_and_tried_again(
    tmp_path: Path, broken: list[Exception]
) -> None:
    async with here.running(tmp_path, releaseAfterSeconds=1) as (lifecycle, task):
        await asleep(lifecycle, task)
        broken.append(FULL)
        with pytest.raises(NotReadyError, match="could not be loaded again: the GPU's memory is full"):
            await lifecycle._dataplane.infer([X])
        report = lifecycle.report()
        assert report.idle is not None
        assert report.idle.failure is not None
        assert report.idle.failure.reason == FailureReason.OUT_OF_DEVICE_MEMORY
        assert report.warnings == ("could not be loaded again: the GPU's memory is full",)
        assert lifecycle.why_not_ready() is None
        assert len(await lifecycle._dataplane.infer([X])) == 1
        assert lifecycle.report().phase == "Ready"
        assert lifecycle.report().warnings == (), "it is mended"


async def test_a_model_that_does_not_come_back_takes_the_pod_with_it(
    tmp_path: Path, broken: list[Exception]
) -> None:
    async with here.running(tmp_path, releaseAfterSeconds=1) as (lifecycle, task):
        await asleep(lifecycle, task)
        broken += [FULL] * idle_module.RELOADS
        for _ in range(idle_module.RELOADS):
            with pytest.raises(NotReadyError):
                await lifecycle._dataplane.infer([X])
        failure = await task
        assert failure is not None
        assert failure.reason == FailureReason.OUT_OF_DEVICE_MEMORY
        assert lifecycle.why_not_ready()


async def test_a_model_that_has_changed_on_disk_is_not_served(tmp_path: Path) -> None:
    path = write_adder(tmp_path / "m.onnx")
    async with here.running(tmp_path, path=path, releaseAfterSeconds=1) as (lifecycle, task):
        await asleep(lifecycle, task)
        write_adder(path, shape=(2, 4))
        with pytest.raises(NotReadyError, match="has changed since it was fetched"):
            await lifecycle._dataplane.infer([X])


async def test_more_than_may_wait_is_refused_while_the_model_loads(tmp_path: Path) -> None:
    limits = {
        "maxRequestBytes": 1 << 20,
        "maxQueuedRequests": 1,
        "requestTimeoutSeconds": 30,
        "maxImagePixels": 1000,
    }
    async with here.running(tmp_path, releaseAfterSeconds=1, limits=limits) as (lifecycle, task):
        await asleep(lifecycle, task)
        dataplane = lifecycle._dataplane
        size = dataplane._engine.size  # type: ignore[union-attr]
        asked = []
        for _ in range(size + 1):
            dataplane.admit()
            asked.append(asyncio.ensure_future(dataplane.infer([X])))
            await asyncio.sleep(0)
        with pytest.raises(QueueFullError):
            dataplane.admit()
        assert len(await asyncio.gather(*asked)) == size + 1


async def test_the_deadline_of_a_request_counts_while_the_model_loads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = {
        "maxRequestBytes": 1 << 20,
        "maxQueuedRequests": 8,
        "requestTimeoutSeconds": 1,
        "maxImagePixels": 1000,
    }
    async with here.running(tmp_path, releaseAfterSeconds=1, limits=limits) as (lifecycle, task):
        await asleep(lifecycle, task)
        go_on = threading.Event()
        real = loader_module.compile_model

        def compile_model(*given: Any) -> Any:
            go_on.wait(60)
            return real(*given)

        monkeypatch.setattr(loader_module, "compile_model", compile_model)
        with pytest.raises(DeadlineExceededError):
            await lifecycle._dataplane.infer([X])
        go_on.set()
        await here.until(lambda: lifecycle.ledger.idle.reloads == 1, task)
        assert len(await lifecycle._dataplane.infer([X])) == 1, "who gave up has not waited in vain"


async def test_the_stand_in_refuses_who_waits_and_lets_the_next_one_wait(tmp_path: Path) -> None:
    class Engine:
        inputs = outputs = ()
        size = 2

        async def infer(self, tensors: Any) -> Any:
            return tensors

    sleeper = Sleeper(Engine())
    first = asyncio.ensure_future(sleeper.infer([X]))
    await sleeper.wanted.wait()
    sleeper.refuse(NotReadyError("no"))
    assert not sleeper.wanted.is_set()
    with pytest.raises(NotReadyError):
        await first
    gone, stays = (asyncio.ensure_future(sleeper.infer([X])) for _ in range(2))
    await sleeper.wanted.wait()
    gone.cancel()
    sleeper.wake(Engine())
    assert (await stays)[0] is X


def test_a_model_without_idle_never_rests(tmp_path: Path, ports: tuple[int, int]) -> None:
    with running(make_config(write_adder(tmp_path / "m.onnx")), tmp_path, ports=ports) as runtime:
        runtime.until_ready()
        report = json.loads(runtime.get("/report").content)
        assert report["idle"] is None
        assert read_metric(runtime, "vinoserve_released") == 0
