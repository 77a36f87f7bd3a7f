"""A run: the servers of a stage are all up, and are measured in turn, round by round, so that what disturbs the machine
for a while disturbs all of them."""

import contextlib
import datetime as dt
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from statistics import median

from benchmarks.limits import ECHO, NGHTTPD, echoing, run_benchmark_app, serving_file
from benchmarks.machine import describe_machine, find_versions, split_cores
from benchmarks.measure import Meter
from benchmarks.models import Model
from benchmarks.payloads import Protocol, make_payload
from benchmarks.plan import HALF, Plan, Stage, Variant
from benchmarks.process import Group, ServerError, running, wait_until
from benchmarks.programs import Programs
from benchmarks.results import Cell, Inference, Load, Memory, Results, Round, Stalls, Start
from benchmarks.servers import SERVED, SERVERS, VINOSERVE, Server, Setup, make_peer_env, serving
from benchmarks.stalls import measure_stalls
from tools.toolbox.errors import ToolError
from tools.toolbox.progress import say, show_time

BARE = "bare"


@dataclass
class Target:
    """Something under load; `ports`: by protocol, without those that it can't do."""

    name: str
    max_batch: int
    group: Group
    ports: dict[Protocol, int]


@dataclass
class Run:
    """What a run knows and has found so far."""

    plan: Plan
    models: Mapping[str, Model]
    programs: Programs
    servers: Sequence[Server]
    folder: Path
    started: float = field(default_factory=time.monotonic)
    absent: dict[str, str] = field(default_factory=dict)
    stalls: list[Stalls] = field(default_factory=list)
    rounds: dict[tuple[str, str, Load, int], list[Round]] = field(default_factory=dict)
    inferences: dict[tuple[str, str, int], list[tuple[float, float]]] = field(default_factory=dict)
    starts: dict[tuple[str, str, bool], list[float]] = field(default_factory=dict)
    memories: dict[tuple[str, str], list[float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.server_cores, self.client_cores = split_cores()
        self.meter = Meter(self.programs, self.folder / "clients", self.client_cores)

    def say(self, line: str) -> None:
        say(f"{show_time(time.monotonic() - self.started):>13}  {line}")

    def leave_out(self, name: str, error: Exception) -> None:
        """Said at once and in the report: nothing is dropped in silence."""
        why = " ".join(str(error).split())
        self.absent.setdefault(name, why[:300])
        self.say(f"{name}: left out: {why[:1000]}")

    def find_rate(self, target: Target, model: Model, load: Load) -> float | None:
        """The median of what it answered under this load."""
        rounds = self.rounds.get((model.name, target.name, load, target.max_batch))
        return median(one.answers_per_second for one in rounds) if rounds else None

    def make_results(self) -> Results:
        cells = [
            Cell(model=model, server=server, load=load, max_batch=batch, rounds=tuple(rounds))
            for (model, server, load, batch), rounds in self.rounds.items()
        ]
        inferences = [
            Inference(
                model=model,
                api=api,
                batch=batch,
                rows_per_second=tuple(round(rate, 1) for rate, _ in found),
                median_ms=tuple(round(median, 4) for _, median in found),
            )
            for (model, api, batch), found in self.inferences.items()
        ]
        return Results(
            taken=dt.datetime.now(dt.UTC).date().isoformat(),
            minutes=round((time.monotonic() - self.started) / 60, 1),
            machine=describe_machine(self.server_cores, self.client_cores),
            stalls=tuple(self.stalls),
            versions=find_versions(self.programs),
            absent=self.absent,
            cells=tuple(cells),
            inferences=tuple(inferences),
            starts=tuple(
                Start(model=model, server=server, cached=cached, seconds=tuple(round(s, 3) for s in seconds))
                for (model, server, cached), seconds in self.starts.items()
            ),
            memories=tuple(
                Memory(model=model, server=server, mib=tuple(round(m, 1) for m in found))
                for (model, server), found in self.memories.items()
            ),
        )


def run_plan(
    plan: Plan, models: Mapping[str, Model], programs: Programs, servers: Sequence[Server] = SERVERS
) -> Results:
    """Everything that the plan names, by the servers that can be installed. Leaves no process and no file."""
    with tempfile.TemporaryDirectory(prefix="vinoserve-bench-", ignore_cleanup_errors=True) as folder:
        run = Run(plan, models, programs, [], Path(folder))
        run.servers = [server for server in servers if install(run, server)]
        for stage in plan.stages:
            run_stage(run, stage)
        for stage in plan.stages:
            if stage.starts:
                measure_starts(run, stage)
        return run.make_results()


def install(run: Run, server: Server) -> bool:
    try:
        server.install()
    except ToolError as error:
        run.leave_out(server.name, error)
        return False
    return True


def run_stage(run: Run, stage: Stage) -> None:
    model = run.models[stage.model]
    run.stalls.append(measure_stalls(run.server_cores, stage.seconds))
    with contextlib.ExitStack() as stack:
        targets = list(Bench(run, stage, model, stack).start())
        for number in range(run.plan.rounds):
            for load in stage.closed:
                run.say(f"{stage.model}: {load.shown} at a time, round {number + 1} of {run.plan.rounds}")
                for target in targets:
                    take(run, target, model, load, seconds=stage.seconds)
            measure_inferences(run, stage, model)
        for base in stage.base:
            for share in stage.shares:
                run.say(f"{stage.model}: {base.protocol} at {share:.0%} of each server's own throughput")
                load = base.model_copy(update={"share": share})
                for _ in range(run.plan.tail_rounds if share == HALF else 1):
                    for target in targets:
                        if most := find_most(run, stage, targets, target, base):
                            take(run, target, model, load, seconds=stage.seconds, rate=most * share)


def find_most(run: Run, stage: Stage, targets: Sequence[Target], target: Target, load: Load) -> float | None:
    """What `target` answers a second; of the bare loop what vinoserve does: the rest of the latency is vinoserve's own."""
    if target.name == NGHTTPD:  # says no gRPC status, so that every call of it fails
        return None
    measured = [one for one in targets if one.name == VINOSERVE] if target.name == ECHO else [target]
    return run.find_rate(measured[0], run.models[stage.model], load) if measured else None


@dataclass(frozen=True)
class Bench:
    """Brings a stage's servers up; they end with `stack`. `sizes`: of answers, by protocol."""

    run: Run
    stage: Stage
    model: Model
    stack: contextlib.ExitStack
    sizes: dict[Protocol, int] = field(default_factory=dict)

    def start(self) -> Iterator[Target]:
        """Every variant, and the bare transports: ready, warm, and having answered right."""
        servers = {server.name: server for server in self.run.servers}
        for variant in self.stage.variants:
            if variant.server in servers:
                try:
                    yield self._start_server(servers[variant.server], variant)
                except ServerError as error:
                    self.run.leave_out(f"{variant.label} with {self.model.name}", error)
        cores, folder = self.run.server_cores, self.run.folder / self.model.name
        if size := self.sizes.get("REST binary"):
            payload = make_payload(self.model, "REST binary")
            group, port = self.stack.enter_context(echoing(payload, size, folder / "echo", cores))
            yield Target(ECHO, 0, group, {"REST binary": port})
        if size := self.sizes.get("gRPC"):
            serve = serving_file(self.run.programs, size, folder / "nghttpd", cores)
            group, port = self.stack.enter_context(serve)
            yield Target(NGHTTPD, 0, group, {"gRPC": port})

    def _start_server(self, server: Server, variant: Variant) -> Target:
        setup = Setup(self.model, self.stage.hint, self.run.server_cores, variant.max_batch)
        folder = self.run.folder / self.model.name / variant.label
        started = self.stack.enter_context(serving(server, setup, folder))
        ports: dict[Protocol, int] = {}
        for load in {load.protocol: load for load in self.stage.closed}.values():
            protocol = load.protocol
            if server.can(protocol):
                port = started.port(protocol)
                try:
                    size = self.run.meter.check(port, self.model, load)
                except ServerError as error:
                    self.run.leave_out(f"{variant.label} with {self.model.name}, {protocol}", error)
                    continue
                with contextlib.suppress(ServerError):  # warming up: a slow one may answer nothing so soon
                    payload = make_payload(self.model, protocol)
                    self.run.meter.measure(started.group, port, payload, load, seconds=1)
                self.sizes.setdefault(protocol, size)
                ports[protocol] = port
        return Target(server.name, variant.max_batch, started.group, ports)


def take(
    run: Run, target: Target, model: Model, load: Load, *, seconds: float, rate: float | None = None
) -> None:
    """One round of one target under one load, if it can do that at all."""
    if load.protocol not in target.ports:
        return
    try:
        payload = make_payload(model, load.protocol)
        port = target.ports[load.protocol]
        found = run.meter.measure(target.group, port, payload, load, seconds=seconds, rate=rate)
    except (ServerError, subprocess.TimeoutExpired) as error:
        run.leave_out(f"{target.name} with {model.name}, {load.shown}", error)
        return
    run.rounds.setdefault((model.name, target.name, load, target.max_batch), []).append(found)


def measure_inferences(run: Run, stage: Stage, model: Model) -> None:
    for api, batch in stage.inferences:
        found = run_benchmark_app(
            model, stage.hint, api=api, batch=batch, seconds=stage.seconds, cores=run.server_cores
        )
        run.inferences.setdefault((model.name, api, batch), []).append(found)


def measure_starts(run: Run, stage: Stage) -> None:
    """Each server alone on the machine: its start, with nothing kept and with what that start kept, and its memory."""
    setup = Setup(run.models[stage.model], stage.hint, run.server_cores)
    measures: dict[str, Callable[[], None]] = {BARE: lambda: measure_bare(run, setup)}
    for server in run.servers:
        measures[server.name] = partial(measure_start, run, server, setup)
    for number in range(run.plan.rounds):
        run.say(f"{stage.model}: starts, round {number + 1} of {run.plan.rounds}")
        for name, measure in measures.items():
            try:
                measure()
            except ServerError as error:
                run.leave_out(f"{name}'s start with {stage.model}", error)


def measure_start(run: Run, server: Server, setup: Setup) -> None:
    folder = run.folder / "start" / server.name
    key = (setup.model.name, server.name)
    for cached in (False, True) if server.name == VINOSERVE else (False,):
        with serving(server, setup, folder, keep=cached) as started:
            run.meter.check(started.rest, setup.model, Load(protocol="REST JSON", connections=1))
            run.starts.setdefault((*key, cached), []).append(started.seconds)
            if not cached:
                run.memories.setdefault(key, []).append(started.group.measure_memory() / 2**20)


def measure_bare(run: Run, setup: Setup) -> None:
    """Nothing but OpenVINO, the model, and one inference."""
    folder = run.folder / "start/bare"
    folder.mkdir(parents=True, exist_ok=True)
    begun = time.monotonic()
    command = [sys.executable, str(SERVED / "bare.py")]
    with running(command, folder=folder, env=make_peer_env(setup), cores=setup.cores) as group:
        wait_until(lambda: "ready" in group.log.read_text(), group, 60)
        run.starts.setdefault((setup.model.name, BARE, False), []).append(time.monotonic() - begun)
        run.memories.setdefault((setup.model.name, BARE), []).append(group.measure_memory() / 2**20)
