"""What the lifecycle makes of a device that isn't the one asked for, and of an engine that breaks."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.models import write_adder
from tests.runtime.configs import make_config
from vinoserve_api.conditions import FailureReason
from vinoserve_api.contract import RuntimeFailure, read_termination_message
from vinoserve_api.device import matches_execution, parse_target
from vinoserve_runtime import lifecycle as lifecycle_module
from vinoserve_runtime.engine import plan as plan_module
from vinoserve_runtime.engine.compile import CompiledModel, DeviceState
from vinoserve_runtime.engine.configuration import Configuration
from vinoserve_runtime.engine.pool import InferRequestPool
from vinoserve_runtime.errors import InferenceError
from vinoserve_runtime.lifecycle import Lifecycle
from vinoserve_runtime.report import write_termination_message
from vinoserve_runtime.settings import ServeSettings


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("WATCH_SECONDS", "OBSERVE_SECONDS"):
        monkeypatch.setattr(lifecycle_module, name, 0.01)


@asynccontextmanager
async def running(
    folder: Path, **fields: Any
) -> AsyncIterator[tuple[Lifecycle, "asyncio.Task[RuntimeFailure | None]"]]:
    settings = ServeSettings(
        host="127.0.0.1",
        http_port=0,
        grpc_port=0,
        admin_port=0,
        model_dir=folder / "models",
        claim_dir=folder / "claim",
        credentials_dir=folder / "credentials",
        cache_dir=None,
        fetch=True,
    )
    lifecycle = Lifecycle(make_config(write_adder(folder / "m.xml"), **fields), settings)
    task = asyncio.create_task(lifecycle.run())
    try:
        yield lifecycle, task
    finally:
        lifecycle.stop()
        await task


async def until(condition: Callable[[], object], task: "asyncio.Task[Any]") -> None:
    async with asyncio.timeout(60):
        while not condition():
            assert not task.done(), task.result()
            await asyncio.sleep(0.005)


@pytest.fixture
def devices(monkeypatch: pytest.MonkeyPatch) -> list[Sequence[str]]:
    """What OpenVINO says at each look; the last for ever."""
    seen: list[Sequence[str]] = []
    real = CompiledModel.observe

    def observe(self: CompiledModel) -> DeviceState:
        state = real(self)
        names = tuple(seen.pop(0) if len(seen) > 1 else seen[0])
        on_requested = matches_execution(self.plan.requested, names)
        return DeviceState(names, names, on_requested, state.effective)

    monkeypatch.setattr(CompiledModel, "observe", observe)
    return seen


TARGET = {"targetDevice": "AUTO:GPU,CPU"}


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """A GPU that OpenVINO lists; AUTO is compiled for the CPU all the same."""
    monkeypatch.setattr(plan_module, "gather_devices", lambda _: ("CPU", "GPU"))
    real = lifecycle_module.compile_model

    def compile_for_cpu(core: Any, prepared: Any, config: Any, plan: Any, cache: Any) -> CompiledModel:
        on_cpu = replace(plan, target=parse_target("AUTO:CPU"), configuration=Configuration({}))
        return real(core, prepared, config, on_cpu, cache)

    monkeypatch.setattr(lifecycle_module, "compile_model", compile_for_cpu)


@pytest.mark.usefixtures("gpu")
async def test_only_the_requested_device_will_do_so_the_stand_in_is_waited_for(
    tmp_path: Path, devices: list[Sequence[str]]
) -> None:
    devices += [["(CPU)"], ["(CPU)"], ["GPU.0"]]
    async with running(tmp_path, **TARGET, onFallback="Fail") as (lifecycle, task):
        await until(lambda: lifecycle.why_not_ready() is None, task)
        assert lifecycle.report().execution_devices == ("GPU.0",)
        assert lifecycle.report().on_requested_device


@pytest.mark.usefixtures("gpu")
async def test_a_fallback_that_is_not_tolerated_is_a_failure(
    tmp_path: Path, devices: list[Sequence[str]]
) -> None:
    devices += [["(CPU)"], ["CPU"]]
    async with running(tmp_path, **TARGET, onFallback="Fail") as (lifecycle, task):
        failure = await task
        assert failure is not None
        assert failure.reason == FailureReason.FELL_BACK_TO_CPU
        assert "asked for AUTO:GPU,CPU, but it runs on CPU" in failure.message
        assert lifecycle.report().phase == "Failed"
        assert lifecycle.why_not_ready()


@pytest.mark.usefixtures("gpu")
async def test_a_fallback_while_serving_is_a_failure_too(
    tmp_path: Path, devices: list[Sequence[str]]
) -> None:
    devices += [["GPU.0"]]
    async with running(tmp_path, **TARGET, onFallback="Fail") as (lifecycle, task):
        await until(lambda: lifecycle.why_not_ready() is None, task)
        devices[:] = [["CPU"]]
        failure = await task
        assert failure is not None
        assert failure.reason == FailureReason.FELL_BACK_TO_CPU


@pytest.mark.usefixtures("gpu")
@pytest.mark.parametrize(("policy", "warned"), [("Warn", True), ("Allow", False)])
async def test_a_tolerated_fallback_serves_and_says_so(
    tmp_path: Path, devices: list[Sequence[str]], policy: str, warned: bool
) -> None:
    devices += [["(CPU)"], ["CPU"]]
    async with running(tmp_path, **TARGET, onFallback=policy) as (lifecycle, task):
        await until(lambda: lifecycle.report().execution_devices == ("CPU",), task)
        await until(lambda: lifecycle.why_not_ready() is None, task)
        report = lifecycle.report()
        assert report.on_requested_device is False
        assert bool(report.warnings) is warned


@pytest.mark.usefixtures("gpu")
async def test_a_stand_in_serves_until_the_device_is_there(
    tmp_path: Path, devices: list[Sequence[str]]
) -> None:
    devices += [["(CPU)"]]
    async with running(tmp_path, **TARGET, onFallback="Warn") as (lifecycle, task):
        await until(lambda: lifecycle.why_not_ready() is None, task)
        assert lifecycle.report().on_requested_device is False
        assert lifecycle.report().warnings == ()
        devices[:] = [["GPU.0"]]
        await until(lambda: lifecycle.report().on_requested_device, task)


async def test_an_engine_that_is_lost_takes_the_pod_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(tmp_path) as (lifecycle, task):
        await until(lambda: lifecycle.why_not_ready() is None, task)

        async def infer(self: InferRequestPool, tensors: object) -> None:
            raise self._fail(RuntimeError("CL_DEVICE_NOT_AVAILABLE"))

        monkeypatch.setattr(InferRequestPool, "infer", infer)
        for _ in range(5):
            with pytest.raises(InferenceError):
                await lifecycle._dataplane.infer([np.zeros((1, 4), np.float32)])
        failure = await task
        assert failure is not None
        assert failure.reason == FailureReason.DEVICE_LOST
        assert "CL_DEVICE_NOT_AVAILABLE" in failure.message
        assert lifecycle.why_not_live()


def test_the_termination_message_is_what_the_operator_reads(tmp_path: Path) -> None:
    failure = RuntimeFailure(reason=FailureReason.OUT_OF_MEMORY, message="x" * 5000)
    path = tmp_path / "termination-log"
    write_termination_message(failure, path)
    assert not path.exists()  # no pod: nothing is left lying about
    path.touch()
    write_termination_message(failure, path)
    read = read_termination_message(path.read_text())
    assert read is not None
    assert read.reason == FailureReason.OUT_OF_MEMORY
