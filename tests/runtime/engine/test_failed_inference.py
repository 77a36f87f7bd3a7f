"""An inference that fails half-way leaves nothing behind: neither the warm-up's own, nor a client's."""

import asyncio
from pathlib import Path

import numpy as np
import openvino as ov
import pytest
from openvino import opset15 as ops

from tests.models import write_sum
from tests.runtime.engine.compiling import F32, compile_file, make_pool
from tools.models import fetch_model
from vinoserve_runtime.engine.health import Faults
from vinoserve_runtime.engine.warm_shapes import find_warm_shapes
from vinoserve_runtime.engine.warmup import WarmUp
from vinoserve_runtime.errors import InferenceError

LINE = np.clip(np.random.default_rng(1).standard_normal((1, 3, 48, 320)), -1, 1).astype(np.float32)
TOO_NARROW = np.zeros((1, 3, 48, 1), np.float32)
"""PP-OCR's recogniser has a pooling that doesn't fit into it, after many layers."""


@pytest.mark.parametrize("mode", ["LATENCY", "THROUGHPUT"])
@pytest.mark.parametrize("file", ["", "inference.pdmodel"], ids=["onnx", "paddle"])
async def test_a_model_that_refuses_the_smallest_input_answers_right_afterwards(mode: str, file: str) -> None:
    path = fetch_model("ppocr-rec-paddle" if file else "ppocr-rec") / file
    expected = ov.Core().compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})([LINE])[0]
    faults = Faults()
    pool = make_pool(compile_file(path, hints={**F32, "performanceMode": mode}), faults=faults)
    assert await WarmUp(pool, faults, 3).run() == ()
    assert faults.total == 0
    for _ in range(3):
        results = await asyncio.gather(
            *(pool.infer([LINE]) for _ in range(4)), pool.infer([TOO_NARROW]), return_exceptions=True
        )
        assert isinstance(results.pop(), InferenceError)
        for result in results:
            assert not isinstance(result, BaseException)
            np.testing.assert_allclose(result[0], expected, rtol=1e-4, atol=1e-5)
    assert faults.total == 3, "each request that failed counts once"


async def test_a_bad_request_is_no_failure_of_the_next_good_one() -> None:
    pool = make_pool(compile_file(fetch_model("ppocr-rec"), hints=F32))
    (expected,) = await pool.infer([LINE])
    for _ in range(4):
        with pytest.raises(InferenceError, match="Kernel after dilation"):
            await pool.infer([TOO_NARROW])
        (result,) = await pool.infer([LINE])
        np.testing.assert_array_equal(result, expected)


def test_shapes_to_warm_up_with_are_usual_and_accepted(tmp_path: Path) -> None:
    core = ov.Core()
    model = core.read_model(fetch_model("ppocr-rec-paddle") / "inference.pdmodel")
    assert find_warm_shapes(model._Model__model) == (((1, 3, 48, 224),), ((2, 3, 48, 224),))
    model = core.read_model(write_sum(tmp_path / "m.xml"))
    model.reshape({0: [(2, 7)], 1: [(3, 7)]})
    assert find_warm_shapes(model._Model__model) == (((7,), (7,)), ((4,), (4,)))
    assert str(model.inputs[0].partial_shape) == "[2..7]"
    x = ops.parameter([2, 3], ov.Type.f32)
    assert find_warm_shapes(ov.Model([ops.relu(x)], [x], "fixed")._Model__model) == ()
