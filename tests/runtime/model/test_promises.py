"""What metadata says is what infer accepts, and what becomes of it is what the spec says: whatever valid spec it is.

Entries are drawn from all that the rules allow, the model is built and compiled, tensors of the shapes and datatypes in its
metadata are sent through the whole engine, and the results are compared with a pipeline in numpy and Pillow.
"""

import asyncio
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.models import write_identity
from tests.runtime.configs import make_config
from tests.runtime.engine.compiling import F32, compile_file, make_pool
from tests.runtime.pictures import CHANNELS, convert_color, encode, files, join_planes, split_planes
from vinoserve_api.rules.colours import CONVERSIONS
from vinoserve_api.rules.tensors import check_tensors
from vinoserve_api.v1alpha1 import YUV_FORMATS, Model
from vinoserve_runtime.engine.pictures import take_pictures
from vinoserve_runtime.engine.resizing import resize
from vinoserve_runtime.model.prepare import prepare_model
from vinoserve_runtime.ov import ov
from vinoserve_runtime.tensors import NUMPY_DTYPES

TYPES = {"u8": "u1", "i32": "i4", "f16": "f2", "f32": "f4"}


@st.composite
def specs(draw: st.DrawFn) -> dict[str, Any]:
    """A model of pictures, and an entry for its input and its output."""
    kind = draw(st.sampled_from(["tensor", "planes", "image"]))
    even = 2 if kind == "planes" else 1
    batch = draw(st.integers(1, 3))
    height, width = (draw(st.integers(1, 5)) * even for _ in "HW")
    sources = {"tensor": sorted(CHANNELS), "planes": YUV_FORMATS, "image": ["RGB", "BGR", "GRAY"]}
    source = draw(st.sampled_from(sources[kind]))
    target = draw(st.sampled_from(CONVERSIONS[source]))
    own = dict(zip("NCHW", (batch, CHANNELS[target], height, width), strict=True))
    layout = draw(st.sampled_from(["NCHW", "NHWC", "NWCH"]))
    shape = [own[letter] for letter in layout]
    has_any_batch = draw(st.booleans())
    resizes = draw(st.sampled_from([None, "linear", "cubic", "nearest"]))
    client: dict[str, Any] = {"colorFormat": source}
    entry: dict[str, Any] = {
        "name": draw(st.sampled_from(["x", "0"])),
        "layout": layout,
        "shape": [-1 if has_any_batch and letter == "N" else own[letter] for letter in layout],
        "client": client,
        "model": {"colorFormat": target},
    }
    if kind == "image":
        client["encoding"] = "image"
    else:
        client["elementType"] = draw(
            st.sampled_from(["u8", "f16", "f32"] if kind == "planes" else list(TYPES))
        )
    if kind == "tensor":
        client["layout"] = draw(st.sampled_from(["NHWC"] if source.endswith("X") else ["NHWC", "NCHW"]))
    if resizes:
        entry["resize"] = resizes
        if kind == "tensor" and draw(st.booleans()):
            channels = draw(st.sampled_from([CHANNELS[source], -1]))
            any_size = {"N": entry["shape"][layout.index("N")], "C": channels, "H": "1..9", "W": -1}
            client["shape"] = [any_size[letter] for letter in client["layout"]]
    for field, low in (("mean", 0), ("scale", 1)):
        if draw(st.booleans()):
            numbers = st.integers(low, 9).map(float)
            entry[field] = draw(st.lists(numbers, min_size=own["C"], max_size=own["C"]))
    output = {"name": "y"}
    if draw(st.booleans()):
        output |= {"layout": "NHWC", "model": {"layout": layout}}  # type: ignore[dict-item]
    if draw(st.booleans()):
        output["elementType"] = "f32"
    return {
        "kind": kind,
        "entry": entry,
        "output": output,
        "own": own,
        "exported": [-1 if draw(st.booleans()) else size for size in shape],
        "sent": [draw(st.integers(1, 4)) * 2 for _ in "HW"] if resizes else [height, width],
        "batch": draw(st.integers(1, 3)) if has_any_batch else batch,
        "seed": draw(st.integers(0, 99)),
    }


def make_tensors(spec: dict[str, Any], infos: Any) -> tuple[list[np.ndarray], np.ndarray]:
    """What to send, by the engine's metadata, and the same pictures as NHWC in f32."""
    random = np.random.default_rng(spec["seed"])
    entry, batch, (height, width) = spec["entry"], spec["batch"], spec["sent"]
    client, source = entry["client"], entry["client"]["colorFormat"]
    if spec["kind"] == "planes":
        planes = split_planes(source, random, batch, height, width)
        planes = [
            plane.astype(NUMPY_DTYPES[info.datatype]) for plane, info in zip(planes, infos, strict=True)
        ]
        return planes, join_planes(source, planes, entry["model"]["colorFormat"])
    if spec["kind"] == "image":
        shape = (batch, height, width) if source == "GRAY" else (batch, height, width, 3)
        pictures = random.integers(0, 256, shape, np.uint8)
        decoded = (
            pictures[..., None] if source == "GRAY" else pictures[..., ::-1] if source == "BGR" else pictures
        )
        return [files(*map(encode, pictures))], decoded.astype(np.float32)
    sent = random.integers(0, 256, (batch, height, width, CHANNELS[source]))
    order = ["NHWC".index(letter) for letter in client["layout"]]
    return [np.ascontiguousarray(sent.transpose(order)).astype(NUMPY_DTYPES[infos[0].datatype])], sent.astype(
        np.float32
    )


def process(spec: dict[str, Any], pictures: np.ndarray) -> np.ndarray:
    """What the model is to get, in the layout that clients get it back in."""
    entry = spec["entry"]
    target = entry["model"]["colorFormat"]
    if spec["kind"] != "planes":
        pictures = np.stack(
            [convert_color(picture, entry["client"]["colorFormat"], target) for picture in pictures]
        )
    if method := entry.get("resize"):
        pictures = np.stack([resize(p, spec["own"]["H"], spec["own"]["W"], method) for p in pictures])
    pictures = (pictures - np.array(entry.get("mean", [0]), np.float32)) / np.array(
        entry.get("scale", [1]), np.float32
    )
    layout = spec["output"].get("layout", entry["layout"])
    return pictures.transpose(["NHWC".index(letter) for letter in layout])


@given(spec=specs())
@settings(max_examples=60, deadline=None)
def test_what_metadata_says_is_accepted_and_processed_as_the_spec_says(
    tmp_path_factory: pytest.TempPathFactory, spec: dict[str, Any]
) -> None:
    inputs, outputs = [spec["entry"]], [spec["output"]]
    model = Model.load({"uri": "file:m.xml", "inputs": inputs, "outputs": outputs})
    assert [str(problem) for problem in check_tensors(model)] == []
    path = write_identity(tmp_path_factory.mktemp("m") / "m.xml", spec["exported"])
    prepared = prepare_model(ov.Core(), path, make_config(path, inputs=inputs, outputs=outputs))
    compiled = compile_file(path, inputs=inputs, outputs=outputs, hints=F32)

    async def ask() -> Any:
        engine = take_pictures(make_pool(compiled, 1), prepared, 10**6)
        tensors, pictures = make_tensors(spec, engine.inputs)
        for tensor, info in zip(tensors, engine.inputs, strict=True):
            assert tensor.ndim == len(info.shape), info
            for size, said, (least, most) in zip(tensor.shape, info.shape, info.bounds, strict=True):
                assert said in (-1, size), (tensor.shape, info)
                assert least <= size <= (size if most is None else most), (tensor.shape, info)
        (got,) = await engine.infer(tensors)
        assert all(said in (-1, size) for size, said in zip(got.shape, engine.outputs[0].shape, strict=True))
        return got, pictures

    got, pictures = asyncio.run(ask())
    rounding = 1.5 if spec["kind"] == "planes" else 0.01  # planes become RGB in u8
    rounding = rounding * 2 if spec["entry"].get("resize") == "cubic" else rounding
    np.testing.assert_allclose(got, process(spec, pictures), rtol=1e-4, atol=rounding)
