"""A model whose weights can be seen in a process' memory."""

from pathlib import Path

import numpy as np
from openvino import Type
from openvino import opset15 as ops

from tests.models import save_model
from tests.runtime.lifecycle.process import Runtime

SIZE = 2048
LAYERS = 6
WEIGHTS = LAYERS * SIZE * SIZE * 4


def write_heavy(path: Path) -> Path:
    """x of [1, SIZE] through LAYERS multiplications with weights: WEIGHTS bytes of them in all."""
    random = np.random.default_rng(1)
    x = ops.parameter([1, SIZE], Type.f32, name="x")
    x.output(0).set_names({"x"})
    y = x
    for _ in range(LAYERS):
        weights = random.standard_normal((SIZE, SIZE)).astype(np.float32) / 40
        y = ops.relu(ops.matmul(y, weights, False, False))
    y.output(0).set_names({"y"})
    return save_model(path, [y], [x])


def resident(runtime: Runtime) -> int:
    """Bytes of the process that are its own, not a file's."""
    rollup = Path(f"/proc/{runtime.process.pid}/smaps_rollup").read_text()
    return int(rollup.split("Anonymous:")[1].split()[0]) * 1024


def until_released(runtime: Runtime) -> None:
    runtime.until(lambda report: report.idle is not None and report.idle.released_at is not None)
