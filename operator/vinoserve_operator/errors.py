"""Why a reconciliation stops: what passes by itself, what somebody has to mend, what is over.

The one table that says which answer of the API server is which is `classify`.
"""

import re
from collections.abc import Sequence
from typing import Final

from vinoserve_api.conditions import AcceptedReason
from vinoserve_api.problem import Problem


class SettingsError(Exception):
    """The operator's own settings are wrong; it doesn't start."""


class RetryableError(Exception):
    """It may pass by itself: tried again with backoff, or after `after` seconds where the server says when.

    `progressed`: some of the work was done before it happened, so the next attempt begins with more behind it.
    """

    def __init__(self, message: str, after: float | None = None) -> None:
        super().__init__(message)
        self.after = after
        self.progressed = False


class NotLeaderError(RetryableError):
    """Nothing is written without a fresh Lease."""


class ConflictError(RetryableError):
    """The object has changed, or gone, since it was looked at."""


class GoneError(Exception):
    """The object, or its namespace, is being deleted: nothing is left to do."""


class RejectedError(Exception):
    """The API server understood and refused; it takes somebody to mend it. `str()` is the server's message."""


class NotRenderableError(Exception):
    """A valid object that this cluster has no answer to. `str()` is a sentence for the user."""

    def __init__(self, reason: AcceptedReason, problems: Sequence[Problem]) -> None:
        super().__init__("; ".join(map(str, problems)))
        self.reason = reason
        self.problems = tuple(problems)


#: A server-side apply that its schema doesn't know is answered 500 by API servers that have not yet made it a 4xx.
_SCHEMA_REFUSALS: Final = re.compile(r"field not declared in schema|failed to create typed patch object")
_TERMINATING: Final = re.compile(r"because it is being terminated")


def classify(status: int, message: str, after: float | None) -> Exception:
    """The error that an HTTP answer means; `after` is its Retry-After in seconds.

    401 is retried: tokens are renewed.
    """
    if _TERMINATING.search(message):
        return GoneError(message)
    if _SCHEMA_REFUSALS.search(message):
        return RejectedError(message)
    match status:
        case 404:
            return GoneError(message)
        case 409:
            return ConflictError(message)
        case 400 | 403 | 405 | 413 | 415 | 422:
            return RejectedError(message)
        case _:
            return RetryableError(f"{status}: {message}", after)
