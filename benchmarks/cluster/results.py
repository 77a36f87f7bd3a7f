"""What a run on a cluster found, as it is kept in JSON."""

from benchmarks.results import Kept, KeptFile, Machine


class FirstAnswer(Kept):
    """Seconds from `kubectl apply` on: its Deployment is there, the service is Ready, it has answered right."""

    deployment: float
    ready: float
    answered: float


class Fleet(Kept):
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


class ClusterResults(KeptFile):
    taken: str
    minutes: float
    machine: Machine
    kubernetes: str
    first_answers: tuple[FirstAnswer, ...]
    fleets: tuple[Fleet, ...]
