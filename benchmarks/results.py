"""What a run found, as it is kept in JSON: every round's figures, from which medians, ratios, tables and pictures are made."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.alias_generators import to_camel

from benchmarks.payloads import Protocol
from tools.toolbox.errors import ToolError


class Kept(BaseModel):
    """A part of what is kept."""

    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel, populate_by_name=True)


class KeptFile(Kept):
    """All of it: a file of its own."""

    @classmethod
    def read(cls, path: Path) -> Self:
        """Raises ToolError where the file is not what this version writes."""
        try:
            return cls.model_validate_json(path.read_bytes())
        except (OSError, ValidationError) as error:
            raise ToolError(f"{path}: no results of this version: {str(error).splitlines()[0]}") from None

    def write(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(_dump_lines(self.model_dump(mode="json", by_alias=True, exclude_none=True)))


class Load(Kept):
    """`connections` with `streams` requests at a time on each; `share`: at a fixed rate, as a share of the server's own
    throughput under the closed-loop load of the same protocol; none: each answer is followed by the next request."""

    protocol: Protocol
    connections: int
    streams: int = 1
    share: float | None = None

    @property
    def in_flight(self) -> int:
        return self.connections * self.streams

    @property
    def shown(self) -> str:
        if self.share is not None:
            return f"{self.protocol}, {self.share:.0%}"
        return f"{self.protocol}, {self.in_flight}"


class Round(Kept):
    """One measurement. `rate`: what was asked for; `cpu_seconds`: the server's, for 1,000 answers."""

    answers_per_second: float
    p50_ms: float
    p99_ms: float
    failed: int
    rate: float | None = None
    cpu_seconds: float | None = None


class Cell(Kept):
    """A server under a load. `max_batch`: what it was allowed to put together, 0 for nothing."""

    model: str
    server: str
    load: Load
    max_batch: int = 0
    rounds: tuple[Round, ...]


class Start(Kept):
    """Seconds from a process's start until it is ready. `cached`: with what an earlier start left behind."""

    model: str
    server: str
    cached: bool
    seconds: tuple[float, ...]


class Memory(Kept):
    """MiB of RAM after the first answer. The server `bare` is a process that has the model compiled, and nothing else."""

    model: str
    server: str
    mib: tuple[float, ...]


class Inference(Kept):
    """What OpenVINO's benchmark_app does with the model and no server. `api`: sync, one at a time, or async."""

    model: str
    api: str
    batch: int
    rows_per_second: tuple[float, ...]
    median_ms: tuple[float, ...]


class Machine(Kept):
    processor: str
    cores: int
    memory_gib: int
    system: str
    python: str
    server_cores: str
    client_cores: str


class Stalls(Kept):
    """For how much of the time processes that did nothing else were kept from running, and for how long at the longest."""

    share: float
    longest_ms: float


class Results(KeptFile):
    """One run. `absent`: server to why it, or a part of it, was not measured; `stalls`: the machine's own, before each model."""

    taken: str
    minutes: float
    machine: Machine
    stalls: tuple[Stalls, ...]
    versions: Mapping[str, str]
    absent: Mapping[str, str]
    cells: tuple[Cell, ...]
    inferences: tuple[Inference, ...]
    starts: tuple[Start, ...]
    memories: tuple[Memory, ...]


def _dump_lines(document: Mapping[str, object]) -> str:
    """JSON with a line for each element of the lists: small, and its changes can be read."""
    parts = []
    for key, value in document.items():
        shown = json.dumps(value)
        if isinstance(value, list):
            shown = "[\n" + ",\n".join(json.dumps(one) for one in value) + "\n]"
        parts.append(f"{json.dumps(key)}: {shown}")
    return "{" + ",\n".join(parts) + "}\n"
