"""Medians, spreads and ratios of a run's rounds. Pure: every number of the report comes from here."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from benchmarks.limits import ECHO, NGHTTPD
from benchmarks.plan import HALF
from benchmarks.results import Cell, Load, Results
from benchmarks.run import BARE
from benchmarks.servers import KSERVE, MLSERVER, TRITON, VINOSERVE

PEERS = (TRITON, KSERVE, MLSERVER)
LIMITS = (ECHO, NGHTTPD)


@dataclass(frozen=True)
class Figure:
    """The median of some rounds; `spread`: half of what is between the extremes, as a share of the median."""

    value: float
    spread: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Figure":
        middle = median(values)
        return cls(middle, (max(values) - min(values)) / 2 / middle if middle else 0.0)


@dataclass(frozen=True)
class Figures:
    """What is asked of results; None is what was not measured."""

    results: Results

    def find(self, model: str, server: str, load: Load, max_batch: int = 0) -> Cell | None:
        wanted = (model, server, load, max_batch)
        return next(
            (c for c in self.results.cells if (c.model, c.server, c.load, c.max_batch) == wanted), None
        )

    def rate(self, model: str, server: str, load: Load, max_batch: int = 0) -> Figure | None:
        cell = self.find(model, server, load, max_batch)
        return Figure.of([one.answers_per_second for one in cell.rounds]) if cell else None

    def ratio(self, model: str, load: Load, other: str, max_batch: int = 0) -> float | None:
        """How many answers vinoserve gives for one of another's, under the same load."""
        return divide(self.rate(model, VINOSERVE, load, max_batch), self.rate(model, other, load, max_batch))

    def loads(self, model: str, *, closed: bool = True) -> list[Load]:
        """In the order in which they were measured."""
        found = (c.load for c in self.results.cells if c.model == model and (c.load.share is None) == closed)
        return list(dict.fromkeys(found))

    def servers(self, model: str) -> list[str]:
        return list(dict.fromkeys(c.server for c in self.results.cells if c.model == model))

    def half_load(self, model: str, server: str, protocol: str) -> Cell | None:
        return next(
            (
                c
                for c in self.results.cells
                if (c.model, c.server, c.load.protocol, c.load.share) == (model, server, protocol, HALF)
            ),
            None,
        )

    def inference(self, model: str, batch: int = 1) -> tuple[Figure, Figure] | None:
        """Rows per second, and the median in ms, of benchmark_app."""
        for found in self.results.inferences:
            if (found.model, found.batch) == (model, batch):
                return Figure.of(found.rows_per_second), Figure.of(found.median_ms)
        return None

    def start(self, model: str, server: str, *, cached: bool = False) -> Figure | None:
        for found in self.results.starts:
            if (found.model, found.server, found.cached) == (model, server, cached):
                return Figure.of(found.seconds)
        return None

    def memory(self, model: str, server: str) -> Figure | None:
        for found in self.results.memories:
            if (found.model, found.server) == (model, server):
                return Figure.of(found.mib)
        return None

    def memory_over_bare(self, model: str, server: str = VINOSERVE) -> float | None:
        mine, bare = self.memory(model, server), self.memory(model, BARE)
        return mine.value - bare.value if mine and bare else None

    def added_p50_ms(self, model: str = "tiny") -> float | None:
        """The median over one connection, less the median of an inference alone."""
        cell = self.find(model, VINOSERVE, Load(protocol="REST binary", connections=1))
        alone = self.inference(model)
        return p50(cell) - alone[1].value if cell and alone else None

    def tail_at_half_load(self, protocol: str) -> float | None:
        """p99 for one p50, at half of the server's own throughput; infinite where it fell behind even there."""
        cell = self.half_load("tiny", VINOSERVE, protocol)
        if cell is None:
            return None
        return p99(cell) / p50(cell) if keeps_up(cell) else math.inf

    def batching_gain(self, server: str, load: Load) -> float | None:
        batched = [c.max_batch for c in self.results.cells if c.server == server and c.max_batch]
        if not batched:
            return None
        return divide(self.rate("mlp", server, load, max(batched)), self.rate("mlp", server, load))

    def failures(self) -> list[Cell]:
        return [c for c in self.results.cells if any(one.failed for one in c.rounds)]


def divide(mine: Figure | None, other: Figure | None) -> float | None:
    return mine.value / other.value if mine and other and other.value else None


def p50(cell: Cell) -> float:
    return median(one.p50_ms for one in cell.rounds)


def p99(cell: Cell) -> float:
    return median(one.p99_ms for one in cell.rounds)


def cpu_seconds(cell: Cell) -> Figure | None:
    found = [one.cpu_seconds for one in cell.rounds if one.cpu_seconds is not None]
    return Figure.of(found) if found else None


def keeps_up(cell: Cell) -> bool:
    """Whether in most rounds at least 97% of what was due was answered in time, and nothing failed."""
    return median(one.answers_per_second / one.rate for one in cell.rounds if one.rate) >= 0.97 and not any(
        one.failed for one in cell.rounds
    )
