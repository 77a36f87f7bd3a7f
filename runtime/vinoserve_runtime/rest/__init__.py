"""REST: the Open Inference Protocol over HTTP/1.1, on httptools and whichever event loop runs."""

from vinoserve_runtime.dataplane import Dataplane
from vinoserve_runtime.rest.server import Server
from vinoserve_runtime.rest.v2 import V2App

__all__ = ["Server", "start"]


async def start(dataplane: Dataplane, host: str | None, port: int) -> Server:
    """Serves `dataplane` on `host` (None: every address) and `port` (0: any; see `Server.port`).

    Raises OSError where the address can't be had.
    """
    app = V2App(dataplane)
    server = Server(app, dataplane.room, app.close)
    dataplane.metrics.connections = lambda: server.connections
    await server.start(host, port)
    return server
