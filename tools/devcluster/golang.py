"""The Go compiler: one on PATH or the wheel's in the virtual environment, at the version that the modules are pinned to."""

import os
import re
import shutil
import sys
from pathlib import Path

from tools.toolbox.errors import ToolError
from tools.toolbox.programs import run

#: Kubernetes 1.36's OpenAPI breaks with the new JSON package of Go 1.27; containerd's module asks for no less than this.
VERSION = (1, 26, 8)
TOO_NEW = (1, 27)
CAN_FETCH = (1, 21)


def find_go() -> tuple[str, dict[str, str]]:
    """A `go` that is, or can fetch, the pinned version, and the environment for builds with it."""
    found = [shutil.which("go"), str(Path(sys.executable).with_name("go"))]
    versions = {go: ask_version(go) for go in found if go and Path(go).exists()}
    for go, version in versions.items():
        if VERSION <= version < TOO_NEW:
            return go, make_go_environment("local")
    for go, version in versions.items():
        if version >= CAN_FETCH:
            return go, make_go_environment("go" + ".".join(map(str, VERSION)))
    seen = (
        ", ".join(f"{go} is {'.'.join(map(str, version))}" for go, version in versions.items())
        or "go not found"
    )
    raise ToolError(f"{seen}: run `make setup` first (it brings a Go), or install Go 1.21 or newer")


def make_go_environment(toolchain: str) -> dict[str, str]:
    """Pinned modules only, no C compiler, the user's own Go caches.

    `toolchain` go1.26.8: Go fetches that one through the module proxy and checks it.
    """
    return {
        **os.environ,
        "CGO_ENABLED": "0",
        "GOFLAGS": "-mod=readonly -buildvcs=false",
        "GOOS": "linux",
        "GOTOOLCHAIN": toolchain,
        "GOWORK": "off",
    }


def ask_version(go: str) -> tuple[int, ...]:
    return read_version(run([go, "env", "GOVERSION"], env=make_go_environment("local")).stdout)


def read_version(text: str) -> tuple[int, ...]:
    """`go1.26.8` -> (1, 26, 8)."""
    found = re.match(r"go(\d+)\.(\d+)(?:\.(\d+))?", text.strip())
    if not found:
        raise ToolError(f"`go env GOVERSION` said {text.strip()!r}, not a version like go1.26.8")
    return tuple(int(part or 0) for part in found.groups())
