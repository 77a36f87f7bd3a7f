"""helm as the development cluster has it."""

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tools.devcluster.build import make_build

CHART = Path(__file__).parents[2] / "charts/vinoserve"
Render = Callable[..., list[dict[str, Any]]]


@pytest.fixture(scope="session")
def helm(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run helm with folders of its own; a failure is the test's to judge."""
    program = make_build().clients / "helm"
    found = str(program) if program.exists() else shutil.which("helm")
    if not found:
        pytest.skip("no helm: build it with `tools/devcluster/devcluster build`, or install it")
    home = str(tmp_path_factory.mktemp("helm"))
    env = {**os.environ, "HELM_CACHE_HOME": home, "HELM_CONFIG_HOME": home, "HELM_DATA_HOME": home}

    def run(*args: str | Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run([found, *map(str, args)], env=env, capture_output=True, text=True, check=False)

    return run


@pytest.fixture(scope="session")
def render(helm: Callable[..., subprocess.CompletedProcess[str]]) -> Render:
    """`helm template` with values given as `--set-json KEY=JSON`; the documents."""

    def run(*values: str) -> list[dict[str, Any]]:
        flags = [part for value in values for part in ("--set-json", value)]
        done = helm("template", "vinoserve", CHART, "-n", "vinoserve-system", *flags)
        assert done.returncode == 0, done.stderr
        assert not done.stderr, "a warning that every user would see"
        return [document for document in yaml.safe_load_all(done.stdout) if document]

    return run


def pick(documents: list[dict[str, Any]], kind: str, name: str = "vinoserve") -> dict[str, Any]:
    return next(d for d in documents if d["kind"] == kind and d["metadata"]["name"] == name)
