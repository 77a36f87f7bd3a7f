"""Which methods a resource has."""

from collections.abc import Callable
from typing import Final

from vinoserve_runtime.rest.messages import HttpError, Later, Request, Response, Route

ALLOW: Final = b"Allow"

Resource = dict[str, Route]
"""Its routes by method."""


def get(operation: str, handle: Callable[[Request], Response]) -> Resource:
    """For GET and HEAD."""
    route = Route(operation, handle)
    return {"GET": route, "HEAD": route}


def post(operation: str, handle: Callable[[Request], Response | Later]) -> Resource:
    return {"POST": Route(operation, handle)}


def find_route(resource: Resource, method: str) -> Route:
    """Raises HttpError 405."""
    route = resource.get(method)
    if route is None:
        allowed = ", ".join(resource)
        raise HttpError(405, f"{method} is not allowed here; {allowed} is", (ALLOW, allowed.encode()))
    return route
