"""What clients send is turned into what the model takes: compared with numpy, for every step that can be asked for."""

from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.models import write_identity
from tests.runtime.configs import make_config
from vinoserve_api.conditions import FailureReason
from vinoserve_runtime.errors import StartupError
from vinoserve_runtime.model.prepare import prepare_model
from vinoserve_runtime.ov import ov

RNG = np.random.default_rng(7)
CHANNELS = {"RGB": 3, "BGR": 3, "RGBX": 4, "BGRX": 4, "GRAY": 1}
GRAY = np.array([0.299, 0.587, 0.114], np.float32)


def run(
    path: Path, entry: dict[str, Any], sent: np.ndarray, outputs: tuple[dict[str, Any], ...] = ()
) -> np.ndarray:
    core = ov.Core()
    prepared = prepare_model(
        core, path, make_config(path, inputs=[{"name": "x", **entry}], outputs=list(outputs))
    )
    compiled = core.compile_model(prepared.model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    request = compiled.create_infer_request()
    element_type = compiled.inputs[0].get_element_type()
    request.set_input_tensor(0, ov.Tensor(sent, ov.Shape(list(sent.shape)), element_type))
    request.infer({}, False, False)
    return np.array(request.get_output_tensor(0).data)


def convert_color(image: np.ndarray, source: str, target: str) -> np.ndarray:
    """HWC in f32."""
    rgb = image[..., :3] if source.startswith("RGB") else image[..., 2::-1] if source != "GRAY" else None
    if source == target or rgb is None:
        return image
    return {"RGB": rgb, "BGR": rgb[..., ::-1], "GRAY": (rgb @ GRAY)[..., None]}[target]


@pytest.mark.parametrize(
    ("source", "target", "element_type", "with_numbers"),
    [
        (source, target, element_type, numbers)
        for source, target, element_type, numbers in product(
            CHANNELS, ["RGB", "BGR", "GRAY"], ["u8", "f32"], [False, True]
        )
        if source == target or source != "GRAY"
    ],
)
def test_colour_then_mean_then_scale_then_layout(
    tmp_path: Path, source: str, target: str, element_type: str, with_numbers: bool
) -> None:
    channels = CHANNELS[target]
    path = write_identity(tmp_path / "m.xml", [1, channels, 2, 3])
    mean, scale = [10.0, 20.0, 30.0][:channels], [2.0, 4.0, 8.0][:channels]
    entry: dict[str, Any] = {
        "layout": "NCHW",
        "client": {"elementType": element_type, "layout": "NHWC", "colorFormat": source},
        "model": {"colorFormat": target},
    }
    if with_numbers:
        entry |= {"mean": mean, "scale": scale}
    sent = RNG.integers(0, 256, (1, 2, 3, CHANNELS[source])).astype("u1" if element_type == "u8" else "f4")
    wanted = convert_color(sent.astype(np.float32), source, target)
    if with_numbers:
        wanted = (wanted - np.array(mean, np.float32)) / np.array(scale, np.float32)
    np.testing.assert_allclose(run(path, entry, sent), wanted.transpose(0, 3, 1, 2), rtol=1e-5, atol=1e-4)


def interpolate(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """Bilinear, half-pixel centres: what OpenCV and Pillow (without antialiasing) do. HWC in f32."""

    def weights(size: int, target: int) -> np.ndarray:
        at = np.clip((np.arange(target) + 0.5) * size / target - 0.5, 0, size - 1)
        low = np.floor(at).astype(int)
        matrix = np.zeros((target, size), np.float32)
        matrix[np.arange(target), low] += 1 - (at - low)
        matrix[np.arange(target), np.minimum(low + 1, size - 1)] += at - low
        return matrix

    return np.einsum("ah,bw,hwc->abc", weights(image.shape[0], height), weights(image.shape[1], width), image)


@given(height=st.integers(1, 9), width=st.integers(1, 9))
@settings(max_examples=12)
def test_any_size_is_resized_after_the_colour_and_before_the_mean(
    tmp_path_factory: pytest.TempPathFactory, height: int, width: int
) -> None:
    path = write_identity(tmp_path_factory.mktemp("m") / "m.xml", [1, 3, 5, 4])
    entry = {
        "layout": "NCHW",
        "client": {"elementType": "u8", "layout": "NHWC", "shape": [1, -1, -1, 3], "colorFormat": "BGR"},
        "model": {"colorFormat": "RGB"},
        "resize": "linear",
        "mean": [1.0, 2.0, 3.0],
        "scale": [2.0],
    }
    sent = RNG.integers(0, 256, (1, height, width, 3)).astype(np.uint8)
    wanted = (interpolate(sent[0, ..., ::-1].astype(np.float32), 5, 4) - [1, 2, 3]) / 2
    np.testing.assert_allclose(run(path, entry, sent)[0], wanted.transpose(2, 0, 1), rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("method", ["linear", "cubic", "nearest"])
def test_a_flat_picture_stays_flat_whatever_the_filter(tmp_path: Path, method: str) -> None:
    path = write_identity(tmp_path / "m.xml", [1, 3, 6, 6])
    sent = np.full((1, 4, 9, 3), 77, np.uint8)
    entry = {"layout": "NCHW", "client": {"elementType": "u8", "layout": "NHWC"}, "resize": method}
    np.testing.assert_allclose(run(path, entry, sent), np.full((1, 3, 6, 6), 77), rtol=1e-5)


def test_nearest_takes_pixels_as_they_are(tmp_path: Path) -> None:
    path = write_identity(tmp_path / "m.xml", [1, 1, 4, 4])
    sent = np.array([[[[1], [2]], [[3], [4]]]], np.uint8)
    entry = {"layout": "NCHW", "client": {"elementType": "u8", "layout": "NHWC"}, "resize": "nearest"}
    wanted = np.kron(np.array([[1, 2], [3, 4]]), np.ones((2, 2)))
    np.testing.assert_array_equal(run(path, entry, sent)[0, 0], wanted)


@pytest.mark.parametrize("client", ["u8", "i32", "i64", "f16", "f32", "f64", "boolean"])
@pytest.mark.parametrize("own", ["f32", "f16", "i32"])
def test_element_types_convert_to_the_models(tmp_path: Path, client: str, own: str) -> None:
    path = write_identity(tmp_path / "m.xml", [1, 3], own)
    dtype = {"u8": "u1", "i32": "i4", "i64": "i8", "f16": "f2", "f32": "f4", "f64": "f8", "boolean": "?"}[
        client
    ]
    sent = np.array([[1, 0, 1]]).astype(dtype)
    got = run(path, {"client": {"elementType": client}}, sent)
    np.testing.assert_array_equal(got.astype(np.float64), [[1, 0, 1]])


def test_an_output_is_converted(tmp_path: Path) -> None:
    path = write_identity(tmp_path / "m.xml", [1, 3])
    got = run(path, {}, np.array([[1.6, 2, 300]], np.float32), ({"name": "y", "elementType": "f16"},))
    assert got.dtype == np.float16
    np.testing.assert_allclose(got, [[1.6, 2, 300]], rtol=1e-3)


def test_mean_without_a_layout_is_one_number(tmp_path: Path) -> None:
    path = write_identity(tmp_path / "m.xml", [1, 3])
    got = run(
        path,
        {"client": {"elementType": "u8"}, "mean": [1.0], "scale": [2.0]},
        np.array([[1, 3, 5]], np.uint8),
    )
    np.testing.assert_allclose(got, [[0, 1, 2]])


def test_a_batch_of_any_size_stays_one(tmp_path: Path) -> None:
    path = write_identity(tmp_path / "m.xml", [-1, 3, 2, 2])
    sent = RNG.integers(0, 256, (3, 2, 2, 3)).astype(np.uint8)
    entry = {"layout": "NCHW", "client": {"elementType": "u8", "layout": "NHWC", "shape": [-1, 2, 2, 3]}}
    np.testing.assert_array_equal(run(path, entry, sent), sent.transpose(0, 3, 1, 2))


HWC = {"elementType": "u8", "layout": "NHWC"}


@pytest.mark.parametrize(
    ("entry", "reason", "words"),
    [
        ({"client": HWC}, "InvalidInput", ["inputs[0].layout", "missing", "NHWC"]),
        (
            {"client": {"elementType": "u8"}, "resize": "linear"},
            "InvalidInput",
            ["inputs[0].resize", "layout"],
        ),
        (
            {"client": HWC, "layout": "NCHW", "mean": [1.0, 2.0]},
            "InvalidInput",
            ["mean", "2 numbers", "3 channels"],
        ),
        ({"mean": [1.0, 2.0, 3.0]}, "InvalidInput", ["mean", "layout"]),
        (
            {"client": {**HWC, "colorFormat": "GRAY"}, "layout": "NCHW", "model": {"colorFormat": "RGB"}},
            "InvalidInput",
            ["model.colorFormat", "GRAY can't be converted to RGB"],
        ),
        (
            {"client": {**HWC, "colorFormat": "RGB"}, "layout": "NCHW", "model": {"colorFormat": "GRAY"}},
            "InvalidInput",
            ["model.colorFormat", "GRAY has 1 channels", "has 3", "[1, 3, 4, 4]"],
        ),
        (
            {"layout": "NCHW", "client": HWC, "model": {"colorFormat": "RGB"}},
            "InvalidInput",
            ["client.colorFormat"],
        ),
        (
            {"layout": "NCHW", "client": {**HWC, "shape": [1, 8, 8, 3]}},
            "InvalidShape",
            ["client.shape", "H is 8", "takes 4", "resize"],
        ),
        (
            {"layout": "NCHW", "client": {**HWC, "shape": [1, 4, 4]}},
            "InvalidShape",
            ["client.shape", "3 dimensions"],
        ),
        (
            {"layout": "NCHW", "client": {**HWC, "shape": [-1, 4, 4, 3]}},
            "InvalidShape",
            ["client.shape", "N is -1"],
        ),
        (
            {"shape": [1, 3, -1, 4], "layout": "NCHW", "client": HWC, "resize": "linear"},
            "InvalidInput",
            ["resize", "H"],
        ),
        ({"shape": [1, 3, 4]}, "InvalidShape", ["inputs[0].shape", "3 dimensions", "[1, 3, 4, 4]"]),
        (
            {"layout": "NC", "client": {"elementType": "u8"}},
            "InvalidShape",
            ["inputs[0].layout", "[1, 3, 4, 4]"],
        ),
    ],
)
def test_what_cannot_be_names_the_field_and_what_the_model_has(
    tmp_path: Path, entry: dict[str, Any], reason: str, words: list[str]
) -> None:
    path = write_identity(tmp_path / "m.xml", [1, 3, 4, 4])
    with pytest.raises(StartupError) as caught:
        prepare_model(ov.Core(), path, make_config(path, inputs=[{"name": "x", **entry}]))
    assert caught.value.reason == FailureReason(reason), str(caught.value)
    for word in words:
        assert word in str(caught.value)
