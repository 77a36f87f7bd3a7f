"""What the process is told on its command line, and how long it takes for what."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

LATE_SECONDS: Final = 5.0
"""What draining takes on top of the longest request; a pod's grace period has 15 s on top of it."""

WATCH_SECONDS: Final = 1.0
"""Between two looks at AUTO's device while another stands in for it."""

OBSERVE_SECONDS: Final = 10.0
"""Between two looks at the execution devices and effective properties of a model that serves."""


@dataclass(frozen=True)
class ServeSettings:
    """How to serve: where to listen, and which folders there are. `fetch`: no init container did it before.

    `precompile`: do all that comes before the model is ready, keep what was compiled, and end.
    """

    host: str
    http_port: int
    grpc_port: int
    admin_port: int
    model_dir: Path
    claim_dir: Path
    credentials_dir: Path
    cache_dir: Path | None
    fetch: bool
    precompile: bool = False
