"""gRPC's status codes, and which of them each error of the data plane has."""

from enum import IntEnum
from typing import Final

import structlog

from vinoserve_runtime.errors import InferenceError
from vinoserve_runtime.protocol.errors import (
    DeadlineExceededError,
    InvalidRequestError,
    ModelNotFoundError,
    NotOfferedError,
    NotReadyError,
    QueueFullError,
)


class Code(IntEnum):
    """Those that this server answers with (https://grpc.io/docs/guides/status-codes/)."""

    OK = 0
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14


NAMES: Final = {code: code.name for code in Code}
"""An enum looks its names up anew each time."""


class TooLargeError(Exception):
    """A message is larger than `limits.maxRequestBytes`."""


class UnknownMethodError(Exception):
    """There is no such method, or not in the coding that the client wants."""


CODES: Final[dict[type[Exception], Code]] = {
    InvalidRequestError: Code.INVALID_ARGUMENT,
    ModelNotFoundError: Code.NOT_FOUND,
    NotOfferedError: Code.FAILED_PRECONDITION,
    QueueFullError: Code.RESOURCE_EXHAUSTED,
    TooLargeError: Code.RESOURCE_EXHAUSTED,
    NotReadyError: Code.UNAVAILABLE,
    DeadlineExceededError: Code.DEADLINE_EXCEEDED,
    UnknownMethodError: Code.UNIMPLEMENTED,
    InferenceError: Code.INTERNAL,
}
MAX_DETAILS_BYTES: Final = 2048
"""They travel in a header, percent-encoded; clients refuse headers of more than 8 KiB."""

log = structlog.get_logger(__name__)


def make_refusal(error: Exception) -> tuple[Code, str]:
    """Code and details of the answer where handling a request raised `error`; what nobody foresaw is logged."""
    code = CODES.get(type(error))
    if code is None:
        log.error("request failed", exc_info=error)
        return Code.INTERNAL, "internal error"
    details = str(error).encode()
    if len(details) <= MAX_DETAILS_BYTES:
        return code, details.decode()
    return code, details[:MAX_DETAILS_BYTES].decode(errors="ignore") + "…"
