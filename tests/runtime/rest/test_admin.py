"""The admin port."""

import asyncio
from collections.abc import Iterator
from http.client import HTTPConnection

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.runtime.own_loop import on_own_loop
from vinoserve_api.contract import RuntimeReport, read_report
from vinoserve_runtime import admin
from vinoserve_runtime.metrics import Metrics
from vinoserve_runtime.rest import Server

WHY: dict[str, str | None] = {"live": None, "ready": None, "started": None}


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    async def start() -> tuple[Server, int]:
        server = await admin.start(
            "127.0.0.1",
            0,
            live=lambda: WHY["live"],
            ready=lambda: WHY["ready"],
            started=lambda: WHY["started"],
            report=lambda: RuntimeReport(phase="Ready", target_device="CPU", execution_devices=("CPU",)),
            registry=Metrics("m", "1").registry,
        )
        return server, server.port

    with on_own_loop(start, run=asyncio.run) as (_, found):  # asyncio's own loop does, too
        yield found


def ask(port: int, method: str, path: str, body: bytes | None = None) -> tuple[int, str, str]:
    connection = HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request(method, path, body)
        response = connection.getresponse()
        return response.status, response.headers["Content-Type"], response.read().decode()
    finally:
        connection.close()


@pytest.mark.parametrize(
    ("path", "check"), [("/livez", "live"), ("/readyz", "ready"), ("/startupz", "started")]
)
def test_probes_say_why_not(port: int, path: str, check: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert ask(port, "GET", path) == (200, "text/plain; charset=utf-8", "ok\n")
    assert ask(port, "GET", path + "?verbose")[0] == 200
    monkeypatch.setitem(WHY, check, "Compiling: 12 s")
    assert ask(port, "GET", path) == (503, "text/plain; charset=utf-8", "Compiling: 12 s\n")


def test_metrics_are_prometheus_text(port: int) -> None:
    status, content_type, text = ask(port, "GET", "/metrics")
    assert status == 200
    assert content_type.startswith("text/plain; version=")
    names = {family.name for family in text_string_to_metric_families(text)}
    assert {"vinoserve_requests", "vinoserve_request_seconds", "vinoserve_queue_length"} <= names


def test_report(port: int) -> None:
    status, content_type, text = ask(port, "GET", "/report")
    assert (status, content_type) == (200, "application/json")
    assert read_report(text).phase == "Ready"
    assert '"executionDevices":["CPU"]' in text


def test_what_is_not_there(port: int) -> None:
    assert ask(port, "GET", "/")[0] == 404
    assert ask(port, "GET", "/v2/health/live")[0] == 404
    assert ask(port, "POST", "/livez")[0] == 405
    assert ask(port, "GET", "/livez", b"body")[0] == 413
    assert ask(port, "HEAD", "/livez") == (200, "text/plain; charset=utf-8", "")
