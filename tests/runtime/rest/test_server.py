"""Sockets: where the server listens, and how many connections it dares."""

import asyncio
import resource
import socket

import pytest

from tests.runtime.rest.raw_http import get
from tests.runtime.rest.serving import LIMITS, make_adder
from vinoserve_runtime import rest
from vinoserve_runtime.dataplane import Dataplane
from vinoserve_runtime.metrics import Metrics
from vinoserve_runtime.sockets import count_connections


def make_dataplane() -> Dataplane:
    dataplane = Dataplane("m", "1", LIMITS, Metrics("m", "1"))
    dataplane.attach(make_adder())
    return dataplane


async def ask(host: str, port: int) -> bytes:
    reader, writer = await asyncio.open_connection(host, port)
    writer.write(get("/v2/health/ready", "Connection: close"))
    answer = await reader.read()
    writer.close()
    return answer


def has_ipv6() -> bool:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", None])
async def test_one_port_for_every_address(host: str | None) -> None:
    server = await rest.start(make_dataplane(), host, 0)
    try:
        assert (await ask(host or "127.0.0.1", server.port)).endswith(b'{"ready":true}')
        if host is None and has_ipv6():
            assert (await ask("::1", server.port)).endswith(b'{"ready":true}')
    finally:
        server.close()
        await server.wait_closed()


async def test_a_port_in_use_is_an_error() -> None:
    server = await rest.start(make_dataplane(), "127.0.0.1", 0)
    try:
        with pytest.raises(OSError, match="in use"):
            await rest.start(make_dataplane(), "127.0.0.1", server.port)
    finally:
        server.close()
        await server.wait_closed()


@pytest.mark.parametrize("files", [1024, 1 << 20, resource.RLIM_INFINITY])
def test_connections_leave_files_for_the_rest(monkeypatch: pytest.MonkeyPatch, files: int) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (files, files))
    together = count_connections(4096, share=2) + count_connections(1024, share=4)
    assert together == (768 if files == 1024 else 5120)
