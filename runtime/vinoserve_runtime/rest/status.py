"""Which HTTP status code each error of the data plane has."""

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
from vinoserve_runtime.rest.messages import HttpError, Response, make_error_response

STATUS: Final[dict[type[Exception], int]] = {
    InvalidRequestError: 400,
    ModelNotFoundError: 404,
    NotOfferedError: 409,
    QueueFullError: 429,
    NotReadyError: 503,
    DeadlineExceededError: 504,
    InferenceError: 500,
}
RETRY_AFTER: Final[dict[type[Exception], bytes]] = {QueueFullError: b"1", NotReadyError: b"5"}

log = structlog.get_logger(__name__)


def make_refusal(error: Exception) -> Response:
    """What is answered where handling a request raised `error`; what nobody foresaw is logged."""
    if isinstance(error, HttpError):
        return make_error_response(error)
    status = STATUS.get(type(error))
    if status is None:
        log.error("request failed", exc_info=error)
        return make_error_response(HttpError(500, "internal error"))
    seconds = RETRY_AFTER.get(type(error))
    headers = () if seconds is None else ((b"Retry-After", seconds),)
    return make_error_response(HttpError(status, str(error), *headers))
