"""What the lifecycle makes of a device that isn't the one asked for, and of an engine that breaks."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from openvino.opset15 import constant

from tests.models import write_classifier
from tests.runtime.lifecycle.here import running, until
from vinoserve_api.conditions import FailureReason
from vinoserve_api.contract import RuntimeFailure, read_termination_message
from vinoserve_api.device import matches_execution, parse_target
from vinoserve_runtime import lifecycle as lifecycle_module
from vinoserve_runtime import loader as loader_module
from vinoserve_runtime.engine import plan as plan_module
from vinoserve_runtime.engine.compile import CompiledModel, DeviceState
from vinoserve_runtime.engine.configuration import Configuration
from vinoserve_runtime.engine.devices import DeviceNodes
from vinoserve_runtime.engine.parity import Reference
from vinoserve_runtime.engine.pool import InferRequestPool
from vinoserve_runtime.errors import InferenceError
from vinoserve_runtime.model.prepare import PreparedModel
from vinoserve_runtime.report import make_crash_note, write_termination_message
from vinoserve_runtime.servers import Servers


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("WATCH_SECONDS", "OBSERVE_SECONDS"):
        monkeypatch.setattr(lifecycle_module, name, 0.01)
    monkeypatch.setattr(loader_module, "WATCH_SECONDS", 0.01)


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
    real = loader_module.compile_model

    def compile_for_cpu(core: Any, prepared: Any, config: Any, plan: Any, cache: Any) -> CompiledModel:
        on_cpu = replace(plan, target=parse_target("AUTO:CPU"), configuration=Configuration({}))
        return real(core, prepared, config, on_cpu, cache)

    monkeypatch.setattr(loader_module, "compile_model", compile_for_cpu)


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
            self._faults.note("CL_DEVICE_NOT_AVAILABLE")
            raise InferenceError("CL_DEVICE_NOT_AVAILABLE")

        monkeypatch.setattr(InferRequestPool, "infer", infer)
        monkeypatch.setattr(InferRequestPool, "infer_now", lambda *_: None)
        for _ in range(5):
            with pytest.raises(InferenceError):
                await lifecycle._dataplane.infer([np.zeros((1, 4), np.float32)])
        failure = await task
        assert failure is not None
        assert failure.reason == FailureReason.DEVICE_LOST
        assert "CL_DEVICE_NOT_AVAILABLE" in failure.message
        assert lifecycle.why_not_live()


async def test_a_doubt_takes_readiness_down_and_a_proof_brings_it_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(tmp_path) as (lifecycle, task):
        await until(lambda: lifecycle.why_not_ready() is None, task)
        proving = asyncio.Event()

        async def proves_engine(_: object) -> bool:
            await proving.wait()
            return True

        monkeypatch.setattr(lifecycle._health, "_prove", lambda: proves_engine(None))
        for _ in range(5):
            lifecycle._faults.note("shapes don't fit")
        assert "failed inferences in a row: 5" in (lifecycle.why_not_ready() or "")
        assert not lifecycle._dataplane.ready
        x = np.zeros((1, 4), np.float32)
        lifecycle._faults.in_a_row, before = 5, lifecycle._faults.total
        assert len(await lifecycle._dataplane.infer([x])) == 1  # who asks is answered all the same
        proving.set()
        await until(lambda: lifecycle.why_not_ready() is None, task)
        assert lifecycle.why_not_live() is None
        assert lifecycle.report().engine_errors == before == 5


async def test_a_device_node_that_goes_away_is_a_lost_device(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(DeviceNodes, "find_lost", lambda _: "/dev/dri/renderD128 can't be opened any more")
    async with running(tmp_path) as (lifecycle, task):
        failure = await task
        assert failure is not None
        assert failure.reason == FailureReason.DEVICE_LOST
        assert "renderD128" in (lifecycle.why_not_live() or "")


async def test_a_batch_that_cannot_grow_is_said_to_do_nothing(tmp_path: Path) -> None:
    """A Reshape to one fixed sample: OpenVINO compiles it and puts nothing together, without a word."""
    path = write_classifier(tmp_path / "c.xml")
    async with running(tmp_path, path=path, targetDevice="BATCH:CPU(4)") as (lifecycle, task):
        await until(lambda: lifecycle.why_not_ready() is None, task)
        assert [w for w in lifecycle.report().warnings if "BATCH:CPU(4) puts no requests together" in w]


class Elsewhere(Reference):
    """A reference that adds 1.5 where the served model adds 1."""

    def __init__(self, prepared: PreparedModel) -> None:
        add = next(node for node in prepared.model.get_ordered_ops() if node.get_type_name() == "Add")
        add.input(1).replace_source_output(constant(np.full((1, 4), 1.5, np.float32)).output(0))
        super().__init__(prepared)


async def test_a_mismatch_is_never_ready(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loader_module, "Reference", Elsewhere)
    async with running(tmp_path, parity={"random": 5}) as (lifecycle, task):
        failure = await task
        assert failure is not None
        assert failure.reason == FailureReason.PARITY_MISMATCH
        assert "output 'y' of sample" in failure.message
        assert "hints.inferencePrecision: f32" in failure.message
        parity = lifecycle.report().parity
        assert parity is not None
        assert not parity.passed
        assert parity.outputs[0].max_absolute_error == pytest.approx(0.5, abs=0.05)
        assert not lifecycle._has_started


async def test_a_mismatch_is_said_and_served_where_that_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loader_module, "Reference", Elsewhere)
    async with running(tmp_path, parity={"random": 5, "onMismatch": "Warn"}) as (lifecycle, task):
        await until(lambda: lifecycle.why_not_ready() is None, task)
        assert [w for w in lifecycle.report().warnings if "output 'y' of sample" in w]


async def test_samples_beside_the_model_are_compared_before_ready(tmp_path: Path) -> None:
    np.savez(tmp_path / "s.npz", x=np.ones((1, 4), np.float32))
    f32 = {"inferencePrecision": "f32"}
    async with running(tmp_path, parity={"samples": "s.npz"}, hints=f32) as (lifecycle, task):
        await until(lambda: lifecycle.why_not_ready() is None, task)
        report = lifecycle.report()
        assert report.parity is not None
        assert (report.parity.passed, report.parity.samples) == (True, 1)
        assert report.startup.parity_seconds is not None


async def test_what_reading_and_the_preflight_warn_of_is_reported(tmp_path: Path) -> None:
    fields = {"targetDevice": "HETERO:CPU", "operatorAffinity": [{"device": "CPU", "types": ["Addd"]}]}
    async with running(tmp_path, element_type="i64", **fields) as (lifecycle, task):
        await until(lambda: lifecycle.why_not_ready() is None, task)
        report = lifecycle.report()
        assert [w for w in report.warnings if "'x' is i64" in w]
        assert [w for w in report.warnings if "no operator of type Addd; did you mean Add?" in w]
        assert [(p.device, p.operators) for p in report.placement] == [("CPU", 2)]


@pytest.mark.parametrize(("element_type", "is_said"), [("f64", True), ("f32", False)])
async def test_doubles_are_said_to_be_calculated_with_in_single_precision(
    tmp_path: Path, element_type: str, is_said: bool
) -> None:
    async with running(tmp_path, element_type=element_type) as (lifecycle, task):
        await until(lambda: lifecycle.why_not_ready() is None, task)
        assert any("'x' is f64" in warning for warning in lifecycle.report().warnings) == is_said


async def test_rest_is_ready_only_where_grpc_listens_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    may_listen, start_grpc = asyncio.Event(), Servers.start_grpc

    async def late(servers: Servers) -> None:
        await may_listen.wait()
        await start_grpc(servers)

    monkeypatch.setattr(Servers, "start_grpc", late)
    async with running(tmp_path) as (lifecycle, task), httpx.AsyncClient() as client:

        async def is_ready() -> bool:
            return (await client.get(f"http://127.0.0.1:{lifecycle.rest_port}/v2/health/ready")).is_success

        await until(lambda: lifecycle.ledger.startup.warmup_seconds is not None, task)
        await asyncio.sleep(0)
        assert not await is_ready()
        may_listen.set()
        await until(lambda: lifecycle.report().phase == "Ready", task)
        assert await is_ready()


@pytest.mark.parametrize("letter", ["x", "é", '"'])
def test_the_termination_message_is_what_the_operator_reads(tmp_path: Path, letter: str) -> None:
    failure = RuntimeFailure(reason=FailureReason.OUT_OF_MEMORY, message=letter * 5000)
    path = tmp_path / "termination-log"
    write_termination_message(failure, path)
    assert not path.exists()  # no pod: nothing is left lying about
    path.touch()
    write_termination_message(failure, path)
    assert 4090 <= path.stat().st_size <= 4096  # what the kubelet takes
    read = read_termination_message(path.read_text(encoding="utf-8"))
    assert read is not None
    assert read.reason == FailureReason.OUT_OF_MEMORY
    assert read.message.startswith(letter * 1000)


def test_a_crash_of_native_code_finds_its_message_written(tmp_path: Path) -> None:
    path = tmp_path / "termination-log"
    path.touch()
    write_termination_message(make_crash_note("Compiling", "HETERO:GPU,CPU"), path)
    read = read_termination_message(path.read_text())
    assert read is not None
    assert read.reason == FailureReason.ENGINE_CRASHED
    assert "while it was compiling the model for HETERO:GPU,CPU" in read.message
    write_termination_message(make_crash_note("Draining", "GPU"), path)
    assert path.read_text() == ""
