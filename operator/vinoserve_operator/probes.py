"""/livez, /readyz and /metrics."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from vinoserve_operator.kinds import Ref
from vinoserve_operator.metrics import Metrics
from vinoserve_operator.queue import Queue

_STUCK_SECONDS: Final = 180.0
"""No worker has taken or finished a key although some wait: longer than all timeouts of a reconciliation."""


@asynccontextmanager
async def serve_probes(
    port: int, metrics: Metrics, queue: Queue[Ref], is_ready: Callable[[], bool]
) -> AsyncIterator[int]:
    """Listen while in the context; gives the port. A loop that hangs answers none of them, and the kubelet notices."""

    async def live(_: web.Request) -> web.Response:
        waited = asyncio.get_running_loop().time() - queue.progressed
        if len(queue) and queue.progressed and waited > _STUCK_SECONDS:
            return web.Response(status=500, text=f"no progress for {waited:.0f} s\n")
        return web.Response(text="ok\n")

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
        site = web.TCPSite(runner, None, port)
        await site.start()
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()
