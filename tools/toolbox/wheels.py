"""Locked Python packages unpacked into a folder, for this Python or for the one in an image."""

import sys
from pathlib import Path

from tools.toolbox.programs import find_uv, run


def install_target(lock: Path, dest: Path) -> None:
    """The packages of `lock` for Debian 12's Python 3.11, importable from `dest`."""
    run(
        [
            *(find_uv(), "pip", "install", "--quiet", "--target", dest),
            *(
                "--python-version",
                "3.11",
                "--python-platform",
                "x86_64-manylinux_2_28",
                "--only-binary",
                ":all:",
            ),
            *("--require-hashes", "--no-deps", "-r", lock),
        ]
    )
    (dest / ".lock").unlink(missing_ok=True)  # uv's own, of no use in what is made of this


def install_prefix(lock: Path, dest: Path) -> None:
    """The packages of `lock` with all their data files (`lib/`, `etc/`) below `dest`."""
    run(
        [
            *(find_uv(), "pip", "install", "--quiet", "--python", sys.executable, "--prefix", dest),
            *("--require-hashes", "--no-deps", "-r", lock),
        ]
    )
    (dest / ".lock").unlink(missing_ok=True)  # uv's own, of no use in what is made of this
