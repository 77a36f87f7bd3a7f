"""Runs openvino_probe.py: the installed OpenVINO's answers, from a process of its own."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any


@dataclass(frozen=True)
class Answer:
    supported: dict[str, dict[str, str]]
    refused: list[list[Any]]
    executions: dict[str, list[str]]


def ask(
    blocks: Sequence[str] = (),
    tries: Sequence[Sequence[object]] = (),
    targets: Sequence[str] = (),
    environment: Mapping[str, str] = MappingProxyType({}),
) -> Answer:
    done = subprocess.run(
        [sys.executable, Path(__file__).with_name("openvino_probe.py")],
        input=json.dumps({"blocks": blocks, "tries": tries, "targets": targets}),
        env={**os.environ, **environment, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return Answer(**json.loads(done.stdout.splitlines()[-1]))  # AUTO logs to stdout too
