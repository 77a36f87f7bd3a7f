"""The fake API server and what runs in its cluster."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.operator.fakes.api_server import ApiServer
from tests.operator.fakes.workloads import Workloads


@pytest.fixture
def api() -> ApiServer:
    return ApiServer()


@pytest.fixture
def workloads(api: ApiServer) -> Workloads:
    return Workloads(api)


@pytest.fixture
async def kubeconfig(api: ApiServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Path]:
    """The fake API server listens; both clients find it."""
    async with api.serve(tmp_path) as path:
        monkeypatch.setenv("KUBECONFIG", str(path))
        yield path
