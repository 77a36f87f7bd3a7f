"""What is served: a model file, one request for it, and the right answer. Made once, kept in the cache folder."""

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from tools.toolbox.cache import cache_root, make_key, make_once
from tools.toolbox.errors import ToolError

_PREPARE = Path(__file__).parent / "served/prepare.py"
_LOCK = Path(__file__).parents[1] / "requirements/runtime.lock"


@dataclass(frozen=True)
class Tensor:
    """`shape`: of the one request that is asked; `dims`: the model's, -1 where it leaves a dimension open."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    dims: tuple[int, ...]


@dataclass(frozen=True)
class Model:
    """`name`: tiny, resnet, mlp, or own for a user's; everything else is in `folder`."""

    name: str
    folder: Path

    @cached_property
    def _signature(self) -> Mapping[str, list[dict[str, object]]]:
        found: Mapping[str, list[dict[str, object]]] = json.loads(
            (self.folder / "signature.json").read_text()
        )
        return found

    @property
    def path(self) -> Path:
        return self.folder / str(self._signature["file"])

    @property
    def tensors_path(self) -> Path:
        return self.folder / "tensors.npz"

    @cached_property
    def inputs(self) -> tuple[Tensor, ...]:
        return tuple(_read_tensor(found) for found in self._signature["inputs"])

    @cached_property
    def outputs(self) -> tuple[Tensor, ...]:
        return tuple(_read_tensor(found) for found in self._signature["outputs"])

    @cached_property
    def given(self) -> dict[str, np.ndarray]:
        return self._load("in:")

    @cached_property
    def expected(self) -> dict[str, np.ndarray]:
        return self._load("out:")

    def _load(self, prefix: str) -> dict[str, np.ndarray]:
        with np.load(self.tensors_path) as arrays:
            return {key.removeprefix(prefix): arrays[key] for key in arrays if key.startswith(prefix)}


def make_model(kind: str) -> Model:
    """One of tiny, resnet and mlp."""
    return _prepare(kind, kind, make_key(_PREPARE, _LOCK))


def adopt_model(file: Path) -> Model:
    """A user's own file, in any format that OpenVINO reads. Raises ToolError where it doesn't."""
    if not file.is_file():
        raise ToolError(f"--model {file}: no such file")
    weights = file.with_suffix(".bin")
    parts = [file, weights] if weights.exists() else [file]
    return _prepare("own", str(file.absolute()), make_key(_PREPARE, _LOCK, *parts))


def _prepare(name: str, kind: str, key: str) -> Model:
    def fill(dest: Path) -> None:
        command = [sys.executable, str(_PREPARE), kind, str(dest)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            why = (done.stderr.strip().splitlines() or ["no word why"])[-1]
            raise ToolError(f"{kind}: OpenVINO can't read, compile or run it: {why}")

    folder = cache_root() / "benchmarks/models" / f"{name}-{key}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    return Model(name, make_once(folder, fill))


def _read_tensor(found: Mapping[str, object]) -> Tensor:
    shape, dims = (tuple(int(d) for d in found[key]) for key in ("shape", "dims"))  # type: ignore[attr-defined]
    return Tensor(str(found["name"]), str(found["datatype"]), shape, dims)
