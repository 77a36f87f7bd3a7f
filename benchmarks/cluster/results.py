"""What a run on a cluster found, as it is kept in JSON."""

from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

from benchmarks.results import Machine, dump_lines, read_kept


class _Kept(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel, populate_by_name=True)


class FirstAnswer(_Kept):
    """Seconds from `kubectl apply` on: its Deployment is there, the service is Ready, it has answered right."""

    deployment: float
    ready: float
    answered: float


class Fleet(_Kept):
    """`count` InferenceServices, created at `rate` a second, or all at once. Milliseconds are from an InferenceService's being
    there to its Deployment's; seconds, requests and processor time are the operator's until it had written all it had to."""

    count: int
    rate: float | None = None
    created_seconds: float
    done_seconds: float
    p50_ms: float
    p99_ms: float
    cpu_seconds: float
    api_requests: int
    memory_mib: float


class ClusterResults(_Kept):
    taken: str
    minutes: float
    machine: Machine
    kubernetes: str
    first_answers: tuple[FirstAnswer, ...]
    fleets: tuple[Fleet, ...]

    @classmethod
    def read(cls, path: Path) -> Self:
        return read_kept(cls, path)

    def write(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dump_lines(self.model_dump(mode="json", by_alias=True, exclude_none=True)))
