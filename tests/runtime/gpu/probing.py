"""Ask a process with emulated GPUs."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

from tests.runtime.configs import make_config

F32 = {"inferencePrecision": "f32"}


def run_script(name: str, env: dict[str, str], *arguments: str | Path) -> Any:
    """What the script of this folder prints as its result."""
    done = subprocess.run(
        [sys.executable, Path(__file__).with_name(name), *arguments],
        env={**os.environ, **env, "PYTHONPATH": str(Path(__file__).parents[3])},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith("RESULT ")]
    assert lines, f"exit {done.returncode}: {done.stderr[-3000:]}"
    return json.loads(lines[-1].removeprefix("RESULT "))


def probe(env: dict[str, str], path: Path, cache: Path, **fields: Any) -> dict[str, Any]:
    config = make_config(path, **fields)
    result: dict[str, Any] = run_script("probe.py", env, config.model_dump_json(by_alias=True), path, cache)
    return result


def agree(result: dict[str, Any], reference: dict[str, Any], tolerance: float = 1e-4) -> None:
    for output in result["outputs"]:
        np.testing.assert_allclose(output, reference["outputs"][0], atol=tolerance)
