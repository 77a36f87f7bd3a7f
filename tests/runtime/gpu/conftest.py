import pytest

from tools import fakegpu


@pytest.fixture(scope="session")
def one_gpu() -> dict[str, str]:
    """Environment of a process that sees one emulated GPU."""
    return fakegpu.environment()


@pytest.fixture(scope="session")
def two_gpus() -> dict[str, str]:
    return fakegpu.environment(count=2)
