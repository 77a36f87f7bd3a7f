"""Which methods a resource has."""

from collections.abc import Awaitable, Callable
from typing import Final

from vinoserve_runtime.rest.messages import HttpError, QuickRoute, Request, Response, Route, SlowRoute

ALLOW: Final = b"Allow"

Resource = dict[str, Route]
"""Its routes by method."""


def get(operation: str, handle: Callable[[Request], Response]) -> Resource:
    """For GET and HEAD."""
    route = QuickRoute(operation, handle)
    return {"GET": route, "HEAD": route}


def post(operation: str, handle: Callable[[Request], Awaitable[Response]]) -> Resource:
    return {"POST": SlowRoute(operation, handle)}


def find_route(resource: Resource, method: str) -> Route:
    """Raises HttpError 405."""
    route = resource.get(method)
    if route is None:
        allowed = ", ".join(resource)
        raise HttpError(405, f"{method} is not allowed here; {allowed} is", (ALLOW, allowed.encode()))
    return route
