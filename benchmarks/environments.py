"""The peers' own virtual environments, made once from their locks and kept in the cache folder under the locks' keys."""

import sys
from pathlib import Path

from tools.toolbox.cache import cache_root, make_key
from tools.toolbox.programs import find_uv, run
from tools.toolbox.steps import Step, make_missing

REQUIREMENTS = Path(__file__).parents[1] / "requirements"


def find_environment(name: str) -> Path:
    """Where the virtual environment of requirements/bench-`name`.lock is, or would be."""
    lock = REQUIREMENTS / f"bench-{name}.lock"
    return cache_root() / "benchmarks/environments" / f"{name}-{make_key(lock, sys.version)}"


def make_environment(name: str) -> Path:
    """That environment, installed where it is missing. Raises ToolError where it can't be."""

    def fill(dest: Path) -> None:
        lock = REQUIREMENTS / f"bench-{name}.lock"
        run([find_uv(), "venv", "--quiet", "--relocatable", "--python", sys.executable, dest])
        options = ["--quiet", "--compile-bytecode", "--require-hashes", "--no-deps"]
        run([find_uv(), "pip", "install", *options, "--python", dest / "bin/python", "-r", lock])

    dest = find_environment(name)
    make_missing([Step(dest, f"the environment of {name}", 20, fill)])
    return dest


def find_packages(environment: Path) -> Path:
    """Its site-packages."""
    return environment / f"lib/python{sys.version_info.major}.{sys.version_info.minor}/site-packages"
