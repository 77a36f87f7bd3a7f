"""What a run measures: loads for each model, in rounds. Pure."""

from dataclasses import dataclass

from benchmarks.results import Load
from benchmarks.servers import KSERVE, MLSERVER, TRITON, VINOSERVE, Hint


@dataclass(frozen=True)
class Variant:
    """A server as it takes part: with or without putting requests together."""

    server: str
    max_batch: int = 0

    @property
    def label(self) -> str:
        return f"{self.server}-batch" if self.max_batch else self.server


@dataclass(frozen=True)
class Stage:
    """A model with the loads that it is put under. `closed`: without a pause; `shares`: at fixed rates, `base` being the
    closed-loop load that they are shares of; `seconds`: of each measurement; `starts`: starts and memory are measured."""

    model: str
    hint: Hint
    variants: tuple[Variant, ...]
    closed: tuple[Load, ...]
    seconds: float
    base: tuple[Load, ...] = ()
    shares: tuple[float, ...] = ()
    inferences: tuple[tuple[str, int], ...] = ()
    starts: bool = False


@dataclass(frozen=True)
class Plan:
    """`tail_rounds`: at half load; a p99 takes more rounds than a median does."""

    stages: tuple[Stage, ...]
    rounds: int
    tail_rounds: int


ALL = tuple(Variant(name) for name in (VINOSERVE, TRITON, KSERVE, MLSERVER))
BATCHING = (*ALL, *(Variant(name, 32) for name in (VINOSERVE, TRITON, MLSERVER)))
HALF = 0.5
SHARES = (0.1, 0.25, HALF, 0.75, 0.9, 1.0, 1.1)
REST_16 = Load(protocol="REST binary", connections=16)
JSON_16 = Load(protocol="REST JSON", connections=16)
GRPC_16 = Load(protocol="gRPC", connections=4, streams=4)


def make_plan(*, own: bool) -> Plan:
    """The whole of it, in about a quarter of an hour. `own`: a user's model is measured beside the others."""
    rest = tuple(Load(protocol="REST binary", connections=count) for count in (1, 4, 16, 64, 256))
    grpc = (Load(protocol="gRPC", connections=1), GRPC_16, Load(protocol="gRPC", connections=16, streams=16))
    tiny = Stage(
        model="tiny",
        hint="LATENCY",
        variants=ALL,
        closed=(*rest, JSON_16, *grpc),
        seconds=2,
        base=(REST_16, GRPC_16),
        shares=SHARES,
        inferences=(("sync", 1),),
        starts=True,
    )
    resnet = Stage(
        model="resnet",
        hint="THROUGHPUT",
        variants=ALL,
        closed=(REST_16, Load(protocol="REST JSON", connections=4), GRPC_16),
        seconds=4,
        inferences=(("async", 1),),
        starts=True,
    )
    mlp = Stage(
        model="mlp",
        hint="LATENCY",
        variants=BATCHING,
        closed=(
            Load(protocol="REST binary", connections=64),
            Load(protocol="gRPC", connections=4, streams=16),
        ),
        seconds=2,
        inferences=(("sync", 1), ("sync", 32)),
    )
    return Plan((tiny, *([make_own_stage(2)] if own else []), resnet, mlp), 3, 7)


def make_smoke_plan(*, own: bool) -> Plan:
    """Every part of the harness once and shortly: for whether it works, not for how fast anything is."""
    tiny = Stage(
        model="tiny",
        hint="LATENCY",
        variants=ALL,
        closed=(REST_16, JSON_16, GRPC_16),
        seconds=1,
        base=(REST_16, GRPC_16),
        shares=(HALF,),
        inferences=(("sync", 1),),
        starts=True,
    )
    mlp = Stage(
        model="mlp",
        hint="LATENCY",
        variants=BATCHING,
        closed=(REST_16,),
        seconds=1,
        inferences=(("sync", 32),),
    )
    return Plan((tiny, *([make_own_stage(1)] if own else []), mlp), 1, 1)


def make_own_stage(seconds: float) -> Stage:
    return Stage(
        model="own",
        hint="LATENCY",
        variants=ALL,
        closed=(REST_16, JSON_16, GRPC_16),
        seconds=seconds,
        inferences=(("sync", 1),),
    )
