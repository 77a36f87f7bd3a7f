"""What DRA drivers publish, asked for when a class depends on it: few clusters have such drivers, so it isn't watched."""

import time
from typing import Final

from vinoserve_operator.errors import GoneError, RejectedError
from vinoserve_operator.kinds import DEVICE_CLASS, RESOURCE_SLICE
from vinoserve_operator.kube import Kube
from vinoserve_operator.status.dra import Published

_FRESH_SECONDS: Final = 8.0
"""Less than the time between two looks at a class; all classes share one answer."""


class Publications:
    def __init__(self, kube: Kube) -> None:
        self._kube = kube
        self._last: Published | None = None
        self._asked = 0.0

    async def gather(self) -> Published:
        """A fresh enough answer. Raises RetryableError."""
        if self._last is None or time.monotonic() - self._asked > _FRESH_SECONDS:
            self._asked, self._last = time.monotonic(), await self._ask()
        return self._last

    async def _ask(self) -> Published:
        try:
            classes, _ = await self._kube.gather(DEVICE_CLASS)
            slices, _ = await self._kube.gather(RESOURCE_SLICE) if classes else ([], 0)
        except GoneError:
            return Published(
                problem="this API server has no Dynamic Resource Allocation (resource.k8s.io/v1)"
            )
        except RejectedError as error:
            return Published(problem=f"DeviceClasses and ResourceSlices can't be read: {error}")
        return Published(classes, slices)
