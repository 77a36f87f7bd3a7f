"""Each example: the model that stands in for its own, what a client sends, and where it must run."""

import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import openvino as ov
from openvino.preprocess import ColorFormat, PrePostProcessor, ResizeAlgorithm
from PIL import Image

from tests.examples import models
from tests.examples.models import SIDE, WriteModel

Tensors = dict[str, np.ndarray]
Reference = Callable[[ov.Model, Tensors], list[np.ndarray]]

#: f16 on the GPU, bf16 on a CPU that has it, against f32.
HALF: Final = 2e-2
SINGLE: Final = 1e-4


def compute(model: ov.Model, tensors: Tensors) -> list[np.ndarray]:
    """OpenVINO's own answer on the CPU in f32, for the shapes that are sent."""
    for port in model.inputs:
        (name,) = (name for name in tensors if name in port.get_names())
        port.get_node().set_partial_shape(ov.PartialShape(list(tensors[name].shape)))
    model.validate_nodes_and_infer_types()
    compiled = ov.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return [np.array(result) for result in compiled(tensors).values()]


@dataclass(frozen=True)
class Row:
    """`on`: the execution devices by the number of GPUs; what isn't there is refused as not found."""

    model: WriteModel
    tensors: Tensors
    on: dict[int, set[str]]
    reference: Reference = compute
    tolerance: float = HALF

    @property
    def gpus(self) -> int:
        """How many it takes."""
        return max(self.on)


def _random(*shape: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def _pixels(*shape: int, seed: int = 2) -> np.ndarray:
    """Smooth enough for resizing and JPEG to be well-behaved: u8."""
    *_, height, width, channels = shape
    y, x = np.mgrid[0:height, 0:width]
    planes = [127 + 100 * np.sin((x + seed * c) / 23) * np.cos((y - 3 * c) / 17) for c in range(channels)]
    return np.stack(planes, axis=-1).astype(np.uint8).reshape(shape)


def _processed(configure: Callable[[Any], None], shape: tuple[int, ...] = (1, 3, SIDE, SIDE)) -> Reference:
    """OpenVINO's answer with the steps that its users write by hand."""

    def compute_processed(model: ov.Model, tensors: Tensors) -> list[np.ndarray]:
        model.reshape(list(shape))
        steps = PrePostProcessor(model)
        configure(steps.input())
        steps.input().model().set_layout(ov.Layout("NCHW"))
        compiled = ov.Core().compile_model(steps.build(), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
        return [np.array(result) for result in compiled(list(tensors.values())).values()]

    return compute_processed


def _nv12(steps: Any) -> None:
    tensor = steps.tensor().set_element_type(ov.Type.u8)
    tensor.set_color_format(ColorFormat.NV12_TWO_PLANES, ["y", "uv"]).set_spatial_static_shape(SIDE, SIDE)
    steps.preprocess().convert_color(ColorFormat.BGR).convert_element_type(ov.Type.f32).scale(255.0)


def _photo(steps: Any) -> None:
    tensor = steps.tensor().set_element_type(ov.Type.u8).set_layout(ov.Layout("NHWC"))
    tensor.set_color_format(ColorFormat.RGB).set_spatial_dynamic_shape()
    process = steps.preprocess().convert_element_type(ov.Type.f32).convert_color(ColorFormat.BGR)
    process.resize(ResizeAlgorithm.RESIZE_LINEAR)
    process.mean([123.675, 116.28, 103.53]).scale([58.395, 57.12, 57.375])


def _line_photo(steps: Any) -> None:
    steps.tensor().set_element_type(ov.Type.u8).set_layout(ov.Layout("NHWC")).set_color_format(
        ColorFormat.RGB
    )
    process = steps.preprocess().convert_element_type(ov.Type.f32).convert_color(ColorFormat.BGR)
    process.mean(127.5).scale(127.5)


def _upload(steps: Any) -> None:
    tensor = steps.tensor().set_element_type(ov.Type.u8).set_layout(ov.Layout("NHWC"))
    tensor.set_color_format(ColorFormat.RGB).set_spatial_dynamic_shape()
    process = steps.preprocess().convert_element_type(ov.Type.f32).convert_color(ColorFormat.BGR)
    process.resize(ResizeAlgorithm.RESIZE_LINEAR).scale(255.0)


def _decoded_upload(model: ov.Model, tensors: Tensors) -> list[np.ndarray]:
    (files,) = tensors.values()
    picture = np.array(Image.open(io.BytesIO(files[0])).convert("RGB"))
    return _processed(_upload)(model, {"x": picture[np.newaxis]})


def _png() -> np.ndarray:
    file = io.BytesIO()
    Image.fromarray(_pixels(180, 260, 3)).save(file, "PNG")
    return np.array([file.getvalue()], np.object_)


IMAGE: Final = {"x": _random(1, 3, SIDE, SIDE)}
RESNET: Final = models.classifier()
OPEN_SHAPES: Final = models.classifier(models.OPEN)
GPU: Final = {1: {"GPU.0"}}
AUTO: Final = {0: {"CPU"}, 1: {"GPU.0"}}
BOTH: Final = {0: {"CPU"}, 1: {"GPU.0", "CPU"}}

ROWS: Final = {
    "auto-gpu-cpu": Row(RESNET, IMAGE, AUTO),
    "cpu-mnist": Row(models.classifier((1, 3, 28, 28)), {"x": _random(1, 3, 28, 28)}, {0: {"CPU"}}),
    "gpu-ppocr": Row(
        OPEN_SHAPES,
        {"x": _pixels(1, 48, 320, 3)},
        GPU,
        reference=_processed(_line_photo, (1, 3, 48, 320)),
    ),
    "hetero-affinity": Row(
        models.detector,
        {"image": _random(1, 3, 640, 640), "scale_factor": np.array([[0.5, 2]], np.float32)},
        {1: {"GPU.0", "CPU"}},
    ),
    "shapes/fixed-shape": Row(OPEN_SHAPES, IMAGE, GPU),
    "shapes/bounded-batch": Row(OPEN_SHAPES, {"x": _random(7, 3, SIDE, SIDE)}, GPU),
    "shapes/bounded-text": Row(
        models.encoder,
        {
            "input_ids": np.arange(24, dtype=np.int64).reshape(2, 12),
            "attention_mask": np.array([[1] * 12, [1] * 5 + [0] * 7], np.int64),
        },
        GPU,
    ),
    "shapes/changing-shapes": Row(
        models.packaged("ppocr-det-paddle"), {"x": _random(1, 3, 96, 160) / 4}, {0: {"CPU"}}
    ),
    "shapes/buckets": Row(OPEN_SHAPES, {"x": _random(1, 3, 48, 320)}, GPU),
    "devices/gpu": Row(
        models.packed_saved_model, {"first": _random(1, 4), "second": _random(1, 4, seed=3)}, GPU
    ),
    "devices/second-gpu": Row(RESNET, IMAGE, {2: {"GPU.1"}}),
    "devices/hetero": Row(RESNET, IMAGE, GPU),
    "devices/auto": Row(RESNET, IMAGE, AUTO),
    "devices/auto-latency": Row(RESNET, IMAGE, AUTO),
    "devices/auto-throughput": Row(RESNET, IMAGE, AUTO),
    "devices/auto-all-devices": Row(RESNET, IMAGE, BOTH),
    "devices/auto-two-gpus": Row(RESNET, IMAGE, {2: {"GPU.0", "GPU.1"}}),
    "devices/multi": Row(RESNET, IMAGE, {2: {"GPU.0", "GPU.1"}}),
    "performance/throughput": Row(RESNET, IMAGE, GPU),
    "performance/batch-cpu": Row(RESNET, IMAGE, {0: {"CPU"}}),
    "performance/batch-gpu": Row(RESNET, IMAGE, GPU),
    "performance/batch-server": Row(OPEN_SHAPES, IMAGE, GPU),
    "performance/streams": Row(RESNET, IMAGE, GPU),
    "performance/priorities": Row(RESNET, IMAGE, GPU),
    "performance/model-priority": Row(RESNET, IMAGE, GPU),
    "performance/spare-the-cpu": Row(RESNET, IMAGE, GPU),
    "performance/accuracy": Row(RESNET, IMAGE, GPU, tolerance=SINGLE),
    "performance/loops": Row(models.recurrent, {"x": _random(1, 20, 8)}, GPU),
    "performance/cached": Row(RESNET, IMAGE, GPU),
    "performance/precompiled": Row(RESNET, IMAGE, GPU),
    "performance/idle": Row(RESNET, IMAGE, GPU),
    "scaling/on-cpu": Row(RESNET, IMAGE, {0: {"CPU"}}),
    "scaling/on-the-queue": Row(RESNET, IMAGE, GPU),
    "pictures/camera-nv12": Row(
        OPEN_SHAPES,
        {"x/y": _pixels(1, SIDE, SIDE, 1), "x/uv": _pixels(1, SIDE // 2, SIDE // 2, 2)},
        GPU,
        reference=_processed(_nv12),
    ),
    "pictures/decoded": Row(
        OPEN_SHAPES,
        {"x": _pixels(1, 180, 260, 3)},
        {0: {"CPU"}},
        reference=_processed(_photo),
    ),
    "pictures/encoded": Row(OPEN_SHAPES, {"x": _png()}, {0: {"CPU"}}, reference=_decoded_upload),
}

#: Only hardware has these; here the right refusal is what can be seen.
NEEDS_HARDWARE: Final = {"devices/gpu-tile": "GPU.1.0", "devices/npu": "NPU", "npu-static": "NPU"}
