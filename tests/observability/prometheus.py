"""A real Prometheus that scrapes this machine, twice a second."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import yaml

from tests.servers_fixture import find_port


@contextmanager
def scraping(binary: Path, folder: Path, target: str) -> Iterator[str]:
    """Its address while it scrapes `target`, HOST:PORT."""
    jobs = {"job_name": "tested", "static_configs": [{"targets": [target]}]}
    scrape = {"scrape_interval": "500ms", "scrape_timeout": "500ms"}
    (folder / "prometheus.yml").write_text(yaml.safe_dump({"global": scrape, "scrape_configs": [jobs]}))
    address = f"127.0.0.1:{find_port()}"
    options = {
        "config.file": folder / "prometheus.yml",
        "storage.tsdb.path": folder / "data",
        "web.listen-address": address,
        "log.level": "error",
    }
    command = [str(binary), *(f"--{name}={value}" for name, value in options.items())]
    with subprocess.Popen(command, cwd=folder) as process:
        try:
            yield f"http://{address}"
        finally:
            process.terminate()


def ask(prometheus: str, query: str) -> list[dict[str, Any]]:
    """The series that answer, without those that are no number."""
    try:
        response = httpx.get(f"{prometheus}/api/v1/query", params={"query": query}, timeout=10)
    except httpx.TransportError:
        return []  # it has not started yet
    if response.status_code == httpx.codes.SERVICE_UNAVAILABLE:
        return []  # it listens, and isn't ready
    answer = response.json()
    assert answer["status"] == "success", answer
    return [series for series in answer["data"]["result"] if series["value"][1] != "NaN"]
