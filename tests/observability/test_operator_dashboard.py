"""The dashboard of the operator on a real Prometheus: each of its queries has an answer where an operator works."""

import asyncio
import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path

import pytest

from tests.observability.prometheus import ask, scraping
from tests.operator.fakes.api_server import ApiError, ApiServer
from tests.operator.fakes.running import condition, eventually, make_service, run_operator
from tests.operator.fakes.workloads import Workloads

DASHBOARD = json.loads(
    (Path(__file__).parents[2] / "charts/vinoserve/dashboards/operator.json").read_text(encoding="utf-8")
)
QUERIES = [
    pytest.param(target["expr"], id=f"{panel['title']}-{target['refId']}")
    for panel in DASHBOARD["panels"]
    for target in panel["targets"]
]
PATIENCE = 120.0


async def operate(folder: Path, port: "Future[int]", stop: threading.Event) -> None:
    """An operator with a service that is ready, one that is stalled and one that always fails."""
    api = ApiServer()
    api.faults.refuse = lambda _, path: ApiError(500, "always") if "/poison" in path else None
    async with api.serve(folder), run_operator(Workloads(api)) as running:
        for name, target in {"fine": "CPU", "stuck": "GPU", "poison": "CPU"}.items():
            api.put(make_service(name, targetDevice=target))
        await eventually(lambda: condition(api, "Ready", "fine").get("status") == "True", api)
        await eventually(lambda: condition(api, "Stalled", "stuck").get("status") == "True", api)
        port.set_result(running.operator.port)
        await asyncio.to_thread(stop.wait)


@pytest.fixture(scope="module")
def operator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of its metrics."""
    folder = tmp_path_factory.mktemp("operator")
    port: Future[int] = Future()
    stop = threading.Event()
    with pytest.MonkeyPatch.context() as patch, ThreadPoolExecutor(1) as pool:
        patch.setenv("KUBECONFIG", str(folder / "kubeconfig"))
        done = pool.submit(lambda: asyncio.run(operate(folder, port, stop)))
        try:
            wait({port, done}, return_when=FIRST_COMPLETED)
            if not port.done():
                done.result()  # raises what ended it
            yield port.result()
        finally:
            stop.set()
            done.result(60)


@pytest.fixture(scope="module")
def prometheus(
    operator: int, prometheus_binary: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("prometheus")
    with scraping(prometheus_binary, folder, f"127.0.0.1:{operator}") as address:
        yield address


@pytest.mark.parametrize("expression", QUERIES)
def test_each_query_has_an_answer(prometheus: str, expression: str) -> None:
    query = expression.replace("$__rate_interval", "20s")
    deadline = time.monotonic() + PATIENCE
    while not ask(prometheus, query):
        assert time.monotonic() < deadline, f"no series for {query}"
        time.sleep(0.1)
