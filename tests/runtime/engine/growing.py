"""Models whose shapes follow the request: what buckets pad and batches put together."""

from pathlib import Path

import numpy as np
import openvino as ov
from openvino import opset15 as ops

RNG = np.random.default_rng(11)


def write_encoder(path: Path, width: int = 16, layers: int = 1) -> Path:
    """Tokens and their mask, [N, T] of i64 -> `hidden` [N, T, width] and `pooled` [N, width]: attention that masks are respected in."""
    rng = np.random.default_rng(11)
    ids, mask = (ops.parameter([-1, -1], np.int64, name=name) for name in ("ids", "mask"))

    def weights(*shape: int) -> np.ndarray:
        return (rng.standard_normal(shape) / np.sqrt(shape[0])).astype(np.float32)

    hidden = ops.gather(weights(100, width), ids, np.int64(0))
    away = ops.multiply(ops.subtract(np.float32(1), ops.convert(mask, "f32")), np.float32(-1e9))
    bias = ops.unsqueeze(away, np.int64(1))  # [N, 1, T]
    for _ in range(layers):
        q, k, v = (ops.matmul(hidden, weights(width, width), False, False) for _ in range(3))
        scores = ops.add(ops.matmul(q, k, False, True), bias)
        hidden = ops.add(hidden, ops.matmul(ops.softmax(scores, 2), v, False, False))
    weight = ops.unsqueeze(ops.convert(mask, "f32"), np.int64(2))
    pooled = ops.divide(
        ops.reduce_sum(ops.multiply(hidden, weight), np.int64(1), False),
        ops.reduce_sum(weight, np.int64(1), False),
    )
    return save(path, {"hidden": hidden, "pooled": pooled}, [ids, mask])


def write_convolution(path: Path, *, head: str = "map") -> Path:
    """x [N, 3, H, W] -> `y`: a `map` [N, 4, H/2, W/2], `anchors` [N, H/2*W/2, 4], or the `class` scores [N, 4]."""
    rng = np.random.default_rng(12)
    x = ops.parameter([-1, 3, -1, -1], np.float32, name="x")
    kernel = rng.standard_normal((4, 3, 3, 3)).astype(np.float32)
    y = ops.relu(ops.convolution(x, kernel, [2, 2], [1, 1], [1, 1], [1, 1]))
    if head == "anchors":
        y = ops.transpose(ops.reshape(y, np.array([0, 4, -1]), special_zero=True), np.array([0, 2, 1]))
    if head == "class":
        y = ops.reduce_sum(y, np.array([2, 3]), False)
    return save(path, {"y": y}, [x])


def write_non_zero(path: Path) -> Path:
    """x [T] -> the places where it isn't zero: as many as there are."""
    x = ops.parameter([-1], np.float32, name="x")
    return save(path, {"y": ops.non_zero(x)}, [x])


def write_scaled(path: Path, shape: list[int], output: str = "batch") -> Path:
    """x * 2; as `total` the sum over the first dimension, as `flat` all in one dimension."""
    x = ops.parameter(shape, np.float32, name="x")
    y = ops.multiply(x, np.float32(2))
    if output == "total":
        y = ops.reduce_sum(y, np.int64(0), False)
    if output == "flat":
        y = ops.reshape(y, np.array([-1]), special_zero=False)
    return save(path, {"y": y}, [x])


def write_doubles(path: Path, *, joined: bool = False) -> Path:
    """a [n] and b [m] -> c = 2 a and d = 2 b; or both, one after the other, in c."""
    a, b = (ops.parameter([-1], np.float32, name=name) for name in "ab")
    c, d = ops.add(a, a), ops.add(b, b)
    return save(path, {"c": ops.concat([c, d], 0)} if joined else {"c": c, "d": d}, [a, b])


def save(path: Path, outputs: dict[str, ov.Node], parameters: list[ov.Node]) -> Path:
    for name, node in outputs.items():
        node.output(0).get_tensor().set_names({name})
        node.set_friendly_name(name)
    for parameter in parameters:
        parameter.output(0).get_tensor().set_names({parameter.get_friendly_name()})
    model = ov.Model([ops.result(node) for node in outputs.values()], parameters)
    ov.save_model(model, path, compress_to_fp16=False)
    return path
