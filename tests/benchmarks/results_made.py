"""Results made up for the tests of the report: round numbers, no measurement."""

from benchmarks.cluster.results import ClusterResults, FirstAnswer, Fleet
from benchmarks.plan import make_plan
from benchmarks.results import Cell, Inference, Load, Machine, Memory, Results, Round, Stalls, Start
from benchmarks.run import BARE
from benchmarks.servers import KSERVE, MLSERVER, TRITON, VINOSERVE

MACHINE = Machine(
    processor="Example 9000",
    cores=8,
    memory_gib=32,
    system="Example Linux 1",
    python="3.11.0",
    server_cores="0,1,2,3",
    client_cores="4,5,6,7",
)
SPEEDS = {
    VINOSERVE: 20_000.0,
    TRITON: 4_000.0,
    KSERVE: 1_500.0,
    MLSERVER: 1_000.0,
    "bare loop": 80_000.0,
    "nghttpd": 90_000.0,
}
COSTS = {"tiny": 1.0, "resnet": 250.0, "mlp": 8.0}


def make_round(rate: float, latency: float, wanted: float | None = None) -> Round:
    cpu = None if wanted else 1000 / rate
    return Round(
        answers_per_second=rate,
        p50_ms=latency,
        p99_ms=2.5 * latency,
        failed=0,
        rate=wanted,
        cpu_seconds=cpu,
    )


def make_cells(factor: float) -> list[Cell]:
    """Every cell of the plan; `factor`: of vinoserve's speed."""
    cells = []
    for stage in make_plan(own=False).stages:
        names = [(v.server, v.max_batch) for v in stage.variants]
        if stage.model == "tiny":
            names += [("bare loop", 0), ("nghttpd", 0)]
        for name, batch in names:
            speed = (
                SPEEDS[name] / COSTS[stage.model] * (3 if batch else 1) * (factor if name == VINOSERVE else 1)
            )
            for load in stage.closed:
                if can(name, load):
                    rounds = tuple(
                        make_round(speed * part, load.in_flight / speed * 1000) for part in (0.98, 1, 1.02)
                    )
                    cells.append(
                        Cell(model=stage.model, server=name, load=load, max_batch=batch, rounds=rounds)
                    )
            for base in stage.base:
                for share in stage.shares:
                    if can(name, base) and name not in {"bare loop", "nghttpd"}:
                        got, load = min(share, 0.95) * speed, base.model_copy(update={"share": share})
                        one = make_round(got, 0.2 / max(0.05, 1 - share), share * speed)
                        cells.append(Cell(model=stage.model, server=name, load=load, rounds=(one,)))
    return cells


def can(name: str, load: Load) -> bool:
    unable = {MLSERVER: "REST binary", "bare loop": "gRPC", "nghttpd": "REST binary"}
    return unable.get(name) != load.protocol and not (
        name in {"bare loop", "nghttpd"} and load.protocol == "REST JSON"
    )


def make_results(factor: float = 1.0) -> Results:
    starts = [
        Start(model=model, server=server, cached=cached, seconds=(seconds, seconds + 0.1, seconds + 0.2))
        for model in ("tiny", "resnet")
        for server, cached, seconds in (
            (VINOSERVE, False, 0.8),
            (VINOSERVE, True, 0.5),
            (TRITON, False, 1.5),
            (KSERVE, False, 3.0),
            (BARE, False, 0.3),
        )
    ]
    memories = [
        Memory(model=model, server=server, mib=(mib,))
        for model in ("tiny", "resnet")
        for server, mib in ((VINOSERVE, 95.0), (TRITON, 150.0), (KSERVE, 260.0), (BARE, 60.0))
    ]
    inferences = [
        Inference(model="tiny", api="sync", batch=1, rows_per_second=(100_000.0,), median_ms=(0.007,)),
        Inference(
            model="resnet", api="async", batch=1, rows_per_second=(80.0, 82.0, 84.0), median_ms=(24.0,)
        ),
        Inference(model="mlp", api="sync", batch=1, rows_per_second=(2_500.0,), median_ms=(0.4,)),
        Inference(model="mlp", api="sync", batch=32, rows_per_second=(20_000.0,), median_ms=(1.6,)),
    ]
    return Results(
        taken="2026-01-02",
        minutes=15.5,
        machine=MACHINE,
        stalls=(Stalls(share=0.001, longest_ms=0.8), Stalls(share=0.0125, longest_ms=3.1)),
        versions={"vinoserve": "1.2.3", "OpenVINO": "2026.4.1"},
        absent={"MLServer's start with resnet": "ended with 1"},
        cells=tuple(make_cells(factor)),
        inferences=tuple(inferences),
        starts=tuple(starts),
        memories=tuple(memories),
    )


def make_cluster_results() -> ClusterResults:
    fleets = [
        Fleet(
            count=count,
            rate=rate,
            created_seconds=count / 100,
            done_seconds=count / 50,
            p50_ms=12.5,
            p99_ms=float(count),
            cpu_seconds=count / 200,
            api_requests=6 * count,
            memory_mib=70 + count / 100,
        )
        for count, rate in ((600, 20.0), (100, None), (1000, None), (5000, None))
    ]
    return ClusterResults(
        taken="2026-01-03",
        minutes=9,
        machine=MACHINE,
        kubernetes="v1.36.3",
        first_answers=tuple(FirstAnswer(deployment=0.4, ready=4 + i, answered=4.1 + i) for i in range(3)),
        fleets=tuple(fleets),
    )
