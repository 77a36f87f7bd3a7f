"""The admin port: probes for the kubelet, metrics for Prometheus, the report for the operator."""

import asyncio
from collections.abc import Callable
from typing import Final

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from vinoserve_api.contract import RuntimeReport
from vinoserve_runtime.rest.messages import JSON, HttpError, Request, Response, Route
from vinoserve_runtime.rest.routing import Resource, find_route, get
from vinoserve_runtime.rest.server import Server
from vinoserve_runtime.rest.status import make_refusal

TEXT: Final = b"text/plain; charset=utf-8"

Check = Callable[[], str | None]
"""None where all is well, else why not."""


class AdminApp:
    max_body_bytes: Final = 0
    closing: Final = False

    def __init__(
        self,
        *,
        live: Check,
        ready: Check,
        started: Check,
        report: Callable[[], RuntimeReport],
        registry: CollectorRegistry,
    ) -> None:
        self._resources: dict[bytes, Resource] = {
            b"/livez": get("live", _probe(live)),
            b"/readyz": get("ready", _probe(ready)),
            b"/startupz": get("started", _probe(started)),
            b"/metrics": get(
                "metrics",
                lambda _: Response(200, [generate_latest(registry)], CONTENT_TYPE_LATEST.encode()),
            ),
            b"/report": get(
                "report", lambda _: Response(200, [report().model_dump_json(by_alias=True).encode()], JSON)
            ),
        }

    def route(self, method: str, target: bytes) -> Route:
        resource = self._resources.get(target.partition(b"?")[0])
        if resource is None:
            raise HttpError(404, f"no such path; there are {b', '.join(self._resources).decode()}")
        return find_route(resource, method)

    def refuse(self, error: Exception) -> Response:
        return make_refusal(error)

    def answered(self, request: Request, status: int) -> None:
        pass

    def can_abandon(self, task: asyncio.Task[None]) -> bool:  # noqa: ARG002 - all is answered at once
        return False


async def start(
    host: str | None,
    port: int,
    *,
    live: Check,
    ready: Check,
    started: Check,
    report: Callable[[], RuntimeReport],
    registry: CollectorRegistry,
) -> Server:
    """Serves until the server that it returns is closed. Raises OSError where the address can't be had."""
    server = Server(AdminApp(live=live, ready=ready, started=started, report=report, registry=registry))
    await server.start(host, port)
    return server


def _probe(check: Check) -> Callable[[Request], Response]:
    def answer(_: Request) -> Response:
        why = check()
        return Response(200 if why is None else 503, [f"{why or 'ok'}\n".encode()], TEXT)

    return answer
