"""An operator in a process of its own, against the fake API server: it can be stopped, continued and killed."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path


class OperatorProcess:
    def __init__(self, process: asyncio.subprocess.Process, token: str) -> None:
        self._process = process
        self.token = token
        """By which the API server knows it."""

    def send(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    @property
    def running(self) -> bool:
        return self._process.returncode is None

    @property
    def megabytes(self) -> float:
        """Of its resident memory."""
        pages = int(Path(f"/proc/{self._process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


@asynccontextmanager
async def run_process(kubeconfig: Path, token: str = "first") -> AsyncIterator[OperatorProcess]:
    """Killed when the context ends."""
    own = kubeconfig.with_name(f"kubeconfig-{token}")
    own.write_text(kubeconfig.read_text().replace("token: fake", f"token: {token}"))  # noqa: ASYNC240  # small
    settings = {
        "KUBECONFIG": str(own),
        "VINOSERVE_PORT": "0",
        "VINOSERVE_IMAGE": "example.com/runtime:1",
        "VINOSERVE_LEASE_NAMESPACE": "vinoserve",
        "VINOSERVE_LOG_LEVEL": "ERROR",
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "vinoserve_operator", env={**os.environ, **settings}
    )
    try:
        yield OperatorProcess(process, token)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
