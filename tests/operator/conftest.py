"""The fake API server and what runs in its cluster; and what every status has to be like, whichever test makes it."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.kstatus import check_status
from tests.operator.fakes.api_server import ApiServer
from tests.operator.fakes.workloads import Workloads
from vinoserve_api.v1alpha1 import InferenceServiceStatus
from vinoserve_operator import reconcile
from vinoserve_operator.status.look import Look
from vinoserve_operator.status.service import make_service_status


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


@pytest.fixture(autouse=True)
def statuses_are_clean(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Each status that a test or an operator makes is one that kstatus and Argo CD read right."""
    wrong: list[str] = []

    def make(look: Look) -> InferenceServiceStatus:
        status = make_service_status(look)
        try:
            check_status({**look.raw, "status": status.dump()})
        except AssertionError as error:
            wrong.append(f"{error}: {[(c.type, c.status, c.reason) for c in status.conditions]}")
        return status

    modules: list[Any] = [reconcile, request.module]
    for module in modules:
        if hasattr(module, "make_service_status"):
            monkeypatch.setattr(module, "make_service_status", make)
    yield
    assert wrong == []
