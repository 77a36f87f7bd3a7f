"""The project's own code as it goes into an image; by itself, for Containerfiles:

    python3 tools/images/code.py operator|runtime PACKAGES BIN

copies the packages of that image into the folder PACKAGES, and the command `vinoserve` into the folder BIN.
"""

import shutil
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

REPOSITORY = Path(__file__).resolve().parents[2]
#: image -> its packages; the folder each is in
PACKAGES: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "operator": {"vinoserve_api": "crds", "vinoserve_operator": "operator", "vinoserve_cli": "cli"},
        "runtime": {"vinoserve_api": "crds", "vinoserve_runtime": "runtime", "vinoserve_cli": "cli"},
    }
)
LAUNCHER = """\
#!/usr/bin/env python3
import sys

from vinoserve_cli.__main__ import main

sys.exit(main())
"""


def list_sources(image: str) -> list[Path]:
    return [REPOSITORY / folder / package for package, folder in PACKAGES[image].items()]


def read_version() -> str:
    return str(tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["version"])


def write_code(image: str, packages: Path, binaries: Path) -> None:
    """Packages, the metadata by which importlib tells the version, and the command."""
    for source in list_sources(image):
        shutil.copytree(source, packages / source.name, ignore=shutil.ignore_patterns("__pycache__"))
    version = read_version()
    info = packages / f"vinoserve-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.4\nName: vinoserve\nVersion: {version}\n")
    binaries.mkdir(parents=True, exist_ok=True)
    (binaries / "vinoserve").write_text(LAUNCHER)
    (binaries / "vinoserve").chmod(0o755)


if __name__ == "__main__":
    write_code(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
