"""What the grammar promises against where OpenVINO really runs a model, with two emulated GPUs and with none."""

import pytest

from tests.api.asking import ask
from tools import fakegpu
from vinoserve_api.device import matches_execution, parse_target

pytestmark = pytest.mark.gpu_emulated


def test_what_runs_on_the_device_asked_for_is_ready() -> None:
    """AUTO that chooses a GPU is left out: it may say for a while that the CPU stands in."""
    targets = [
        "CPU", "GPU", "GPU.1", "BATCH:GPU.1(4)", "HETERO:GPU,CPU", "HETERO:CPU,GPU", "MULTI:GPU,CPU", "MULTI:GPU.1,GPU.0",
        "AUTO:-GPU", "AUTO:-CPU", "AUTO:CPU,GPU", "AUTO:GPU.1",
    ]  # fmt: skip
    executions = ask(targets=targets, environment=fakegpu.environment(count=2)).executions
    wrong = {t: ran for t, ran in executions.items() if not matches_execution(parse_target(t), ran)}
    assert wrong == {}
    assert executions["MULTI:GPU,CPU"] == ["GPU.0", "GPU.1", "CPU"], "to MULTI, GPU is every GPU"
    assert executions["AUTO:-GPU"] == ["CPU"], "-GPU leaves out every GPU"


def test_what_runs_on_the_cpu_for_want_of_a_gpu_is_not_ready() -> None:
    """OpenVINO says nothing: it compiles and runs on the CPU."""
    targets = ["AUTO:GPU,CPU", "MULTI:GPU,CPU", "MULTI:CPU,GPU.1"]
    executions = ask(targets=targets, environment=fakegpu.environment(count=0)).executions
    assert executions == {target: ["CPU"] for target in targets}
    assert not any(matches_execution(parse_target(t), ran) for t, ran in executions.items())
