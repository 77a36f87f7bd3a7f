"""What is said before anything is compiled, on this machine's CPU; `tests/runtime/gpu` has the GPU's part."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.models import write_adder, write_classifier, write_multiplier
from tests.runtime.configs import make_config
from tests.runtime.engine.compiling import check_file
from vinoserve_api.conditions import FailureReason
from vinoserve_api.device import parse_target
from vinoserve_api.v1alpha1 import Placement
from vinoserve_runtime.engine import memory as memory_module
from vinoserve_runtime.engine.configuration import make_configuration
from vinoserve_runtime.engine.memory import check_memory, read_host_memory, show_bytes
from vinoserve_runtime.engine.plan import DevicePlan
from vinoserve_runtime.errors import StartupError
from vinoserve_runtime.ov import ov

MIB = 1 << 20


def check(path: Path, memory: dict[str, int], monkeypatch: pytest.MonkeyPatch, **fields: Any) -> list[str]:
    """What is said of the weights at `path` where devices have so much memory."""
    config = make_config(path, **fields)
    target = parse_target(config.target_device)
    devices = [str(device) for device in target.devices]
    monkeypatch.setattr(memory_module, "read_memory", lambda _, device: memory.get(str(device)))
    plan = DevicePlan(target, target, make_configuration(config, target, devices))
    return list(check_memory(None, [ov.Core().read_model(path)], plan))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """4 MiB of weights in f32."""
    return write_multiplier(tmp_path / "m.xml", np.ones((1024, 1024)))


F32 = {"inferencePrecision": "f32"}
ACCURACY = {"executionMode": "ACCURACY"}


@pytest.mark.parametrize(
    ("target", "hints", "memory", "fits"),
    [
        ("GPU", {}, {"GPU": 3 * MIB}, True),  # f16 by default
        ("GPU", F32, {"GPU": 3 * MIB}, False),
        ("GPU", ACCURACY, {"GPU": 3 * MIB}, False),
        ("GPU.1", F32, {"GPU.1": 8 * MIB}, True),
        ("GPU", {}, {}, True),  # it doesn't say
        ("BATCH:GPU(4)", {}, {"GPU": MIB}, False),
        ("MULTI:GPU.0,GPU.1", {}, {"GPU.0": 8 * MIB, "GPU.1": MIB}, False),
        ("HETERO:GPU,CPU", {}, {"GPU": MIB, "CPU": 8 * MIB}, True),
        ("HETERO:GPU,CPU", {}, {"GPU": MIB // 2, "CPU": MIB}, False),
        ("CPU", {}, {"CPU": 8 * MIB}, True),
    ],
)
def test_weights_must_fit_into_an_accelerator(
    path: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    target: str,
    hints: Any,
    memory: dict[str, int],
    fits: bool,
) -> None:
    if fits:
        assert check(path, memory, monkeypatch, targetDevice=target, hints=hints) == []
        return
    with pytest.raises(StartupError, match=r"the weights alone take [24]\.0 MiB, and .* has ") as caught:
        check(path, memory, monkeypatch, targetDevice=target, hints=hints)
    assert caught.value.reason == FailureReason.OUT_OF_DEVICE_MEMORY


def test_tight_memory_is_a_warning(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (warning,) = check(path, {"GPU": 2 * MIB + 100_000}, monkeypatch, targetDevice="GPU")
    assert warning == "the weights take 2.0 MiB of GPU's 2.1 MiB, which leaves little for the rest"
    (warning,) = check(path, {"CPU": MIB}, monkeypatch, targetDevice="CPU")
    assert warning == "the weights take 4.0 MiB of this container's 1.0 MiB"


def test_a_container_has_what_its_limit_says(tmp_path: Path) -> None:
    limit, meminfo = tmp_path / "memory.max", tmp_path / "meminfo"
    meminfo.write_text("MemTotal:       2048 kB\nMemFree: 1 kB\n")
    limit.write_text("max\n")
    assert read_host_memory([limit, tmp_path / "v1"], meminfo) == 2 * MIB
    limit.write_text(f"{MIB}\n")
    assert read_host_memory([limit], meminfo) == MIB
    assert read_host_memory([], tmp_path / "none") is None


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (5 << 40, "5.0 TiB"), (5 << 50, "5120.0 TiB")],
)
def test_bytes_are_shown_as_people_say_them(count: int, text: str) -> None:
    assert show_bytes(count) == text


def test_hetero_counts_operators(tmp_path: Path) -> None:
    found = check_file(write_classifier(tmp_path / "m.xml"), targetDevice="HETERO:CPU")
    assert found.placement == (Placement(device="CPU", operators=5),)
    assert check_file(write_adder(tmp_path / "a.xml")).placement == ()
