"""Whether the engine can be trusted: its failures are counted, a row of them is a doubt, and a failed proof is the end.

Failures in a row may be the clients' doing (a dynamic model refuses tensors that don't fit each other), so it is the
warm-up's own input, which worked at the start, that tells.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from vinoserve_api.conditions import FailureReason
from vinoserve_runtime.errors import StartupError

MAX_CONSECUTIVE_ERRORS: Final = 5
"""Failed inferences in a row that make the engine prove that it still works."""

PROOFS: Final = 3
"""Failed proofs in a row after which the device is given up."""

PROOF_PAUSE_SECONDS: Final = 1.0
PROOF_SECONDS: Final = 8.0
"""A proof that takes longer than this has failed; a model whose warm-up was slow gets twice the warm-up."""

_SIGNS_OF_LOSS: Final = (
    "CL_DEVICE_NOT_AVAILABLE",
    "CL_OUT_OF_RESOURCES",
    "CL_INVALID_COMMAND_QUEUE",
    "ZE_RESULT_ERROR_DEVICE_LOST",
    "device lost",
)


def speaks_of_loss(error: str) -> bool:
    """Whether a driver says this where the device is gone or hangs; too large an input may bring some of it about too."""
    return any(sign in error for sign in _SIGNS_OF_LOSS)


class Faults:
    """What the engine failed. Written and read on one event loop."""

    def __init__(self) -> None:
        self.total = 0
        self.in_a_row = 0
        """Set to 0 by whoever sees an inference succeed."""
        self.last = ""
        self.doubt = asyncio.Event()
        """Set where a proof is due."""

    def note(self, error: str) -> None:
        self.total += 1
        self.in_a_row += 1
        self.last = error
        if self.in_a_row >= MAX_CONSECUTIVE_ERRORS or speaks_of_loss(error):
            self.doubt.set()

    def forget(self) -> None:
        """The row of failures is explained; the total stays."""
        self.in_a_row = 0
        self.doubt.clear()


class Health:
    """Asks for proofs; `doubt` and `lost` are sentences for the probes."""

    def __init__(self, faults: Faults, prove: Callable[[], Awaitable[bool]], warmup_seconds: float) -> None:
        """`prove`: whether the input that worked at the start still does."""
        self._faults = faults
        self._prove = prove
        self._patience = max(PROOF_SECONDS, 2 * warmup_seconds)
        self.lost: str | None = None

    @property
    def doubt(self) -> str | None:
        """Why no requests are wanted until the engine has proved itself."""
        if not self._faults.doubt.is_set():
            return None
        return f"failed inferences in a row: {self._faults.in_a_row}, the last: {self._faults.last}"

    async def watch(self) -> None:
        """Until cancelled. Raises StartupError DeviceLost."""
        while True:
            await self._faults.doubt.wait()
            await self.decide()

    async def decide(self) -> None:
        """Dispels the doubt, or raises StartupError DeviceLost."""
        failed = ""
        for attempt in range(PROOFS):
            if attempt:
                await asyncio.sleep(PROOF_PAUSE_SECONDS)
                if not self._faults.in_a_row:  # a client's inference worked meanwhile
                    break
            try:
                async with asyncio.timeout(self._patience):
                    works = await self._prove()
            except TimeoutError:
                works, failed = False, f"it has not ended after {self._patience:.0f} s"
            else:
                failed = self._faults.last
            if works:
                break
        else:
            self.lose(
                f"failed inferences in a row: {self._faults.in_a_row}, the last of them one that worked at the start: {failed}"
            )
        self._faults.forget()

    def lose(self, why: str) -> None:
        """The device is gone for good. Raises StartupError DeviceLost."""
        self.lost = why
        raise StartupError(FailureReason.DEVICE_LOST, why)
