"""gRPC: the Open Inference Protocol on whichever event loop runs."""

from vinoserve_runtime.dataplane import Dataplane
from vinoserve_runtime.grpc.server import Server

__all__ = ["Server", "start"]


async def start(dataplane: Dataplane, host: str | None, port: int) -> Server:
    """Serves `dataplane` on `host` (None: every address) and `port` (0: any; see `Server.port`).

    Raises OSError where the address can't be had.
    """
    server = Server(dataplane)
    await server.start(host, port)
    return server
