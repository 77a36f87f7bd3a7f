"""Small models, made where they are needed: functions that write an .onnx or .xml file and return its path."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import openvino as ov
from onnx import TensorProto, helper, numpy_helper
from openvino import opset15 as ops

from tools.models import fetch_model

Shape = Sequence[int | str | None]


def write_adder(path: Path, shape: Shape = (1, 4), element_type: str = "f32") -> Path:
    """y = max(x + 1, 0), in ONNX in f32. -1 or a string is a dynamic dimension."""
    if path.suffix == ".onnx":
        one = numpy_helper.from_array(np.ones(1, np.float32), "one")
        nodes = [helper.make_node("Add", ["x", "one"], ["sum"]), helper.make_node("Relu", ["sum"], ["y"])]
        return write_onnx(path, nodes, {"x": shape}, {"y": shape}, [one])
    x = _parameter("x", shape, getattr(ov.Type, element_type))
    one = ops.constant(1, getattr(ov.Type, element_type))
    return save_model(path, [_named(ops.relu(ops.add(x, one)), "y")], [x])


def write_multiplier(path: Path, weights: np.ndarray) -> Path:
    """y = x @ weights, f32, x of [1, rows]: where the precision of the computation shows."""
    x = _parameter("x", [1, weights.shape[0]], ov.Type.f32)
    return save_model(path, [_named(ops.matmul(x, weights.astype(np.float32), False, False), "y")], [x])


def write_identity(path: Path, shape: Shape, element_type: str = "f32") -> Path:
    """y = x, with an operation between where the type has one."""
    x = _parameter("x", shape, getattr(ov.Type, element_type))
    zero_shape = ops.constant(np.array([0] * len(shape), np.int64))
    y = ops.reshape(x, zero_shape, special_zero=True) if shape else ops.squeeze(ops.unsqueeze(x, 0), 0)
    return save_model(path, [_named(y, "y")], [x])


def write_concat(path: Path, names: Sequence[str], shape: Shape) -> Path:
    """y = the inputs, each of `shape` in f32, one after the other along the first dimension."""
    inputs = [_parameter(name, shape, ov.Type.f32) for name in names]
    return save_model(path, [_named(ops.concat(inputs, 0), "y")], inputs)


def write_identity_twice(path: Path) -> Path:
    """Two outputs, both the one tensor y = x."""
    x = _parameter("x", [1], ov.Type.f32)
    y = _named(ops.relu(x), "y")
    return save_model(path, [ops.result(y), ops.result(y)], [x])


def write_sum(path: Path) -> Path:
    """y = a + b of any lengths: fails in the middle of an inference where they don't fit."""
    a, b = _parameter("a", [-1], ov.Type.f32), _parameter("b", [-1], ov.Type.f32)
    return save_model(path, [_named(ops.add(a, b), "y")], [a, b])


def write_inverse(path: Path) -> Path:
    """The inverse of a 4x4 matrix: an operator that OpenVINO's GPU plugin doesn't have."""
    x = _parameter("x", [1, 4, 4], ov.Type.f32)
    inverse = ops.inverse(ops.multiply(x, np.float32(2)), adjoint=False)
    inverse.set_friendly_name("the_inverse")
    return save_model(path, [_named(ops.relu(inverse), "y")], [x])


def write_slow(path: Path) -> Path:
    """y [1, 1] from x [1, 4], f32, by way of two thousand million operations."""
    random, size = np.random.default_rng(1), 1024
    left, right = (random.standard_normal((size, size)).astype(np.float32) for _ in "ab")
    x = _parameter("x", [1, 4], ov.Type.f32)
    mean = ops.reduce_mean(x, np.array([0, 1]), keep_dims=True)
    product = ops.matmul(ops.relu(ops.add(mean, left)), right, False, False)
    return save_model(path, [_named(ops.reduce_mean(product, np.array([0, 1]), keep_dims=True), "y")], [x])


def write_classifier(path: Path) -> Path:
    """A small convolutional classifier with a Softmax: x [1, 3, 8, 8] to y [1, 5], f32, fixed weights."""
    random = np.random.default_rng(1)
    x = _parameter("x", [1, 3, 8, 8], ov.Type.f32)
    kernel = random.standard_normal((4, 3, 3, 3)).astype(np.float32)
    features = ops.relu(ops.convolution(x, kernel, [1, 1], [1, 1], [1, 1], [1, 1]))
    flat = ops.reshape(features, np.array([1, 256], np.int64), special_zero=False)
    scores = ops.matmul(flat, random.standard_normal((256, 5)).astype(np.float32) / 16, False, False)
    return save_model(path, [_named(ops.softmax(scores, 1), "y")], [x])


def ppocr_recogniser() -> Path:
    """PP-OCRv4's text recogniser: ONNX, x [-1, 3, 48, -1] to [-1, -1, 6625]."""
    return fetch_model("ppocr-rec")


def write_onnx(
    path: Path,
    nodes: Sequence[onnx.NodeProto],
    inputs: dict[str, Shape],
    outputs: dict[str, Shape],
    initializers: Sequence[onnx.TensorProto] = (),
) -> Path:
    """An ONNX model of f32 inputs and outputs, opset 17; checked by nobody, so that tests can write wrong ones."""

    def infos(tensors: dict[str, Shape]) -> list[Any]:
        return [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, [None if d == -1 else d for d in shape])
            for name, shape in tensors.items()
        ]

    graph = helper.make_graph(list(nodes), "graph", infos(inputs), infos(outputs), list(initializers))
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    path.write_bytes(model.SerializeToString())
    return path


def _parameter(name: str, shape: Shape, element_type: Any) -> Any:
    parameter = ops.parameter(
        [-1 if isinstance(d, str) or d is None else d for d in shape], element_type, name=name
    )
    return _named(parameter, name)


def _named(node: Any, name: str) -> Any:
    node.output(0).set_names({name})
    return node


def save_model(path: Path, results: list[Any], parameters: list[Any]) -> Path:
    """An .xml file without a loss of precision."""
    ov.save_model(ov.Model(results, parameters, "model"), path, compress_to_fp16=False)
    return path
