"""A server whose engine answers at once, and one whose engine answers when it is told to."""

from collections.abc import Iterator

import pytest

from tests.runtime.grpc.serving import Running, serving
from tests.runtime.rest.gate import Gate, make_limits
from tests.runtime.rest.serving import make_adder


@pytest.fixture
def gate() -> Gate:
    return Gate(1)


@pytest.fixture
def server(gate: Gate) -> Iterator[Running]:
    with serving(gate.engine, make_limits(2)) as running:
        yield running


@pytest.fixture(scope="module")
def adder() -> Iterator[Running]:
    with serving(make_adder()) as running:
        yield running
