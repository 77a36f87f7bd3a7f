"""NV12 and I420, in one plane and in several: compared with numpy; what can't be a picture is refused."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.models import write_concat, write_identity
from tests.runtime.configs import make_config
from tests.runtime.engine.compiling import F32, compile_file, make_pool
from tests.runtime.pictures import join_planes, split_planes
from vinoserve_api.v1alpha1 import YUV_FORMATS, Parity
from vinoserve_runtime.engine.parity import Reference, compare
from vinoserve_runtime.engine.pictures import take_pictures
from vinoserve_runtime.engine.planes import check_planes, cut_planes
from vinoserve_runtime.engine.samples import make_random
from vinoserve_runtime.errors import StartupError
from vinoserve_runtime.model.prepare import PreparedModel, prepare_model
from vinoserve_runtime.ov import ov
from vinoserve_runtime.protocol.errors import InvalidRequestError
from vinoserve_runtime.tensors import Engine

RNG = np.random.default_rng(3)


def make_entry(color_format: str, target: str = "RGB", **fields: Any) -> dict[str, Any]:
    client = {"elementType": "u8", "colorFormat": color_format, **fields.pop("client", {})}
    return {"name": "x", "layout": "NCHW", "client": client, "model": {"colorFormat": target}, **fields}


def prepare(path: Path, entry: dict[str, Any]) -> PreparedModel:
    return prepare_model(ov.Core(), path, make_config(path, inputs=[entry]))


def make_engine(path: Path, entry: dict[str, Any]) -> Engine:
    model = compile_file(path, inputs=[entry], hints=F32)
    return take_pictures(make_pool(model, 1), prepare(path, entry), 10**6)


@pytest.mark.parametrize("target", ["RGB", "BGR", "GRAY"])
@pytest.mark.parametrize("element_type", ["u8", "f32"])
@pytest.mark.parametrize("color_format", YUV_FORMATS)
async def test_planes_become_a_picture(
    tmp_path: Path, color_format: str, element_type: str, target: str
) -> None:
    path = write_identity(tmp_path / "m.xml", [2, 1 if target == "GRAY" else 3, 4, 6])
    engine = make_engine(path, make_entry(color_format, target, client={"elementType": element_type}))
    planes = split_planes(color_format, RNG, 2, 4, 6)
    dtype = "u1" if element_type == "u8" else "f4"
    assert [info.shape for info in engine.inputs] == [plane.shape for plane in planes]
    (got,) = await engine.infer([plane.astype(dtype) for plane in planes])
    wanted = join_planes(color_format, planes, target)
    np.testing.assert_allclose(got, wanted.transpose(0, 3, 1, 2), atol=1.01 if element_type == "u8" else 0.01)


@pytest.mark.parametrize(
    ("color_format", "names", "shapes", "bounds"),
    [
        ("NV12_SINGLE_PLANE", ["x"], [[1, -1, 8, 1]], [(6, 30)]),
        ("NV12_TWO_PLANES", ["x/y", "x/uv"], [[1, -1, 8, 1], [1, -1, 4, 2]], [(4, 20), (2, 10)]),
        ("I420_SINGLE_PLANE", ["x"], [[1, -1, 8, 1]], [(6, 30)]),
        (
            "I420_THREE_PLANES",
            ["x/y", "x/u", "x/v"],
            [[1, -1, 8, 1], [1, -1, 4, 1], [1, -1, 4, 1]],
            [(4, 20), (2, 10), (2, 10)],
        ),
    ],
)
async def test_bounds_are_those_of_each_plane(
    tmp_path: Path,
    color_format: str,
    names: list[str],
    shapes: list[list[int]],
    bounds: list[tuple[int, int]],
) -> None:
    path = write_identity(tmp_path / "m.xml", [1, 3, 5, 7])
    rows = "5..31" if len(names) == 1 else "3..21"
    entry = make_entry(color_format, resize="linear", client={"shape": [1, rows, 8, 1]})
    engine = make_engine(path, entry)
    assert [info.name for info in engine.inputs] == names
    assert [list(info.shape) for info in engine.inputs] == shapes
    assert [info.bounds[1] for info in engine.inputs] == bounds
    for height in (4, 12, 20):
        (got,) = await engine.infer(split_planes(color_format, RNG, 1, height, 8))
        assert got.shape == (1, 3, 5, 7)


async def test_a_flat_picture_of_any_size_stays_flat(tmp_path: Path) -> None:
    path = write_identity(tmp_path / "m.xml", [-1, 3, 5, 7])
    engine = make_engine(path, make_entry("NV12_TWO_PLANES", resize="linear"))
    assert [info.shape for info in engine.inputs] == [(-1, -1, -1, 1), (-1, -1, -1, 2)]
    (got,) = await engine.infer([np.full((3, 8, 10, 1), 126, np.uint8), np.full((3, 4, 5, 2), 128, np.uint8)])
    np.testing.assert_allclose(got, np.full((3, 3, 5, 7), 128), atol=1)


@pytest.mark.parametrize(
    ("color_format", "shapes", "words"),
    [
        ("NV12_SINGLE_PLANE", [(1, 10, 8, 1)], ['"x"', "[1, 10, 8, 1]", "threes"]),
        ("NV12_SINGLE_PLANE", [(1, 12, 7, 1)], ['"x"', "even width"]),
        ("NV12_TWO_PLANES", [(1, 7, 8, 1), (1, 3, 4, 2)], ['"x/y"', "even height and width"]),
        ("NV12_TWO_PLANES", [(1, 8, 8, 1), (1, 3, 4, 2)], ['"x/uv"', "[1, 3, 4, 2]", "[1, 4, 4, 2]"]),
        ("NV12_TWO_PLANES", [(2, 8, 8, 1), (1, 4, 4, 2)], ['"x/uv"', "[2, 4, 4, 2]"]),
        ("I420_THREE_PLANES", [(1, 8, 8, 1), (1, 4, 4, 1), (1, 4, 3, 1)], ['"x/v"', "[1, 4, 4, 1]"]),
    ],
)
async def test_planes_of_different_pictures_are_refused(
    tmp_path: Path, color_format: str, shapes: list[tuple[int, ...]], words: list[str]
) -> None:
    """OpenVINO would read beyond the smaller plane."""
    path = write_identity(tmp_path / "m.xml", [-1, 3, 4, 6])
    engine = make_engine(path, make_entry(color_format, resize="linear"))
    with pytest.raises(InvalidRequestError) as caught:
        await engine.infer([np.zeros(shape, np.uint8) for shape in shapes])
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize("color_format", YUV_FORMATS)
async def test_planes_made_up_for_parity_fit_together(tmp_path: Path, color_format: str) -> None:
    path = write_identity(tmp_path / "m.xml", [-1, 3, 4, 6])
    entry = make_entry(color_format, resize="linear")
    reference = Reference(prepare(path, entry))
    target = make_pool(compile_file(path, inputs=[entry], hints=F32), 1)
    planes = prepare(path, entry).planes
    (made_up,) = make_random(target.inputs, reference.limits, 1, 32)
    cut = cut_planes(planes, made_up)
    check_planes(planes, target.inputs, cut)
    assert cut[0].shape == ((1, 30, 32, 1) if "SINGLE" in color_format else (1, 32, 32, 1))
    status, _ = await compare(
        target, reference.open(), Parity(random=2), tmp_path, reference.limits, planes=planes
    )
    assert status.passed


async def test_samples_of_planes_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    path = write_identity(tmp_path / "m.xml", [1, 3, 4, 6])
    entry = make_entry("NV12_TWO_PLANES", resize="linear")
    prepared = prepare(path, entry)
    target = make_pool(compile_file(path, inputs=[entry], hints=F32), 1)
    np.savez(
        tmp_path / "s.npz", **{"x/y": np.zeros((1, 8, 8, 1), "u1"), "x/uv": np.zeros((1, 2, 2, 2), "u1")}
    )
    reference = Reference(prepared)
    with pytest.raises(StartupError, match=r"spec.parity.samples: .*sample 0: .*x/uv.*\[1, 4, 4, 2\]"):
        await compare(
            target,
            reference.open(),
            Parity(samples="s.npz"),
            tmp_path,
            reference.limits,
            planes=prepared.planes,
        )


def test_other_inputs_keep_their_places(tmp_path: Path) -> None:
    path = write_concat(tmp_path / "m.xml", "abc", [1, 3, 4, 6])
    prepared = prepare(path, {**make_entry("I420_THREE_PLANES"), "name": "1"})
    assert prepared.input_names == ("a", "b/y", "b/u", "b/v", "c")
    assert [list(port.get_shape()) for port in prepared.model.inputs] == [
        [1, 3, 4, 6],
        [1, 4, 6, 1],
        [1, 2, 3, 1],
        [1, 2, 3, 1],
        [1, 3, 4, 6],
    ]
    assert prepared.input_layouts == dict.fromkeys(("b/y", "b/u", "b/v"), "NHWC")


@pytest.mark.parametrize(
    ("shape", "entry", "words"),
    [
        ([1, 3, 5, 6], make_entry("NV12_TWO_PLANES"), ["inputs[0].shape", "no H is even", "resize"]),
        ([1, 3, 4, 7], make_entry("NV12_SINGLE_PLANE"), ["inputs[0].shape", "no W is even", "resize"]),
        (
            [1, 3, 4, 6],
            make_entry("NV12_TWO_PLANES", client={"shape": [1, 9, 8, 1]}, resize="linear"),
            ["inputs[0].client.shape", "no H is even", "[1, 9, 8, 1]"],
        ),
        (
            [1, 3, 4, 6],
            make_entry("NV12_SINGLE_PLANE", client={"shape": [1, 4, 6, 1]}),
            ["inputs[0].client.shape", "H is 4", "takes 6"],
        ),
        ([1, 3, 4, 6], make_entry("NV12_TWO_PLANES", "GRAY"), ["inputs[0].model.colorFormat", "1 channels"]),
        ([3, 4, 6], {**make_entry("NV12_TWO_PLANES"), "layout": "CHW"}, ["inputs[0].layout", "CHW", "NCHW"]),
        ([1, 3, 4, 6], {**make_entry("NV12_TWO_PLANES"), "model": None}, ["model.colorFormat", "missing"]),
    ],
)
def test_what_no_plane_can_be_names_the_field(
    tmp_path: Path, shape: list[int], entry: dict[str, Any], words: list[str]
) -> None:
    path = write_identity(tmp_path / "m.xml", shape)
    with pytest.raises(StartupError) as caught:
        prepare(path, entry)
    for word in words:
        assert word in str(caught.value)
