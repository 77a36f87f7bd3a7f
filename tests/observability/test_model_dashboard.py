"""The dashboard of the models on a real Prometheus: each of its queries has an answer where a model is served."""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.models import write_adder
from tests.observability.prometheus import ask, scraping
from tests.runtime.configs import make_config
from tests.runtime.lifecycle.process import Runtime, running
from tests.servers_fixture import find_port

DASHBOARD = json.loads(
    (Path(__file__).parents[2] / "charts/vinoserve/dashboards/models.json").read_text(encoding="utf-8")
)
QUERIES = [
    pytest.param(target["expr"], id=f"{panel['title']}-{target['refId']}")
    for panel in DASHBOARD["panels"]
    for target in panel["targets"]
]
PATIENCE = 120.0


@pytest.fixture(scope="module")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runtime]:
    folder = tmp_path_factory.mktemp("served")
    path = write_adder(folder / "adder.xml", shape=(-1, 4))
    config = make_config(path, batching={"maxBatchSize": 4})
    with running(config, folder, ports=(find_port(), find_port())) as found:
        yield found.until_ready()


@pytest.fixture(scope="module")
def prometheus(
    runtime: Runtime, prometheus_binary: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    target = runtime.admin.removeprefix("http://")
    with scraping(prometheus_binary, tmp_path_factory.mktemp("prometheus"), target) as address:
        yield address


@pytest.mark.parametrize("expression", QUERIES)
def test_each_query_has_an_answer(runtime: Runtime, prometheus: str, expression: str) -> None:
    query = expression.replace("$__rate_interval", "20s").replace("$model", ".+")
    deadline = time.monotonic() + PATIENCE
    while not (series := ask(prometheus, query)):
        assert time.monotonic() < deadline, f"no series for {query}"
        assert runtime.infer(x=((1, 4), [0.0] * 4)).status_code == 200
        time.sleep(0.05)
    assert any(one["metric"].get("model") == "model" for one in series)
