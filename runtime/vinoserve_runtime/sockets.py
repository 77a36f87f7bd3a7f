"""Sockets to listen on, and how many connections may come."""

import resource
import socket
from typing import Final

BACKLOG: Final = 1024


def listen(host: str | None, port: int) -> socket.socket:
    """One socket, so that port 0 means one port; for every address of both families where `host` is None.

    Raises OSError where the address can't be had.
    """
    if host is None:
        try:
            return socket.create_server(
                ("", port), family=socket.AF_INET6, backlog=BACKLOG, dualstack_ipv6=True
            )
        except (OSError, ValueError):  # no IPv6 here
            return socket.create_server(("", port), backlog=BACKLOG)
    family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
    return socket.create_server((host, port), family=family, backlog=BACKLOG)


def count_connections(most: int, *, share: int) -> int:
    """How many connections a server may hold: `most`, or one part in `share` of the files that the process may open."""
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return most if files == resource.RLIM_INFINITY else min(most, files // share)
