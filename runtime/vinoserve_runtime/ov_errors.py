"""What OpenVINO's exceptions mean: one table, and the one line of their text that says something."""

import re
from typing import Final

from vinoserve_api.conditions import FailureReason
from vinoserve_runtime.errors import StartupError

#: What a text says where it says one of these; the first row that fits decides.
_TABLE: Final[tuple[tuple[FailureReason, tuple[str, ...]], ...]] = (
    (
        FailureReason.OUT_OF_DEVICE_MEMORY,
        (
            *(
                "CL_OUT_OF_RESOURCES",
                "CL_MEM_OBJECT_ALLOCATION_FAILURE",
                "CL_INVALID_BUFFER_SIZE",
                "clCreateBuffer",
            ),
            *(
                "exceeds max size of memory",
                "exceeded max size of memory",
                "device memory",
                "out of GPU resources",
            ),
            "ZE_RESULT_ERROR_OUT_OF_DEVICE_MEMORY",
        ),
    ),
    (
        FailureReason.OUT_OF_MEMORY,
        (
            *("bad_alloc", "bad allocation", "CL_OUT_OF_HOST_MEMORY", "ZE_RESULT_ERROR_OUT_OF_HOST_MEMORY"),
            *("out of memory", "cannot allocate memory"),
        ),
    ),
    (FailureReason.DISK_FULL, ("no space left on device",)),
    (FailureReason.INVALID_PROPERTY, ("unsupported property", "unsupported config key", "wrong value")),
    (
        FailureReason.DEVICE_NOT_FOUND,
        (
            *("libOpenCL", "Couldn't find config for GPU", "is not registered", "No device with"),
            *("Failed to create plugin", "Cannot load library"),
        ),
    ),
    (
        FailureReason.UNSUPPORTED_OPERATOR,
        (") is not supported", "unsupported operation", "no conversion rule found"),
    ),
    (FailureReason.INVALID_SHAPE, ("to_shape was called on a dynamic shape", "dynamic shape")),
)

_NOISE: Final = re.compile(
    r"^(Exception from .*|Check '.*' failed at .*|Caught exception:?|Loading input model|While validating node.*|"
    r"FrontEnd API failed with .*|Model wasn't fully converted\.|Summary:|Details:|"
    r"\[ ?(ERROR|GENERAL_ERROR|NOT_IMPLEMENTED|NotImplemented|GENERAL) ?\]:?)$",
    re.IGNORECASE,
)
_PREFIX: Final = re.compile(
    r"(Exception from \S+?:\d+:\s*|Check '.*?' failed at \S+?:\d+:?\s*|Caught exception:\s*)"
)


def explain(error: BaseException) -> str:
    """The text of an OpenVINO exception on one line, without the stack of source files in front of it."""
    if isinstance(error, MemoryError):
        return "out of memory"
    lines = (_PREFIX.sub("", line).strip() for line in str(error).splitlines())
    kept = list(dict.fromkeys(line for line in lines if line and not _NOISE.match(line)))
    # CL_OUT_OF_RESOURCES comes with a page of advice
    text = "; ".join(kept).partition("; Due to a driver bug")[0] or str(error).strip() or type(error).__name__
    return text if len(text) <= 1000 else text[:1000] + "…"


def make_startup_error(error: BaseException, otherwise: FailureReason, doing: str) -> StartupError:
    """What `error` means where its text is in the table, else `otherwise`; `doing` begins the message."""
    if isinstance(error, StartupError):
        return error
    text = explain(error).lower()
    reason = next(
        (reason for reason, signs in _TABLE if any(sign.lower() in text for sign in signs)), otherwise
    )
    return StartupError(reason, f"{doing}: {explain(error)}")
