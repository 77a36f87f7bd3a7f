"""OpenVINO's real GPU plugin, on an emulated GPU: it compiles, infers, falls back and refuses as on a real one."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from openvino import opset15 as ops

from tests.models import (
    ppocr_recogniser,
    save_model,
    write_adder,
    write_classifier,
    write_inverse,
    write_multiplier,
)
from tests.runtime.gpu.probing import F32, agree, probe, run_script

pytestmark = [pytest.mark.gpu_emulated, pytest.mark.timeout(900)]


@pytest.fixture
def classifier(tmp_path: Path) -> Path:
    return write_classifier(tmp_path / "m.xml")


def test_the_gpu_runs_it_and_says_so(one_gpu: dict[str, str], classifier: Path, tmp_path: Path) -> None:
    on_cpu = probe(one_gpu, classifier, tmp_path / "cache", hints=F32)
    for hit in (False, True):
        result = probe(one_gpu, classifier, tmp_path / "cache", targetDevice="GPU", hints=F32)
        assert result["seen"] == [["GPU.0"]]
        assert result["onRequested"]
        assert result["effective"] == []
        assert result["cacheHit"] is hit
        assert result["names"][0]
        agree(result, on_cpu)


def test_auto_becomes_the_gpu(one_gpu: dict[str, str], classifier: Path, tmp_path: Path) -> None:
    result = probe(one_gpu, classifier, tmp_path / "cache", targetDevice="AUTO:GPU,CPU", hints=F32)
    assert result["seen"][-1] == ["GPU.0"]
    assert set(map(tuple, result["seen"][:-1])) <= {("(CPU)",)}
    assert result["onRequested"]
    assert result["effective"] == []


@pytest.mark.parametrize("target", ["MULTI:GPU.0,GPU.1", "AUTO:GPU.1,GPU.0", "HETERO:GPU.1,CPU", "GPU.1"])
def test_two_gpus(two_gpus: dict[str, str], classifier: Path, tmp_path: Path, target: str) -> None:
    mode = {"performanceMode": "CUMULATIVE_THROUGHPUT"} if target.startswith("AUTO") else {}
    result = probe(two_gpus, classifier, tmp_path / "cache", targetDevice=target, hints={**F32, **mode})
    assert result["onRequested"], result["seen"]
    if target.startswith(("MULTI", "AUTO")):
        assert sorted(result["seen"][-1]) == ["GPU.0", "GPU.1"]
    else:
        assert result["seen"][-1][0] == "GPU.1"


@pytest.mark.parametrize(
    ("target", "running"),
    [
        ("AUTO:-GPU", ["CPU"]),
        ("AUTO:-GPU.0,-CPU", ["GPU.1"]),
        ("AUTO:GPU.1,CPU", ["GPU.1"]),
        ("BATCH:GPU.1(2)", ["GPU.1"]),
    ],
)
def test_what_is_named_runs_and_what_is_excluded_does_not(
    two_gpus: dict[str, str], classifier: Path, tmp_path: Path, target: str, running: list[str]
) -> None:
    result = probe(two_gpus, classifier, tmp_path / "cache", targetDevice=target, hints=F32)
    assert result["seen"][-1] == running
    assert result["onRequested"]


def test_a_batch_waits_as_long_as_it_is_told(one_gpu: dict[str, str], tmp_path: Path) -> None:
    result = probe(
        one_gpu,
        write_adder(tmp_path / "m.xml", (1, 3, 8, 8)),
        tmp_path / "cache",
        targetDevice="BATCH:GPU(4)",
        hints=F32,
        properties={"BATCH": {"AUTO_BATCH_TIMEOUT": 25}, "GPU": {"GPU_QUEUE_THROTTLE": "LOW"}},
    )
    assert result["seen"] == [["GPU.0"]]
    assert (result["inferRequests"], result["effective"]) == (4, [])


def test_a_gpu_too_many_is_named(one_gpu: dict[str, str], tmp_path: Path) -> None:
    result = probe(one_gpu, write_adder(tmp_path / "m.xml"), tmp_path / "cache", targetDevice="GPU.1")
    assert result["reason"] == "DeviceNotFound"
    assert "GPU.1" in result["message"]


def test_forced_operators_leave_the_gpu_and_the_result_stays(
    one_gpu: dict[str, str], classifier: Path, tmp_path: Path
) -> None:
    on_cpu = probe(one_gpu, classifier, tmp_path / "cache", hints=F32)
    result = probe(
        one_gpu,
        classifier,
        tmp_path / "cache",
        targetDevice="HETERO:GPU,CPU",
        hints=F32,
        operatorAffinity=[{"device": "CPU", "types": ["SoftMax", "Softmax", "MatMul"]}],
    )
    assert sorted(result["seen"][-1]) == ["CPU", "GPU.0"]
    assert result["placement"] == {"GPU.0": 3, "CPU": 2}
    assert [w for w in result["warnings"] if "SoftMax" in w]  # OpenVINO's type is Softmax
    agree(result, on_cpu)


def test_an_operator_that_the_gpu_lacks_is_named_with_a_way_out(
    one_gpu: dict[str, str], tmp_path: Path
) -> None:
    path = write_inverse(tmp_path / "m.xml")
    result = probe(one_gpu, path, tmp_path / "cache", targetDevice="GPU")
    assert result["reason"] == "UnsupportedOperator"
    for word in (
        "Inverse",
        "the_inverse",
        "targetDevice: HETERO:GPU,CPU",
        "operatorAffinity: [{device: CPU, types: [Inverse]}]",
    ):
        assert word in result["message"]
    way_out = {
        "targetDevice": "HETERO:GPU,CPU",
        "operatorAffinity": [{"device": "CPU", "types": ["Inverse"]}],
    }
    result = probe(one_gpu, path, tmp_path / "cache", **way_out)
    assert sorted(result["seen"][-1]) == ["CPU", "GPU.0"]
    assert result["placement"] == {"GPU.0": 2, "CPU": 1}


@pytest.mark.parametrize("element_type", ["bf16", "i16"])
def test_what_the_plugin_merely_does_not_promise_is_compiled(
    one_gpu: dict[str, str], tmp_path: Path, element_type: str
) -> None:
    """`query_model` leaves out conversions to bf16 and i16, which compile and run."""
    x = ops.parameter([1, 4], np.float32, name="x")
    there_and_back = ops.convert(ops.convert(ops.relu(x), element_type), "f32")
    path = save_model(tmp_path / "m.xml", [ops.add(there_and_back, np.float32(1))], [x])
    for target in ("GPU", "HETERO:GPU,CPU"):
        result = probe(one_gpu, path, tmp_path / "cache", targetDevice=target)
        assert result["seen"][-1][0] == "GPU.0"


def test_auto_with_such_an_operator_tells_which_kept_it_off(one_gpu: dict[str, str], tmp_path: Path) -> None:
    result = probe(
        one_gpu, write_inverse(tmp_path / "m.xml"), tmp_path / "cache", targetDevice="AUTO:GPU,CPU"
    )
    assert result["seen"][-1] == ["CPU"]
    assert not result["onRequested"]
    assert "asked for AUTO:GPU,CPU, but it runs on CPU: GPU doesn't support Inverse" in result["fallback"]


def test_the_gpu_keeps_the_precision_it_is_told(one_gpu: dict[str, str], tmp_path: Path) -> None:
    path = write_multiplier(tmp_path / "m.xml", np.random.default_rng(1).standard_normal((64, 8)))
    on_cpu = probe(one_gpu, path, tmp_path / "cache", hints=F32)
    for target in ("GPU", "AUTO:GPU,CPU", "HETERO:GPU,CPU", "BATCH:GPU(4)"):
        agree(probe(one_gpu, path, tmp_path / "cache", targetDevice=target, hints=F32), on_cpu)


def test_pp_ocr_with_a_fixed_shape_and_pictures_from_clients(one_gpu: dict[str, str], tmp_path: Path) -> None:
    entry = {
        "name": "x",
        "shape": [1, 3, 48, 320],
        "layout": "NCHW",
        "client": {"elementType": "u8", "layout": "NHWC", "colorFormat": "RGB"},
        "model": {"colorFormat": "BGR"},
        "mean": [127.5],
        "scale": [127.5],
    }
    fields = {"inputs": [entry], "hints": F32}
    on_cpu = probe(one_gpu, ppocr_recogniser(), tmp_path / "cache", **fields)
    result = probe(one_gpu, ppocr_recogniser(), tmp_path / "cache", targetDevice="GPU", **fields)
    assert result["seen"] == [["GPU.0"]]
    agree(result, on_cpu, 1e-3)


def test_hetero_by_itself_tells_where_operators_run(one_gpu: dict[str, str], tmp_path: Path) -> None:
    path = write_inverse(tmp_path / "m.xml")
    result = probe(one_gpu, path, tmp_path / "cache", targetDevice="HETERO:GPU,CPU")
    assert result["placement"] == {"GPU.0": 2, "CPU": 1}


def test_an_operator_forced_onto_a_device_that_lacks_it_is_named(
    one_gpu: dict[str, str], tmp_path: Path
) -> None:
    result = probe(
        one_gpu,
        write_inverse(tmp_path / "m.xml"),
        tmp_path / "cache",
        targetDevice="HETERO:GPU,CPU",
        operatorAffinity=[{"device": "GPU", "types": ["Inverse"]}],
    )
    assert result["reason"] == "UnsupportedOperator"
    assert "spec.operatorAffinity: GPU.0 doesn't support operator 'the_inverse'" in result["message"]


def test_weights_beyond_the_gpus_memory_are_told_before_anything_is_compiled(
    one_gpu: dict[str, str], tmp_path: Path
) -> None:
    path = write_multiplier(tmp_path / "m.xml", np.ones((1024, 1024)))  # 4 MiB in f32, 2 MiB in f16
    env = {**one_gpu, "FAKEGPU_MEMORY": str(3 << 20)}
    result = probe(env, path, tmp_path / "cache", targetDevice="GPU", hints=F32)
    assert result["reason"] == "OutOfDeviceMemory"
    assert "the weights alone take 4.0 MiB, and GPU has 3.0 MiB" in result["message"]
    assert "reason" not in probe(env, path, tmp_path / "cache", targetDevice="GPU")
    env["FAKEGPU_MEMORY"] = str(9 << 18)
    result = probe(env, path, tmp_path / "cache", targetDevice="GPU")
    assert [w for w in result["warnings"] if "2.0 MiB of GPU's 2.2 MiB" in w]


def test_a_gpu_without_tiles_refuses_one(one_gpu: dict[str, str], tmp_path: Path) -> None:
    result = probe(one_gpu, write_adder(tmp_path / "m.xml"), tmp_path / "cache", targetDevice="GPU.0.0")
    assert result["reason"] == "DeviceNotFound"
    assert result["message"] == "GPU.0.0 is not here: GPU.0 has no tile 0; write GPU.0 for the whole of it"


def test_any_size_on_a_gpu_is_a_warning(one_gpu: dict[str, str], tmp_path: Path) -> None:
    path = write_adder(tmp_path / "m.xml", shape=(-1, 4))
    result = probe(one_gpu, path, tmp_path / "cache", targetDevice="GPU")
    assert [w for w in result["warnings"] if "spec.model.inputs: input 'x'" in w and "buckets" in w]
    bounded = {"inputs": [{"name": "x", "shape": ["1..8", 4]}]}
    assert probe(one_gpu, path, tmp_path / "cache", targetDevice="GPU", **bounded)["warnings"] == []


def test_members_of_a_target_are_told_apart(
    one_gpu: dict[str, str], classifier: Path, tmp_path: Path
) -> None:
    for target in ("AUTO:GPU,CPU", "MULTI:GPU,CPU", "HETERO:GPU,CPU"):
        result = probe(
            one_gpu,
            classifier,
            tmp_path / "cache",
            targetDevice=target,
            hints=F32,
            properties={"GPU": {"NUM_STREAMS": 2}, "CPU": {"NUM_STREAMS": 1000}},
        )
        changed = {(d["device"], d["property"]) for d in result["effective"]}
        assert ("GPU", "NUM_STREAMS") not in changed
        if target.startswith("MULTI"):
            assert ("CPU", "NUM_STREAMS") in changed


def test_every_property_of_the_catalogue_is_taken_and_told_back(
    one_gpu: dict[str, str], tmp_path: Path
) -> None:
    rows = run_script("catalogue.py", one_gpu, tmp_path)
    assert len(rows) > 60
    assert [row for row in rows if "reason" in row] == []
    for row in rows:
        if row["read"] is None or row["value"] == "DEFAULT":
            continue  # AUTO doesn't say
        told = row["effective"].get(row["key"])
        assert told is not None or is_same(row["read"], row["value"]), row


def is_same(read: str, asked: Any) -> bool:
    if isinstance(asked, bool):
        return read.lower() in (("true", "yes") if asked else ("false", "no"))
    return read == asked or float(read) == float(asked)
