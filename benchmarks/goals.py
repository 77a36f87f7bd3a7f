"""What vinoserve is meant to reach, and what a run found. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks.figures import Figures
from benchmarks.plan import GRPC_16, JSON_16, REST_16
from benchmarks.results import Load
from benchmarks.servers import KSERVE, MLSERVER, TRITON, VINOSERVE


@dataclass(frozen=True)
class Goal:
    """`found` is None where it was not measured; `at_least`: more is better, else less is."""

    what: str
    wanted: float
    unit: str
    found: float | None
    at_least: bool

    @property
    def met(self) -> bool | None:
        if self.found is None:
            return None
        return self.found >= self.wanted if self.at_least else self.found <= self.wanted


def make_goals(figures: Figures) -> list[Goal]:
    return [*_ahead_of_peers(figures), *_close_to_the_limit(figures)]


def _ahead_of_peers(figures: Figures) -> Iterator[Goal]:
    def ahead(what: str, wanted: float, load: Load, peer: str) -> Goal:
        return Goal(
            f"{what} against {peer}, tiny model",
            wanted,
            "x",
            figures.ratio("tiny", load, peer),
            at_least=True,
        )

    yield ahead("REST, binary tensors,", 5, REST_16, TRITON)
    yield ahead("REST, binary tensors,", 10, REST_16, KSERVE)
    yield ahead("REST, JSON,", 10, JSON_16, MLSERVER)
    yield ahead("gRPC", 2.5, GRPC_16, TRITON)


def _close_to_the_limit(figures: Figures) -> Iterator[Goal]:
    alone = figures.inference("resnet")
    served = figures.rate("resnet", VINOSERVE, REST_16)
    share = served.value / alone[0].value if served and alone else None
    batched = Load(protocol="REST binary", connections=64)
    yield Goal("ResNet-50's throughput against benchmark_app's", 0.95, "x", share, at_least=True)
    yield Goal("p50 added to an inference, tiny model", 0.15, " ms", figures.added_p50_ms(), at_least=False)
    for protocol in ("REST binary", "gRPC"):
        tail = figures.tail_at_half_load(protocol)
        yield Goal(f"p99 for one p50 at half load, {protocol}", 3, "x", tail, at_least=False)
    gain = figures.batching_gain(VINOSERVE, batched)
    yield Goal("Batching by the server against none, MLP", 1.5, "x", gain, at_least=True)
    cached = figures.start("resnet", VINOSERVE, cached=True)
    yield Goal(
        "Start to ready with a cache hit, ResNet-50",
        1.0,
        " s",
        cached.value if cached else None,
        at_least=False,
    )
    over = figures.memory_over_bare("resnet")
    yield Goal("Memory over a bare OpenVINO process, ResNet-50", 60, " MiB", over, at_least=False)
