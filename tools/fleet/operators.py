"""The operator as a process of its own, and what it says of itself."""

import asyncio
import re
import socket
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import aiohttp

from tools.fleet.site import Usage, run_program

NAMESPACE: Final = "fleet"
_QUIET_SECONDS: Final = 2.0
_WRITES: Final = ("create", "patch", "update", "delete")


@dataclass(frozen=True)
class Scrape:
    """What it says at one moment. Going through thousands of services for each number would be most of what it does."""

    text: str

    def read(self, metric: str, where: str = "") -> float:
        """The sum of a metric's samples, of those that have that text in their labels."""
        if f"# TYPE vinoserve_operator_{metric.removesuffix('_count')} " not in self.text:
            raise RuntimeError(f"no metric {metric}")
        found = re.findall(rf"^vinoserve_operator_{metric}({{[^}}]*}})? (\S+)$", self.text, re.MULTILINE)
        return sum(float(value) for labels, value in found if where in labels)

    @property
    def writes(self) -> int:
        """To the API server; events too, which tell what was written."""
        return int(sum(self.read("api_requests_total", f'verb="{verb}"') for verb in _WRITES))


class RunningOperator:
    def __init__(self, pid: int, port: int, session: aiohttp.ClientSession) -> None:
        self.usage = Usage(pid)
        self._url = f"http://127.0.0.1:{port}"
        self._session = session

    async def wait_synced(self, seconds: float = 300) -> None:
        async with asyncio.timeout(seconds):
            while True:
                try:
                    async with self._session.get(f"{self._url}/readyz") as answer:
                        if answer.status == 200:
                            return
                except aiohttp.ClientError:
                    pass
                await asyncio.sleep(0.1)

    async def scrape(self) -> Scrape:
        async with self._session.get(f"{self._url}/metrics") as answer:
            return Scrape(await answer.text())

    async def settle(self, seconds: float = 300) -> None:
        """Until it has looked at everything, has told of it in events, and has had nothing more to do for a while."""
        quiet = time.monotonic()
        async with asyncio.timeout(seconds):
            looked = -1.0
            while time.monotonic() - quiet < _QUIET_SECONDS:
                scrape = await self.scrape()
                waiting = scrape.read("queue_depth") + scrape.read("queue_failing")
                now = scrape.read("reconcile_seconds_count") + scrape.writes
                leading = scrape.read("leader")
                if waiting or now != looked or not leading:
                    quiet, looked = time.monotonic(), now
                await asyncio.sleep(0.25)


@asynccontextmanager
async def run_operator(logs: Path) -> AsyncIterator[RunningOperator]:
    """With its caches filled."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    command = [sys.executable, "-m", "vinoserve_operator"]
    env = {
        "VINOSERVE_PORT": str(port),
        "VINOSERVE_LEASE_NAMESPACE": NAMESPACE,
        "VINOSERVE_LOG_LEVEL": "WARNING",
    }
    async with (
        aiohttp.ClientSession() as session,
        run_program(command, logs / "operator.log", **env) as process,
    ):
        operator = RunningOperator(process.pid, port, session)
        await operator.wait_synced()
        yield operator
