"""What got slower or faster from one run to another. Pure.

Machines differ, and one machine from hour to hour; so vinoserve's figures are compared as shares of what the same run
measured of the limits. A difference counts where it is more than a tenth and more than the rounds of both were apart.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks.figures import Figure, Figures
from benchmarks.limits import ECHO, NGHTTPD
from benchmarks.results import Cell, Load, Results
from benchmarks.run import BARE
from benchmarks.servers import VINOSERVE

_NOTABLE = 0.1


@dataclass(frozen=True)
class Change:
    """`factor`: the later figure for one of the earlier, so turned that more than 1 is better."""

    what: str
    factor: float
    notable: bool

    @property
    def shown(self) -> str:
        how = "as before" if not self.notable else "better" if self.factor > 1 else "WORSE"
        return f"{how:>9}  x {self.factor:.2f}  {self.what}"


def compare(earlier: Results, later: Results) -> list[Change]:
    """What both measured; the worst first."""
    before, after = dict(_relate(Figures(earlier))), dict(_relate(Figures(later)))
    changes = []
    for what, old in before.items():
        if new := after.get(what):
            factor = new.value / old.value
            apart = max(_NOTABLE, old.spread + new.spread)
            changes.append(Change(what, factor, abs(factor - 1) > apart))
    return sorted(changes, key=lambda change: change.factor)


def _relate(figures: Figures) -> Iterator[tuple[str, Figure]]:
    """Everything where more is better, as a share of a limit of the same run."""
    for cell in figures.results.cells:
        if cell.server == VINOSERVE and cell.load.share is None:
            own = figures.rate(cell.model, VINOSERVE, cell.load, cell.max_batch)
            limit = _find_limit(figures, cell)
            if own and limit:
                batching = f", batches of up to {cell.max_batch}" if cell.max_batch else ""
                yield f"{cell.model}: throughput, {cell.load.shown} at a time{batching}", _share(own, limit)
    for start in figures.results.starts:
        own, bare = (
            figures.start(start.model, start.server, cached=start.cached),
            figures.start(start.model, BARE),
        )
        if start.server == VINOSERVE and own and bare:
            kind = "with a cache" if start.cached else "without a cache"
            yield f"{start.model}: start to ready {kind}", _share(bare, own)
    for memory in figures.results.memories:
        held, alone = figures.memory(memory.model, memory.server), figures.memory(memory.model, BARE)
        if memory.server == VINOSERVE and held and alone:
            yield f"{memory.model}: memory", _share(alone, held)


def _find_limit(figures: Figures, cell: Cell) -> Figure | None:
    """A bare transport for the tiny model, where the transport is what costs; else the inference alone."""
    if cell.model == "tiny":
        if cell.load.protocol == "gRPC":
            return figures.rate("tiny", NGHTTPD, cell.load)
        return figures.rate("tiny", ECHO, Load(protocol="REST binary", connections=cell.load.connections))
    found = figures.inference(cell.model, cell.max_batch or 1) or figures.inference(cell.model)
    return found[0] if found else None


def _share(own: Figure, limit: Figure) -> Figure:
    return Figure(own.value / limit.value, own.spread + limit.spread)
