"""The dashboard on a real Prometheus: each of its queries has an answer where a model is served."""

import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tests.models import write_adder
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
    folder = tmp_path_factory.mktemp("prometheus")
    pods = {"job_name": "models", "static_configs": [{"targets": [runtime.admin.removeprefix("http://")]}]}
    scrape = {"scrape_interval": "500ms", "scrape_timeout": "500ms"}
    (folder / "prometheus.yml").write_text(yaml.safe_dump({"global": scrape, "scrape_configs": [pods]}))
    address = f"127.0.0.1:{find_port()}"
    options = {
        "config.file": folder / "prometheus.yml",
        "storage.tsdb.path": folder / "data",
        "web.listen-address": address,
        "log.level": "error",
    }
    command = [str(prometheus_binary), *(f"--{name}={value}" for name, value in options.items())]
    with subprocess.Popen(command, cwd=folder) as process:
        try:
            yield f"http://{address}"
        finally:
            process.terminate()


def ask(prometheus: str, query: str) -> list[dict[str, Any]]:
    try:
        answer = httpx.get(f"{prometheus}/api/v1/query", params={"query": query}, timeout=10).json()
    except httpx.TransportError:
        return []  # it has not started yet
    assert answer["status"] == "success", answer
    return [series for series in answer["data"]["result"] if series["value"][1] != "NaN"]


@pytest.mark.parametrize("expression", QUERIES)
def test_each_query_has_an_answer(runtime: Runtime, prometheus: str, expression: str) -> None:
    query = expression.replace("$__rate_interval", "20s").replace("$model", ".+")
    deadline = time.monotonic() + PATIENCE
    while not (series := ask(prometheus, query)):
        assert time.monotonic() < deadline, f"no series for {query}"
        assert runtime.infer(x=((1, 4), [0.0] * 4)).status_code == 200
        time.sleep(0.05)
    assert any(one["metric"].get("model") == "model" for one in series)
