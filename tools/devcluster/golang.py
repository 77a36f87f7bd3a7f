"""The Go compiler: one on PATH or the wheel's in the virtual environment, at the version that the modules are pinned to."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from tools.toolbox.errors import ToolError

#: Kubernetes 1.36's OpenAPI breaks with the new JSON package of Go 1.27; containerd's module asks for no less than this.
VERSION = (1, 26, 8)
TOO_NEW = (1, 27)


def find_go() -> str:
    """A `go` that is, or can fetch, the pinned version."""
    beside = Path(sys.executable).with_name("go")
    found = shutil.which("go") or (str(beside) if beside.exists() else None)
    if not found:
        raise ToolError("go not found: run `make setup` first (it brings one), or install Go 1.21 or newer")
    return found


def make_go_environment(go: str) -> dict[str, str]:
    """The environment for builds: pinned modules only, no C compiler, the user's own Go caches.

    A Go that does not fit is told to fetch the pinned toolchain, which it does through the module proxy and checks.
    """
    env = {
        **os.environ,
        "CGO_ENABLED": "0",
        "GOFLAGS": "-mod=readonly -buildvcs=false",
        "GOOS": "linux",
        "GOWORK": "off",
        "GOTOOLCHAIN": "local",
    }
    version = read_version(
        subprocess.run([go, "env", "GOVERSION"], env=env, capture_output=True, text=True, check=True).stdout
    )
    if not VERSION <= version < TOO_NEW:
        env["GOTOOLCHAIN"] = "go" + ".".join(map(str, VERSION))
    return env


def read_version(text: str) -> tuple[int, ...]:
    """`go1.26.8` -> (1, 26, 8)."""
    found = re.match(r"go(\d+)\.(\d+)(?:\.(\d+))?", text.strip())
    if not found:
        raise ToolError(f"`go env GOVERSION` said {text.strip()!r}, not a version like go1.26.8")
    return tuple(int(part or 0) for part in found.groups())
