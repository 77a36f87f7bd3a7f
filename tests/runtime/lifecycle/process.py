"""A runtime in a process of its own, as a pod or a user runs it."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from vinoserve_api.contract import RuntimeConfig, RuntimeReport

_MAIN = """
import sys
from pathlib import Path
from vinoserve_api.contract import RuntimeConfig
from vinoserve_runtime import commands
exec(sys.argv[6])
config = RuntimeConfig.model_validate_json(Path(sys.argv[1]).read_text())
folder = Path(sys.argv[2])
sys.exit(commands.serve(config, host="127.0.0.1", http_port=int(sys.argv[3]), grpc_port=0, admin_port=int(sys.argv[4]),
    model_dir=folder / "models", cache_dir=folder / "cache", fetch=sys.argv[5] == "fetch",
    claim_dir=folder / "claim", credentials_dir=folder / "credentials"))
"""

PATIENCE = 120.0


@dataclass
class Runtime:
    process: subprocess.Popen[str]
    rest: str
    admin: str

    def get(self, path: str) -> httpx.Response:
        return httpx.get(f"{self.admin}{path}", timeout=10)

    def report(self) -> RuntimeReport:
        return RuntimeReport.model_validate_json(self.get("/report").content)

    def infer(self, **tensors: Any) -> httpx.Response:
        inputs = [
            {"name": name, "datatype": "FP32", "shape": list(shape), "data": data}
            for name, (shape, data) in tensors.items()
        ]
        return httpx.post(f"{self.rest}/v2/models/model/infer", json={"inputs": inputs}, timeout=60)

    def until_ready(self, patience: float = PATIENCE) -> "Runtime":
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise AssertionError(f"ended with {self.process.returncode}: {self.process.stderr.read()}")  # type: ignore[union-attr]
            try:
                if self.get("/readyz").status_code == 200:
                    return self
            except httpx.TransportError:
                pass
            time.sleep(0.05)
        raise AssertionError(f"not ready after {patience} s: {self.report()}")

    def until_phase(self, *phases: str) -> RuntimeReport:
        return self.until(lambda report: report.phase in phases)

    def until(self, condition: Callable[[RuntimeReport], bool], patience: float = PATIENCE) -> RuntimeReport:
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline:
            try:
                report = self.report()
            except httpx.TransportError:
                if self.process.poll() is not None:
                    raise
            else:
                if condition(report):
                    return report
            time.sleep(0.02)
        raise AssertionError(f"not so after {patience} s: {self.report()}")

    def terminate(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE)

    def ended(self) -> tuple[int, list[dict[str, Any]]]:
        """The exit code, and the log."""
        _, err = self.process.communicate(timeout=PATIENCE)
        return self.process.returncode, [
            json.loads(line) for line in err.splitlines() if line.startswith("{")
        ]


@contextmanager
def running(
    config: RuntimeConfig,
    folder: Path,
    *,
    fetch: bool = True,
    env: dict[str, str] | None = None,
    ports: tuple[int, int],
    patch: str = "",
) -> Iterator[Runtime]:
    """`ports`: REST's and the admin's. `patch`: Python that runs first, to break something."""
    path = folder / "config.json"
    path.write_text(config.model_dump_json(by_alias=True))
    command = [
        sys.executable,
        "-c",
        _MAIN,
        str(path),
        str(folder),
        *map(str, ports),
        "fetch" if fetch else "no",
    ]
    command.append(patch)
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **(env or {})},
    )
    rest, admin = (f"http://127.0.0.1:{port}" for port in ports)
    try:
        yield Runtime(process, rest, admin)
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()
