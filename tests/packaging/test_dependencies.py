"""What an image's code imports is among what is installed into it."""

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[2]
BY_EXTRA: Final = {
    "operator": ("operator/vinoserve_operator",),
    "runtime": ("runtime/vinoserve_runtime",),
}
OURS: Final = ("vinoserve_api", "vinoserve_cli", "vinoserve_operator", "vinoserve_runtime")


def find_imports(extra: str) -> set[str]:
    """The foreign modules that its code imports."""
    paths = (path for folder in BY_EXTRA[extra] for path in (ROOT / folder).rglob("*.py"))
    found = {module for path in paths for module in _read_imports(path)}
    return {module for module in found if module not in sys.stdlib_module_names and module not in OURS}


def _read_imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0]


def find_distributions(module: str) -> set[str]:
    return {_normalize(name) for name in packages_distributions().get(module, ())}


def _normalize(name: str) -> str:
    return name.replace("_", "-").lower()


@pytest.mark.parametrize("extra", BY_EXTRA)
def test_every_import_is_installed(extra: str) -> None:
    lock = (ROOT / f"requirements/{extra}.lock").read_text()
    locked = {_normalize(name) for name in re.findall(r"^([\w.-]+)==", lock, re.MULTILINE)}
    assert [module for module in find_imports(extra) if not locked & find_distributions(module)] == []


@pytest.mark.parametrize("extra", BY_EXTRA)
def test_what_is_imported_is_asked_for_by_name(extra: str) -> None:
    """Not only there because something else needs it."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = (*project["dependencies"], *project["optional-dependencies"][extra])
    asked = {_normalize(re.split(r"[^\w.-]", line)[0]) for line in lines}
    assert [module for module in find_imports(extra) if not asked & find_distributions(module)] == []
