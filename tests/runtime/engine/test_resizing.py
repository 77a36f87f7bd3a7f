"""Resizing outside of the graph is what OpenVINO does in it."""

from functools import cache
from typing import Any

import numpy as np
import openvino
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openvino import opset15 as ops
from openvino.preprocess import PrePostProcessor, ResizeAlgorithm

from vinoserve_runtime.engine.resizing import resize

HEIGHT, WIDTH = 13, 7


@cache
def compile_resize(method: str) -> Any:
    x = ops.parameter([1, HEIGHT, WIDTH, 3], openvino.Type.f32)
    processor = PrePostProcessor(openvino.Model([ops.result(x)], [x], "resize"))
    info = processor.input(0)
    info.tensor().set_element_type(openvino.Type.u8).set_layout(openvino.Layout("NHWC"))
    info.tensor().set_spatial_dynamic_shape()
    info.model().set_layout(openvino.Layout("NHWC"))
    info.preprocess().convert_element_type(openvino.Type.f32)
    info.preprocess().resize(getattr(ResizeAlgorithm, f"RESIZE_{method.upper()}"))
    return openvino.Core().compile_model(processor.build(), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})


@pytest.mark.parametrize("method", ["linear", "cubic", "nearest"])
@given(height=st.integers(1, 80), width=st.integers(1, 80), seed=st.integers(0, 9))
@settings(max_examples=40)
def test_it_is_what_the_graph_would_do(method: str, height: int, width: int, seed: int) -> None:
    picture = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    (wanted,) = compile_resize(method)([picture[None]]).values()
    got = resize(picture, HEIGHT, WIDTH, method)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, wanted[0], atol=2e-3)
