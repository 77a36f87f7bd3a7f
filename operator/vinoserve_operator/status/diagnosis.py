"""Why a pod is not ready."""

from dataclasses import dataclass
from typing import Final

from vinoserve_api.conditions import FailureReason

#: What a container's new start may mend.
PASSING_FAILURES: Final = {FailureReason.DEVICE_LOST}


@dataclass(frozen=True)
class Diagnosis:
    """Why a pod is not ready; `stuck` where time alone won't help, `device` where the device is at fault."""

    reason: str
    message: str
    stuck: bool = False
    device: bool = False
    time: str | None = None

    @property
    def failed(self) -> bool:
        """Whether something went wrong, be it to be tried again."""
        return self.stuck or self.reason in PASSING_FAILURES
