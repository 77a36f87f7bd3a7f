"""OpenVINO's real GPU plugin, on an emulated GPU: it compiles, infers, falls back and refuses as on a real one."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.models import ppocr_recogniser, write_adder, write_classifier, write_inverse, write_multiplier
from tests.runtime.configs import make_config

pytestmark = [pytest.mark.gpu_emulated, pytest.mark.timeout(900)]

F32 = {"inferencePrecision": "f32"}


def probe(env: dict[str, str], path: Path, cache: Path, **fields: Any) -> dict[str, Any]:
    config = make_config(path, **fields)
    script = Path(__file__).with_name("probe.py")
    done = subprocess.run(
        [sys.executable, script, config.model_dump_json(by_alias=True), path, cache],
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith("RESULT ")]
    assert lines, f"exit {done.returncode}: {done.stderr[-3000:]}"
    return json.loads(lines[-1].removeprefix("RESULT "))  # type: ignore[no-any-return]


def agree(result: dict[str, Any], reference: dict[str, Any], tolerance: float = 1e-4) -> None:
    for output in result["outputs"]:
        np.testing.assert_allclose(output, reference["outputs"][0], atol=tolerance)


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
