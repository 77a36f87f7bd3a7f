"""kubectl, helm and other programs against one cluster."""

import json
import re
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tools.toolbox.errors import ToolError

DEVCLUSTER = Path(__file__).parents[1] / "devcluster/devcluster"


@dataclass(frozen=True)
class Access:
    """How programs of this machine reach a cluster: `prefix` goes before each command."""

    prefix: tuple[str, ...] = ()

    def argv(self, *command: str | Path) -> list[str]:
        return [*self.prefix, *map(str, command)]

    def run(self, *command: str | Path, given: bytes = b"", timeout: float = 120) -> bytes:
        """Run a program to its end and give its stdout; `given` is its stdin. Raises ToolError with what it said."""
        shown = " ".join(map(str, command))
        try:
            done = subprocess.run(
                self.argv(*command), input=given, capture_output=True, timeout=timeout, check=False
            )
        except FileNotFoundError as error:
            raise ToolError(f"{command[0]} not found on this machine: install it") from error
        except subprocess.TimeoutExpired as error:
            raise ToolError(f"`{shown}` was not done after {timeout:.0f} s") from error
        if done.returncode:
            said = (done.stderr or done.stdout).decode(errors="replace").strip()
            raise ToolError(
                f"`{shown}` failed ({done.returncode}):\n  " + "\n  ".join(said.splitlines()[-15:])
            )
        return done.stdout

    def kubectl(self, *args: str | Path, given: bytes = b"", timeout: float = 120) -> str:
        return self.run("kubectl", *args, given=given, timeout=timeout).decode()

    def apply(self, *documents: dict[str, Any]) -> None:
        """Server-side apply, as the demo's own field manager."""
        whole = {"apiVersion": "v1", "kind": "List", "items": list(documents)}
        self.kubectl(
            "apply",
            "--server-side",
            "--field-manager=vinoserve-demo",
            "-f",
            "-",
            given=json.dumps(whole).encode(),
        )

    def get(self, *what: str) -> dict[str, Any]:
        """An object, or {} where it is not there."""
        text = self.kubectl("get", "--ignore-not-found", "-o", "json", *what)
        found: dict[str, Any] = json.loads(text) if text else {}
        return found

    @contextmanager
    def forward(self, namespace: str, target: str, port: int) -> Iterator[str]:
        """`kubectl port-forward` while the block runs; gives the address, as a program of `run` reaches it."""
        command = self.argv("kubectl", "-n", namespace, "port-forward", target, f":{port}")
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            try:
                line = process.stdout.readline() if process.stdout else ""
                found = re.search(r"Forwarding from (127\.0\.0\.1:\d+)", line)
                if not found:
                    said = process.stderr.read().strip() if process.stderr else ""
                    raise ToolError(f"`kubectl port-forward {target}` failed: {said or line}")
                yield f"http://{found[1]}"
            finally:
                process.terminate()


def devcluster(*args: str, prefix: Sequence[str] = ()) -> None:
    """A command of tools/devcluster; its progress is the user's to see."""
    if subprocess.run([*prefix, str(DEVCLUSTER), *args], stdin=subprocess.DEVNULL, check=False).returncode:
        raise ToolError(f"`tools/devcluster/devcluster {' '.join(args)}` failed: see above")
