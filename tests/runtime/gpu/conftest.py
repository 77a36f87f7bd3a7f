import socket

import pytest

from tools import fakegpu


@pytest.fixture(scope="session")
def one_gpu() -> dict[str, str]:
    """Environment of a process that sees one emulated GPU."""
    return fakegpu.environment()


@pytest.fixture(scope="session")
def two_gpus() -> dict[str, str]:
    return fakegpu.environment(count=2)


@pytest.fixture
def ports() -> tuple[int, int]:
    """Two that are free."""
    with socket.socket() as one, socket.socket() as two:
        for free in (one, two):
            free.bind(("127.0.0.1", 0))
        return one.getsockname()[1], two.getsockname()[1]
