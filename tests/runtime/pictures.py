"""Pictures for tests, and what becomes of them: a pipeline in numpy beside OpenVINO's."""

from io import BytesIO
from typing import Any

import numpy as np
from PIL import Image

GRAY = np.array([0.299, 0.587, 0.114], np.float32)
CHANNELS = {"RGB": 3, "BGR": 3, "RGBX": 4, "BGRX": 4, "GRAY": 1}


def encode(pixels: np.ndarray, kind: str = "PNG", **options: Any) -> bytes:
    """A file of [H, W, 3] or, gray, of [H, W]."""
    file = BytesIO()
    Image.fromarray(pixels).save(file, kind, **options)
    return file.getvalue()


def files(*contents: bytes) -> np.ndarray:
    array = np.empty(len(contents), np.object_)
    array[:] = contents
    return array


def convert_color(image: np.ndarray, source: str, target: str) -> np.ndarray:
    """HWC in f32."""
    rgb = image[..., :3] if source.startswith("RGB") else image[..., 2::-1] if source != "GRAY" else None
    if source == target or rgb is None:
        return image
    return {"RGB": rgb, "BGR": rgb[..., ::-1], "GRAY": (rgb @ GRAY)[..., None]}[target]


def split_planes(
    color_format: str, random: np.random.Generator, batch: int, height: int, width: int
) -> list[np.ndarray]:
    """Planes of u8 as clients send them."""
    y = random.integers(0, 256, (batch, height, width, 1), np.uint8)
    u, v = random.integers(0, 256, (2, batch, height // 2, width // 2, 1), np.uint8)
    uv = np.concatenate([u, v], 3)
    if color_format == "NV12_TWO_PLANES":
        return [y, uv]
    if color_format == "I420_THREE_PLANES":
        return [y, u, v]
    colours = [uv] if color_format.startswith("NV12") else [u, v]
    rows = np.concatenate([plane.reshape(batch, -1) for plane in (y, *colours)], 1)
    return [rows.reshape(batch, height * 3 // 2, width, 1)]


def join_planes(color_format: str, planes: list[np.ndarray], target: str) -> np.ndarray:
    """NHWC in f32, by ITU-R BT.601 in studio range; GRAY is the plane of brightness."""
    first = planes[0].astype(np.float32)
    batch, rows, width = first.shape[:3]
    if len(planes) == 1:
        height = rows * 2 // 3
        flat = first.reshape(batch, -1)
        y, rest = flat[:, : height * width].reshape(batch, height, width), flat[:, height * width :]
        if color_format.startswith("NV12"):
            u, v = np.moveaxis(rest.reshape(batch, height // 2, width // 2, 2), 3, 0)
        else:
            u, v = np.moveaxis(rest.reshape(batch, 2, height // 2, width // 2), 1, 0)
    else:
        y = first[..., 0]
        u, v = np.moveaxis(np.concatenate(planes[1:], 3).astype(np.float32), 3, 0)
    if target == "GRAY":
        return y[..., None]
    c, d, e = y - 16, u.repeat(2, 1).repeat(2, 2) - 128, v.repeat(2, 1).repeat(2, 2) - 128
    rgb = [1.164 * c + 1.596 * e, 1.164 * c - 0.391 * d - 0.813 * e, 1.164 * c + 2.018 * d]
    picture = np.stack(rgb, 3).clip(0, 255)
    return picture if target == "RGB" else picture[..., ::-1]
