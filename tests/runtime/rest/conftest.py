from collections.abc import Iterator

import pytest

from tests.runtime.rest.serving import Running, make_adder, make_echo, serving


@pytest.fixture(scope="session")
def adder() -> Iterator[Running]:
    """Serves y = max(x + 1, 0), FP32 of shape [1, 4]."""
    with serving(make_adder()) as running:
        yield running


@pytest.fixture(scope="session")
def echo() -> Iterator[Running]:
    """Serves a model with an input and an output of each datatype."""
    with serving(make_echo()) as running:
        yield running
