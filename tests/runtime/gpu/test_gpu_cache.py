"""What the GPU plugin compiles, kept: blobs, and the kernels of a model with changing shapes, which it trusts blindly."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
import pytest
from openvino import opset15 as ops

from tests.models import write_classifier

pytestmark = [pytest.mark.gpu_emulated, pytest.mark.timeout(900)]

SCRIPT = """
import json, os, sys, time
from pathlib import Path
import numpy as np
from tests.runtime.engine.compiling import compile_file
from vinoserve_runtime.ov import ov
path, cache, fields = Path(sys.argv[1]), Path(sys.argv[2]), json.loads(sys.argv[3])
model = compile_file(path, cache, **fields)
while model.observe().is_standing_in:
    time.sleep(0.05)
request = model.compiled.create_infer_request()
for shape in json.loads(sys.argv[4]):
    request.set_input_tensor(0, ov.Tensor(np.ones(shape, np.float32)))
    request.start_async({}, None)
    request.wait()
time.sleep(1)  # kernels are written in the background
for kernel in model.cache.folder.glob("*.cl_cache"):
    os.utime(kernel, (0, 0))
model.keep()
result = {"hit": model.cache_hit, "warnings": model.cache_warnings, "devices": model.observe().execution_devices}
model.close()
print("RESULT", json.dumps(result))
"""
STATIC = [[1, 3, 8, 8]]
CHANGING = [[1, 3, 8, 8], [2, 3, 9, 9]]


def start(
    env: dict[str, str], path: Path, cache: Path, shapes: list[list[int]], **fields: Any
) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, path, cache, json.dumps(fields), json.dumps(shapes)],
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith("RESULT ")]
    assert lines, f"exit {done.returncode}: {done.stderr[-3000:]}"
    return json.loads(lines[-1].removeprefix("RESULT "))  # type: ignore[no-any-return]


def write_changing(path: Path) -> Path:
    """A convolution of any batch, height and width."""
    x = ops.parameter([-1, 3, -1, -1], ov.Type.f32, name="x")
    x.output(0).set_names({"x"})
    kernel = np.random.default_rng(1).standard_normal((4, 3, 3, 3)).astype(np.float32)
    y = ops.relu(ops.convolution(x, kernel, [1, 1], [1, 1], [1, 1], [1, 1]))
    y.output(0).set_names({"y"})
    ov.save_model(ov.Model([y], [x], "changing"), path, compress_to_fp16=False)
    return path


def files(cache: Path, kind: str) -> list[Path]:
    return sorted(cache.glob(f"*/*.{kind}.*"))


@pytest.mark.parametrize("target", ["AUTO:GPU,CPU", "HETERO:GPU,CPU", "MULTI:GPU,CPU"])
def test_the_second_start_finds_it(one_gpu: dict[str, str], tmp_path: Path, target: str) -> None:
    path, cache = write_classifier(tmp_path / "m.xml"), tmp_path / "cache"
    first, second = (start(one_gpu, path, cache, STATIC, targetDevice=target) for _ in range(2))
    assert (first["hit"], second["hit"]) == (False, True)
    assert first["warnings"] == second["warnings"] == []
    assert first["devices"] == second["devices"]
    about = json.loads(next(cache.glob("*/about.json")).read_text())
    assert any("25." in device.get("driver", "") for device in about["devices"].values())


@pytest.mark.parametrize("damage", ["cut off", "one bit"])
def test_a_damaged_blob_is_discarded(one_gpu: dict[str, str], tmp_path: Path, damage: str) -> None:
    path, cache = write_classifier(tmp_path / "m.xml"), tmp_path / "cache"
    start(one_gpu, path, cache, STATIC, targetDevice="GPU")
    (blob,) = files(cache, "blob")
    content = bytearray(blob.read_bytes())
    content[len(content) // 2] ^= 1
    blob.write_bytes({"cut off": content[:5000], "one bit": content}[damage])
    again = start(one_gpu, path, cache, STATIC, targetDevice="GPU")
    assert again["hit"] is False
    assert again["warnings"] == [f"{blob} is damaged: discarded"]
    assert start(one_gpu, path, cache, STATIC, targetDevice="GPU")["hit"] is True


def test_kernels_of_changing_shapes_are_kept_and_a_damaged_one_harms_nobody(
    one_gpu: dict[str, str], tmp_path: Path
) -> None:
    """OpenVINO ends the process where it reads a kernel that was cut off."""
    path, cache = write_changing(tmp_path / "m.xml"), tmp_path / "cache"
    start(one_gpu, path, cache, CHANGING, targetDevice="GPU")
    kernels = files(cache, "cl_cache")
    assert len(kernels) >= 2
    for kernel in kernels:
        os.truncate(kernel, 1000)
    again = start(one_gpu, path, cache, CHANGING, targetDevice="GPU")
    assert again["hit"] is True
    assert sorted(again["warnings"]) == [f"{kernel} is damaged: discarded" for kernel in kernels]
    assert start(one_gpu, path, cache, CHANGING, targetDevice="GPU")["warnings"] == []
