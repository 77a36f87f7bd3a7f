"""OpenVINO's GPU plugin on the emulated GPU, as tests and the image use it."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tools.fakegpu import environment

pytestmark = pytest.mark.gpu_emulated

PROBE = """
import json, numpy, openvino
from openvino import opset13 as ops
core = openvino.Core()
x = ops.parameter([1, 3, 8, 8], numpy.float32)
weights = numpy.arange(4 * 3 * 3 * 3, dtype=numpy.float32).reshape(4, 3, 3, 3) / 100
model = openvino.Model([ops.relu(ops.convolution(x, weights, [1, 1], [1, 1], [1, 1], [1, 1]))], [x])
data = numpy.linspace(-1, 1, 192, dtype=numpy.float32).reshape(1, 3, 8, 8)
precise = {"INFERENCE_PRECISION_HINT": "f32"}
compiled = {device: core.compile_model(model, device, precise) for device in ("CPU", "GPU.1")}
results = {device: c(data)[0] for device, c in compiled.items()}
print(json.dumps({
    "devices": core.available_devices,
    "name": core.get_property("GPU.1", "FULL_DEVICE_NAME"),
    "execution": compiled["GPU.1"].get_property("EXECUTION_DEVICES"),
    "difference": float(abs(results["CPU"] - results["GPU.1"]).max()),
}))
"""


def probe(env: dict[str, str]) -> dict[str, object]:
    done = subprocess.run(
        [sys.executable, "-c", PROBE],
        env={**os.environ, **env},
        timeout=300,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    answer: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    return answer


@pytest.fixture(scope="module")
def env() -> dict[str, str]:
    if not shutil.which("cc"):
        pytest.skip("no C compiler (cc) for the emulated GPU's driver")
    return environment(count=2)


def test_it_computes_and_says_that_it_is_emulated(env: dict[str, str]) -> None:
    answer = probe(env)
    assert answer["devices"] == ["CPU", "GPU.0", "GPU.1"]
    assert "emulated" in str(answer["name"])
    assert answer["execution"] == ["GPU.1"]
    assert float(str(answer["difference"])) < 1e-4


def test_a_filled_cache_that_can_only_be_read_is_enough(env: dict[str, str], tmp_path: Path) -> None:
    """As in the image, where kernels are shipped."""
    filled, new = tmp_path / "filled", tmp_path / "new"
    probe({**env, "FAKEGPU_CACHE": str(filled)})
    kernels = {file.name for file in filled.iterdir()}
    assert kernels
    probe({**env, "FAKEGPU_CACHE_RO": str(filled), "FAKEGPU_CACHE": str(new)})
    assert list(new.iterdir()) == [], "every kernel came from the filled cache"
