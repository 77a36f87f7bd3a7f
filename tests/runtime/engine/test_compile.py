"""Compiling for the CPU, alone and behind AUTO, MULTI, HETERO and BATCH: hints arrive, caches may fail, truth is told."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.models import write_adder, write_classifier, write_identity, write_multiplier, write_sum
from tests.runtime.configs import make_config
from tests.runtime.engine.compiling import F32, check_file, compile_file, make_pool
from vinoserve_api.conditions import FailureReason
from vinoserve_runtime.engine import plan as plan_module
from vinoserve_runtime.errors import StartupError
from vinoserve_runtime.model.prepare import prepare_model
from vinoserve_runtime.ov import ov

RNG = np.random.default_rng(3)


@pytest.mark.parametrize("target", ["CPU", "AUTO", "AUTO:CPU", "MULTI:CPU", "HETERO:CPU", "BATCH:CPU(4)"])
async def test_the_f32_hint_reaches_the_cpu_behind_every_target(tmp_path: Path, target: str) -> None:
    weights = RNG.standard_normal((64, 64)).astype(np.float32)
    path = write_multiplier(tmp_path / "m.xml", weights)
    model = compile_file(path, targetDevice=target, hints=F32)
    x = RNG.standard_normal((1, 64)).astype(np.float32)
    (y,) = await make_pool(model).infer([x])
    np.testing.assert_allclose(y, x @ weights, rtol=1e-4, atol=1e-4)
    state = model.observe()
    assert state.execution_devices == ("CPU",)
    assert state.on_requested_device
    assert state.effective == ()
    assert state.device_names[0]


def test_what_openvino_changes_is_told_beside_the_request(tmp_path: Path) -> None:
    path = write_adder(tmp_path / "m.xml")
    model = compile_file(path, hints={"numStreams": 1000}, properties={"CPU": {"ENABLE_CPU_PINNING": True}})
    (difference,) = [d for d in model.observe().effective if d.property == "NUM_STREAMS"]
    assert (difference.device, difference.requested) == ("CPU", "1000")
    assert int(difference.effective) < 1000


def test_what_openvino_changes_is_told_behind_auto_too(tmp_path: Path) -> None:
    model = compile_file(write_adder(tmp_path / "m.xml"), targetDevice="AUTO:CPU", hints={"numStreams": 1000})
    assert [(d.device, d.property) for d in model.observe().effective] == [("CPU", "NUM_STREAMS")]


def test_what_is_left_to_openvino_is_no_difference(tmp_path: Path) -> None:
    path = write_adder(tmp_path / "m.xml")
    properties = {
        "CPU": {"PERF_COUNT": True, "CPU_SPARSE_WEIGHTS_DECOMPRESSION_RATE": 1, "LOG_LEVEL": "LOG_NONE"}
    }
    model = compile_file(
        path, hints={"numStreams": "AUTO", "executionMode": "ACCURACY"}, properties=properties
    )
    assert model.observe().effective == ()


def test_throughput_makes_a_pool(tmp_path: Path) -> None:
    model = compile_file(write_adder(tmp_path / "m.xml"), targetDevice="BATCH:CPU(4)")
    assert model.infer_requests == 4


def test_a_device_that_is_not_here_is_named_with_what_is(tmp_path: Path) -> None:
    with pytest.raises(StartupError) as caught:
        compile_file(write_adder(tmp_path / "m.xml"), targetDevice="GPU", onFallback="Fail")
    assert caught.value.reason in (FailureReason.DEVICE_NOT_FOUND, FailureReason.PERMISSION_DENIED)
    assert "GPU" in str(caught.value)


@pytest.mark.parametrize("target", ["AUTO:GPU,CPU", "MULTI:GPU,CPU"])
def test_a_missing_device_is_a_fallback_where_that_is_allowed(tmp_path: Path, target: str) -> None:
    path = write_adder(tmp_path / "m.xml")
    for policy in ("Warn", "Allow"):
        model = compile_file(path, targetDevice=target, onFallback=policy)
        state = model.observe()
        assert state.execution_devices == ("CPU",)
        assert not state.on_requested_device
        assert f"asked for {target}, but it runs on CPU: GPU is not here" in str(
            model.explain_fallback(state)
        )
    with pytest.raises(StartupError):
        compile_file(path, targetDevice=target, onFallback="Fail")


@pytest.mark.parametrize("policy", ["Fail", "Warn", "Allow"])
def test_hetero_never_serves_without_its_first_device(tmp_path: Path, policy: str) -> None:
    with pytest.raises(StartupError):
        compile_file(write_adder(tmp_path / "m.xml"), targetDevice="HETERO:GPU,CPU", onFallback=policy)


@pytest.mark.parametrize("element_type", ["u1", "u4", "i4", "nf4", "f8e4m3"])
def test_types_that_no_client_can_carry_name_the_tensor(tmp_path: Path, element_type: str) -> None:
    path = write_identity(tmp_path / "m.xml", [1, 8], element_type)
    with pytest.raises(StartupError) as caught:
        compile_file(path)
    assert caught.value.reason == FailureReason.MODEL_INVALID
    assert "'x'" in str(caught.value)
    assert element_type in str(caught.value)


def test_batch_needs_static_shapes(tmp_path: Path) -> None:
    with pytest.raises(StartupError, match=r"spec\.model\.inputs: BATCH:CPU\(4\)") as caught:
        compile_file(write_sum(tmp_path / "m.xml"), targetDevice="BATCH:CPU(4)")
    assert caught.value.reason == FailureReason.INVALID_SHAPE


def test_a_property_that_the_plugin_refuses_is_named(tmp_path: Path) -> None:
    with pytest.raises(StartupError, match=r"^spec\.uncheckedProperties\.CPU\.NEW_KEY: compiling") as caught:
        compile_file(write_adder(tmp_path / "m.xml"), uncheckedProperties={"CPU": {"NEW_KEY": "1"}})
    assert caught.value.reason == FailureReason.INVALID_PROPERTY


def test_bounds_of_shapes_are_told(tmp_path: Path) -> None:
    path = write_identity(tmp_path / "m.xml", [-1, -1, 3])
    (tensor,) = compile_file(path, inputs=[{"name": "x", "shape": ["2..7", -1, 3]}]).inputs
    assert tensor.shape == (-1, -1, 3)
    assert tensor.bounds[0] == (2, 7)
    assert tensor.bounds[1][1] is None
    assert tensor.bounds[2] == (3, 3)


def test_64_bit_sums_are_said_to_be_made_of_32_bits(tmp_path: Path) -> None:
    path = write_adder(tmp_path / "m.xml", element_type="i64")
    (warning,) = prepare_model(ov.Core(), path, make_config(path)).warnings
    assert "'x' is i64" in warning


def test_an_affinity_that_names_nothing_is_a_warning(tmp_path: Path) -> None:
    preflight = check_file(
        write_classifier(tmp_path / "m.xml"),
        targetDevice="HETERO:CPU",
        operatorAffinity=[{"device": "CPU", "types": ["Softmax", "NoSuchOperator"], "names": ["nobody"]}],
    )
    assert [w for w in preflight.warnings if "NoSuchOperator" in w]
    assert [w for w in preflight.warnings if "nobody" in w]
    assert not [w for w in preflight.warnings if "Softmax" in w]


def test_a_plain_cpu_run_needs_no_converter_tools() -> None:
    """A third of OpenVINO's import is for converting models: a start shall not pay for it."""
    code = "import sys, vinoserve_runtime.commands; sys.exit('openvino.tools' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, env=dict(os.environ))


def test_a_processed_model_reports_to_nobody() -> None:
    """Importing OpenVINO's converter sends an event to Google Analytics, from a process forked for it."""
    code = """
import sys
from vinoserve_runtime.ov import ov, wrap_model
sys.addaudithook(lambda event, _: sys.exit(event) if event in ("os.fork", "socket.connect") else None)
wrap_model(ov.Model([], [], "m"))
sys.exit([m for m in sys.modules if m.startswith(("openvino.tools.", "openvino_telemetry"))] or 0)
"""
    environment = {name: value for name, value in os.environ.items() if name != "CI"}  # where it keeps silent
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)


def test_a_target_that_leaves_no_device_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan_module, "gather_devices", lambda _: ("CPU",))
    with pytest.raises(StartupError) as error:
        plan_module.make_plan(ov.Core(), make_config(targetDevice="AUTO:-CPU"))
    assert error.value.reason == "DeviceNotFound"
    assert str(error.value) == "AUTO:-CPU leaves no device that is here: OpenVINO sees CPU"


@pytest.mark.parametrize("target", ["CPU", "BATCH:CPU(4)", "AUTO:CPU", "MULTI:CPU", "HETERO:CPU"])
def test_threads_are_free_to_go_where_other_pods_threads_are_not(tmp_path: Path, target: str) -> None:
    compiled = compile_file(write_adder(tmp_path / "m.xml"), targetDevice=target).compiled
    try:
        found = compiled.get_property("DEVICE_PROPERTIES")["CPU"]["ENABLE_CPU_PINNING"]
    except RuntimeError:
        found = compiled.get_property("ENABLE_CPU_PINNING")
    assert found is False
