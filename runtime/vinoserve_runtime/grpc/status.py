"""Which gRPC status code each error of the data plane has."""

from typing import Final

import structlog
from grpc import StatusCode

from vinoserve_runtime.errors import InferenceError
from vinoserve_runtime.protocol.errors import (
    DeadlineExceededError,
    InvalidRequestError,
    ModelNotFoundError,
    NotOfferedError,
    NotReadyError,
    QueueFullError,
)

CODES: Final[dict[type[Exception], StatusCode]] = {
    InvalidRequestError: StatusCode.INVALID_ARGUMENT,
    ModelNotFoundError: StatusCode.NOT_FOUND,
    NotOfferedError: StatusCode.FAILED_PRECONDITION,
    QueueFullError: StatusCode.RESOURCE_EXHAUSTED,
    NotReadyError: StatusCode.UNAVAILABLE,
    DeadlineExceededError: StatusCode.DEADLINE_EXCEEDED,
    InferenceError: StatusCode.INTERNAL,
}
MAX_DETAILS_BYTES: Final = 2048
"""They travel in a header, percent-encoded; clients refuse headers of more than 8 KiB."""

log = structlog.get_logger(__name__)


def make_refusal(error: Exception) -> tuple[StatusCode, str]:
    """Code and details of the answer where handling a request raised `error`; what nobody foresaw is logged."""
    code = CODES.get(type(error))
    if code is None:
        log.error("request failed", exc_info=error)
        return StatusCode.INTERNAL, "internal error"
    details = str(error).encode()
    if len(details) <= MAX_DETAILS_BYTES:
        return code, details.decode()
    return code, details[:MAX_DETAILS_BYTES].decode(errors="ignore") + "…"
