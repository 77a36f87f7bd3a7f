"""Host programs: found, or missed in one line that names the package; run, or failed with the end of what they said."""

import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from tools.toolbox.errors import ToolError

#: program -> the Debian package that has it
PACKAGES = {
    "apt-get": "apt",
    "cc": "gcc and libc6-dev",
    "dpkg-deb": "dpkg",
    "ip": "iproute2",
    "mount": "mount",
    "node": "nodejs",
    "npm": "npm",
    "nsenter": "util-linux",
    "openssl": "openssl",
    "unshare": "util-linux",
}


def need(*programs: str) -> None:
    """Refuse to go on when a program is missing, naming the package that has it."""
    missing = [p for p in programs if not shutil.which(p)]
    if missing:
        packages = " ".join(dict.fromkeys(PACKAGES[p] for p in missing))
        raise ToolError(f"{', '.join(missing)} not found on this machine: install the package {packages}")


def find_uv() -> str:
    """uv from PATH, else the one beside this Python (`make setup` puts it there)."""
    beside = Path(sys.executable).with_name("uv")
    found = shutil.which("uv") or (str(beside) if beside.exists() else None)
    if not found:
        raise ToolError("uv not found: run `make setup` first, or install uv")
    return found


def run(
    command: Sequence[str | Path],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run a program to its end; where it fails, say what failed and what it printed last."""
    done = subprocess.run(
        [str(c) for c in command],
        cwd=cwd,
        env=env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        tail = "\n  ".join((done.stderr or done.stdout).strip().splitlines()[-15:])
        raise ToolError(f"`{' '.join(map(str, command))}` failed ({done.returncode}):\n  {tail}")
    return done
