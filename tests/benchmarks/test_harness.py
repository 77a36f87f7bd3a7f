"""The harness at work: with vinoserve and the limits, and with those peers that are installed already."""

import os
import sys
import time
from pathlib import Path

import pytest

from benchmarks.environments import find_environment
from benchmarks.machine import read_processor, split_cores
from benchmarks.measure import Meter
from benchmarks.models import adopt_model, make_model
from benchmarks.plan import make_smoke_plan
from benchmarks.process import ServerError, running, wait_until
from benchmarks.programs import build_programs
from benchmarks.results import Load, Results
from benchmarks.run import BARE, run_plan
from benchmarks.servers import SERVERS, VINOSERVE, Server, Setup, make_triton_config, serving
from benchmarks.stalls import look
from tests.models import write_adder
from tools.toolbox.errors import ToolError

CORES = tuple(sorted(os.sched_getaffinity(0)))


def find_processes_below(folder: Path) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                if (entry / "cwd").readlink().is_relative_to(folder):
                    found.append(int(entry.name))
            except OSError:
                continue
    return found


@pytest.fixture(scope="module")
def smoke(tmp_path_factory: pytest.TempPathFactory) -> Results:
    """`make bench-smoke` with a model of the user's own, and without peers."""
    folder = tmp_path_factory.mktemp("smoke")
    models = {kind: make_model(kind) for kind in ("tiny", "mlp")}
    models["own"] = adopt_model(write_adder(folder / "own.onnx"))
    own = [server for server in SERVERS if server.name == VINOSERVE]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tempfile.tempdir", str(folder))
        results = run_plan(make_smoke_plan(own=True), models, build_programs(), own)
    assert find_processes_below(folder) == []
    return results


def test_vinoserve_and_the_limits_are_measured_in_every_way(smoke: Results) -> None:
    measured = {(c.model, c.server, c.load.protocol, c.max_batch, c.load.share) for c in smoke.cells}
    wanted = {
        (m, VINOSERVE, p, 0, None) for m in ("tiny", "own") for p in ("REST binary", "REST JSON", "gRPC")
    }
    wanted |= {("tiny", VINOSERVE, p, 0, 0.5) for p in ("REST binary", "gRPC")}
    wanted |= {("mlp", VINOSERVE, "REST binary", batch, None) for batch in (0, 32)}
    wanted |= {("tiny", "bare loop", "REST binary", 0, None), ("tiny", "nghttpd", "gRPC", 0, None)}
    assert wanted <= measured
    assert [what for what in smoke.absent if what.startswith(VINOSERVE)] == []
    assert all(one.failed == 0 for c in smoke.cells if c.server == VINOSERVE for one in c.rounds)
    assert {(i.model, i.batch) for i in smoke.inferences} == {("tiny", 1), ("own", 1), ("mlp", 32)}


def test_starts_memory_and_processor_time_are_measured(smoke: Results) -> None:
    assert {(s.server, s.cached) for s in smoke.starts} >= {
        (VINOSERVE, False),
        (VINOSERVE, True),
        (BARE, False),
    }
    held = {m.server: m.mib[0] for m in smoke.memories}
    assert 20 < held[BARE] < held[VINOSERVE]
    closed = [one for c in smoke.cells if c.load.share is None for one in c.rounds]
    assert all(one.cpu_seconds is not None for one in closed)
    assert any(one.cpu_seconds for one in closed)


def test_what_the_machine_takes_is_measured_before_each_model(smoke: Results) -> None:
    assert len(smoke.stalls) == len({cell.model for cell in smoke.cells})
    assert all(0 <= one.share < 1 and one.longest_ms < 1000 for one in smoke.stalls)


def test_a_clock_that_jumps_is_a_stall() -> None:
    clock = iter([0, 0.0001, 0.0002, 0.0102, 0.0103, 0.0153, 1.0153])
    assert look(1, lambda: next(clock)) == pytest.approx((1.015, 1.0))
    steady = (tick / 10_000 for tick in range(20_000))
    assert look(1, lambda: next(steady)) == (0, 0)


def test_the_machine_is_told_and_nobody_s_name(smoke: Results) -> None:
    told = smoke.machine.model_dump_json() + str(smoke.versions)
    assert os.uname().nodename not in told
    assert str(Path.home()) not in smoke.model_dump_json()
    assert {"vinoserve", "OpenVINO", "wrk", "h2load"} <= smoke.versions.keys()


@pytest.mark.parametrize("server", [s for s in SERVERS if s.environment], ids=lambda s: s.name)
def test_a_peer_answers_right(server: Server, tmp_path: Path) -> None:
    if not find_environment(str(server.environment)).exists():
        pytest.skip(f"{server.name} is not installed: `make bench-smoke` does it")
    tiny, meter = make_model("tiny"), Meter(build_programs(), tmp_path, CORES)
    with serving(server, Setup(tiny, "LATENCY", CORES), tmp_path / "server") as started:
        for protocol in ("REST binary", "REST JSON", "gRPC"):
            if server.can(protocol):
                assert meter.check(started.port(protocol), tiny, Load(protocol=protocol, connections=1)) > 64
    assert started.group.find_pids() == []


def test_a_server_ends_with_all_its_children(tmp_path: Path) -> None:
    stubborn = "import os, signal, time; os.setpgid(0, 0); signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
    script = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {stubborn!r}]).wait()"
    with running([sys.executable, "-c", script], folder=tmp_path, env={}, cores=CORES) as group:
        wait_until(lambda: len(group.find_pids()) == 2, group, 60)
        assert group.measure_memory() > 2**20
        assert group.measure_cpu() >= 0
    assert group.find_pids() == []


def test_a_server_that_ends_early_says_why(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "import sys; sys.exit('no such model')"]
    with (
        running(command, folder=tmp_path, env={}, cores=CORES) as group,
        pytest.raises(ServerError, match=r"ended with 1:\n  no such model"),
    ):
        wait_until(lambda: False, group, 60)


def test_a_file_that_is_no_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ToolError, match="no such file"):
        adopt_model(tmp_path / "missing.onnx")
    (tmp_path / "text.onnx").write_text("no model")
    started = time.monotonic()
    with pytest.raises(ToolError, match="OpenVINO can't read"):
        adopt_model(tmp_path / "text.onnx")
    assert time.monotonic() - started < 60


def test_triton_batches_over_the_first_dimension() -> None:
    mlp = make_model("mlp")
    alone = make_triton_config(Setup(mlp, "LATENCY", CORES))
    assert 'input { name: "x", data_type: TYPE_FP32, dims: [-1, 512] }' in alone
    assert "dynamic_batching" not in alone
    together = make_triton_config(Setup(mlp, "LATENCY", CORES, 32))
    assert "max_batch_size: 32" in together
    assert 'input { name: "x", data_type: TYPE_FP32, dims: [512] }' in together
    assert "dynamic_batching { }" in together


def test_processors_and_cores() -> None:
    assert read_processor("processor : 0\nmodel name\t: Example 9000  \n") == "Example 9000"
    servers, clients = split_cores()
    assert (servers == clients) == (len(CORES) < 4)
    assert set(servers) | set(clients) == set(CORES)
