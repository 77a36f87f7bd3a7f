"""/livez, /readyz and /metrics."""

import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from vinoserve_operator.health import Health
from vinoserve_operator.metrics import Metrics


@asynccontextmanager
async def serve_probes(
    port: int, metrics: Metrics, health: Health, is_ready: Callable[[], bool]
) -> AsyncIterator[int]:
    """Listen while in the context; gives the port. A loop that hangs answers none of them, and the kubelet notices."""

    async def live(_: web.Request) -> web.Response:
        trouble = health.find_trouble()
        return web.Response(status=500, text=f"{trouble}\n") if trouble else web.Response(text="ok\n")

    async def ready(_: web.Request) -> web.Response:
        if not is_ready():
            return web.Response(status=503, text="the caches are not filled yet\n")
        return web.Response(text="ok\n")

    async def show_metrics(_: web.Request) -> web.Response:
        return web.Response(
            body=generate_latest(metrics.registry), headers={"Content-Type": CONTENT_TYPE_LATEST}
        )

    app = web.Application()
    app.add_routes([web.get("/livez", live), web.get("/readyz", ready), web.get("/metrics", show_metrics)])
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
    await runner.setup()
    try:
        await web.SockSite(runner, listening := _listen(port)).start()
        yield listening.getsockname()[1]
    finally:
        await runner.cleanup()


def _listen(port: int) -> socket.socket:
    """One socket for IPv4 and IPv6, so that any free port is the same for both."""
    if socket.has_dualstack_ipv6():
        return socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True)
    return socket.create_server(("", port))
