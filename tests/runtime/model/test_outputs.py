"""What clients get: element types and layouts of outputs."""

from pathlib import Path
from typing import Any

import numpy as np
import openvino
import pytest
from openvino import opset15 as ops

from tests.models import write_identity
from tests.runtime.configs import make_config
from tests.runtime.engine.compiling import compile_file, make_pool
from vinoserve_runtime.errors import StartupError
from vinoserve_runtime.model.prepare import prepare_model
from vinoserve_runtime.ov import ov

X = np.arange(24, dtype=np.float32).reshape(1, 2, 3, 4)


async def ask(
    path: Path, output: dict[str, Any], x: np.ndarray = X
) -> tuple[tuple[int, ...], str, np.ndarray]:
    """Shape and datatype in the metadata, and the result."""
    pool = make_pool(compile_file(path, outputs=[output]))
    (got,) = await pool.infer([x])
    return pool.outputs[0].shape, pool.outputs[0].datatype, got


@pytest.mark.parametrize("name", ["y", "0"])
async def test_a_layout_is_converted(tmp_path: Path, name: str) -> None:
    path = write_identity(tmp_path / "m.xml", [1, 2, 3, 4])
    output = {"name": name, "layout": "NHWC", "model": {"layout": "NCHW"}, "elementType": "i32"}
    shape, datatype, got = await ask(path, output)
    assert (shape, datatype) == ((1, 3, 4, 2), "INT32")
    np.testing.assert_array_equal(got, X.transpose(0, 2, 3, 1))


async def test_unnamed_and_dynamic_dimensions_stay_what_they_are(tmp_path: Path) -> None:
    path = write_identity(tmp_path / "m.xml", [-1, 2, -1, 4])
    shape, _, got = await ask(path, {"name": "y", "layout": "CN?W", "model": {"layout": "NC?W"}})
    assert shape == (2, -1, -1, 4)
    np.testing.assert_array_equal(got, X.transpose(1, 0, 2, 3))


async def test_the_models_file_may_say_its_layout(tmp_path: Path) -> None:
    x = ops.parameter([1, 2, 3, 4], openvino.Type.f32, name="x")
    result = ops.result(ops.relu(x))
    result.set_layout(openvino.Layout("NCHW"))
    openvino.save_model(openvino.Model([result], [x], "model"), tmp_path / "m.xml")
    shape, _, got = await ask(tmp_path / "m.xml", {"name": "0", "layout": "NHWC"})
    assert shape == (1, 3, 4, 2)
    np.testing.assert_array_equal(got, X.transpose(0, 2, 3, 1))


@pytest.mark.parametrize(
    ("output", "words"),
    [
        ({"layout": "NHWC"}, ["outputs[0].model.layout", "missing", "[1, 2, 3, 4]", "NCHW"]),
        (
            {"layout": "NC", "model": {"layout": "CN"}},
            ["outputs[0].model.layout", "CN has 2 letters", "[1, 2, 3, 4]"],
        ),
    ],
)
def test_what_cannot_be_names_the_field(tmp_path: Path, output: dict[str, Any], words: list[str]) -> None:
    path = write_identity(tmp_path / "m.xml", [1, 2, 3, 4])
    with pytest.raises(StartupError) as caught:
        prepare_model(ov.Core(), path, make_config(path, outputs=[{"name": "y", **output}]))
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"inputs": [{"name": "x", "client": {"elementType": "f32"}}]}, "spec.model.inputs[0].client: the model's input is text"),
        ({"inputs": [{"name": "x", "mean": [1.0]}]}, "spec.model.inputs[0].mean: the model's input is text"),
        ({"outputs": [{"name": "y", "elementType": "f32"}]}, "spec.model.outputs[0].elementType: the model's output is text"),
    ],
)  # fmt: skip
def test_text_is_not_converted(tmp_path: Path, fields: dict[str, Any], said: str) -> None:
    x = ops.parameter([-1], openvino.Type.string, name="x")
    x.output(0).set_names({"x"})
    y = ops.gather(x, ops.constant(np.array([0], np.int64)), ops.constant(np.int64(0)))
    y.output(0).set_names({"y"})
    path = tmp_path / "m.xml"
    openvino.save_model(openvino.Model([ops.result(y)], [x], "text"), path)
    with pytest.raises(StartupError) as caught:
        prepare_model(ov.Core(), path, make_config(path, **fields))
    assert said in str(caught.value)
