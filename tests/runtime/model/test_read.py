"""Reading, naming and reshaping models, and what is said where that can't be."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from tests.models import write_adder, write_identity_twice, write_multiplier, write_onnx, write_sum
from tests.runtime.configs import make_config
from vinoserve_api.conditions import FailureReason
from vinoserve_runtime.errors import StartupError
from vinoserve_runtime.model.onnx_names import read_graph_names
from vinoserve_runtime.model.prepare import PreparedModel, prepare_model
from vinoserve_runtime.ov import ov


def prepare(path: Path, **fields: Any) -> PreparedModel:
    return prepare_model(ov.Core(), path, make_config(path, **fields))


def failure(path: Path, **fields: Any) -> StartupError:
    with pytest.raises(StartupError) as caught:
        prepare(path, **fields)
    return caught.value


@pytest.mark.parametrize("name", ["m.onnx", "m.xml"])
def test_both_formats_are_read_with_their_own_names(tmp_path: Path, name: str) -> None:
    prepared = prepare(write_adder(tmp_path / name))
    assert (prepared.input_names, prepared.output_names) == (("x",), ("y",))


def test_an_input_that_is_also_an_output_keeps_its_name_on_both_sides(tmp_path: Path) -> None:
    path = write_onnx(
        tmp_path / "m.onnx", [helper.make_node("Relu", ["x"], ["z"])], {"x": [1]}, {"x": [1], "z": [1]}
    )
    prepared = prepare(path)
    assert (prepared.input_names, prepared.output_names) == (("x",), ("x", "z"))


def test_an_input_keeps_its_name_through_what_does_nothing(tmp_path: Path) -> None:
    path = write_onnx(
        tmp_path / "m.onnx", [helper.make_node("Dropout", ["x"], ["y"])], {"x": [3]}, {"y": [3]}
    )
    prepared = prepare(path)
    assert (prepared.input_names, prepared.output_names) == (("x",), ("y",))


def test_an_input_with_a_default_is_none_to_clients(tmp_path: Path) -> None:
    weights = numpy_helper.from_array(np.ones(3, np.float32), "w")
    nodes = [helper.make_node("Add", ["x", "w"], ["y"])]
    path = write_onnx(tmp_path / "m.onnx", nodes, {"w": [3], "x": [3]}, {"y": [3]}, [weights])
    assert prepare(path).input_names == ("x",)


@given(st.binary(min_size=1, max_size=60))
def test_names_of_anything_are_read_or_not_and_nothing_else(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "garbage.onnx"
    path.write_bytes(content)
    inputs, outputs = read_graph_names(path)
    assert all(isinstance(name, str) for name in (*inputs, *outputs))


def test_an_operator_that_openvino_does_not_know_is_named(tmp_path: Path) -> None:
    nodes = [helper.make_node("Frobnicate", ["x"], ["y"], domain="com.example")]
    error = failure(write_onnx(tmp_path / "m.onnx", nodes, {"x": [3]}, {"y": [3]}))
    assert error.reason == FailureReason.UNSUPPORTED_OPERATOR
    assert "com.example.Frobnicate" in str(error)


def test_one_tensor_under_several_output_names_keeps_them_all_in_order(tmp_path: Path) -> None:
    nodes = [helper.make_node("Relu", ["x"], ["z"])]
    nodes += [helper.make_node("Identity", ["z"], [name]) for name in ("b", "a")]
    path = write_onnx(tmp_path / "m.onnx", nodes, {"x": [1]}, {"z": [1], "b": [1], "a": [1]})
    assert prepare(path).output_names == ("z", "b", "a")


def test_the_same_output_twice_gets_two_names(tmp_path: Path) -> None:
    assert prepare(write_identity_twice(tmp_path / "m.xml")).output_names == ("y", "y.1")


@pytest.mark.parametrize("shape", [[2, 4], [-1, 4], ["1..10", 4]])
def test_shapes_are_fixed_bounded_or_dynamic(tmp_path: Path, shape: list[Any]) -> None:
    path = write_adder(tmp_path / "m.onnx", ["batch", 4])
    prepared = prepare(path, inputs=[{"name": "x", "shape": shape}])
    (dimension, _) = prepared.model.inputs[0].get_partial_shape()
    wanted = {"2": (2, 2), "-1": (0, -1), "1..10": (1, 10)}[str(shape[0])]
    high = dimension.get_max_length()
    assert (dimension.get_min_length(), -1 if high >= 2**31 - 1 else high) == wanted


def test_inputs_and_outputs_go_by_index_too(tmp_path: Path) -> None:
    path = write_sum(tmp_path / "m.xml")
    prepared = prepare(
        path, inputs=[{"name": "1", "shape": [7]}], outputs=[{"name": "0", "elementType": "f16"}]
    )
    assert prepared.model.inputs[1].get_shape()[0] == 7
    assert prepared.model.outputs[0].get_element_type() == ov.Type.f16


def test_a_name_the_model_lacks_is_answered_with_those_it_has(tmp_path: Path) -> None:
    error = failure(write_sum(tmp_path / "m.xml"), inputs=[{"name": "data", "shape": [7]}])
    assert error.reason == FailureReason.INVALID_INPUT
    assert "spec.model.inputs[0].name" in str(error)
    assert "'data'" in str(error)
    assert "'a', 'b'" in str(error)


def test_an_index_and_a_name_of_one_input_are_told_apart_from_two(tmp_path: Path) -> None:
    error = failure(write_sum(tmp_path / "m.xml"), inputs=[{"name": "a"}, {"name": "0"}])
    assert error.reason == FailureReason.INVALID_INPUT
    assert "inputs[1].name" in str(error)


def test_a_shape_the_graph_refuses_says_what_the_model_has(tmp_path: Path) -> None:
    path = write_multiplier(tmp_path / "m.xml", np.ones((4, 2)))
    error = failure(path, inputs=[{"name": "x", "shape": [1, 5]}])
    assert error.reason == FailureReason.INVALID_SHAPE
    assert "spec.model.inputs[0].shape [1, 5] (the model has [1, 4])" in str(error)


def test_a_broken_file_is_an_invalid_model(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(b"\x08\x09 not a model")
    assert failure(path).reason == FailureReason.MODEL_INVALID


def test_ir_without_its_weights_says_which_file_is_missing(tmp_path: Path) -> None:
    path = write_adder(tmp_path / "m.xml")
    path.with_suffix(".bin").unlink()
    error = failure(path)
    assert error.reason == FailureReason.MODEL_INVALID
    assert "m.bin" in str(error)


def external(location: str) -> TensorProto:
    tensor = TensorProto(
        name="w", data_type=TensorProto.FLOAT, dims=[1, 4], data_location=TensorProto.EXTERNAL
    )
    for key, value in (("location", location), ("offset", "0"), ("length", "16")):
        tensor.external_data.add(key=key, value=value)
    return tensor


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A model's folder beside a file, and a folder of a similar name, that it must not read."""
    (tmp_path / "model").mkdir()
    (tmp_path / "model-other").mkdir()
    for name in ("secret.bin", "model-other/secret.bin", "model/own.bin"):
        (tmp_path / name).write_bytes(np.full(4, 7, np.float32).tobytes())
    (tmp_path / "model/link.bin").symlink_to("../secret.bin")
    (tmp_path / "model/folder").symlink_to("..")
    return tmp_path / "model"


@pytest.mark.parametrize(
    "location",
    ["../secret.bin", "{}/secret.bin", "link.bin", "folder/secret.bin", "../model-other/secret.bin"],
)
@pytest.mark.parametrize("where", ["initializer", "constant", "branch"])
def test_weights_outside_of_the_models_folder_are_refused(outside: Path, location: str, where: str) -> None:
    tensor = external(location.replace("{}", str(outside.parent)))
    error = failure(write_with_weights(outside / "m.onnx", tensor, where))
    assert error.reason == FailureReason.MODEL_INVALID
    assert "outside of its own folder" in str(error)


@pytest.mark.parametrize("where", ["initializer", "constant", "branch"])
def test_weights_in_the_models_folder_are_read(outside: Path, where: str) -> None:
    prepared = prepare(write_with_weights(outside / "m.onnx", external("own.bin"), where))
    assert prepared.output_names == ("y",)


def write_with_weights(path: Path, tensor: TensorProto, where: str) -> Path:
    shapes: dict[str, Any] = {"x": [1, 4]}
    if where == "initializer":
        return write_onnx(path, [helper.make_node("Add", ["x", "w"], ["y"])], shapes, {"y": [1, 4]}, [tensor])
    if where == "constant":
        nodes = [
            helper.make_node("Constant", [], ["w"], value=tensor),
            helper.make_node("Add", ["x", "w"], ["y"]),
        ]
        return write_onnx(path, nodes, shapes, {"y": [1, 4]})
    output = helper.make_tensor_value_info("b", TensorProto.FLOAT, [1, 4])
    add = helper.make_node("Add", ["x", "w"], ["b"])
    branch = helper.make_graph([add], "branch", [], [output], [tensor])
    nodes = [
        helper.make_node("ReduceSum", ["x"], ["sum"], keepdims=0),
        helper.make_node("Cast", ["sum"], ["condition"], to=TensorProto.BOOL),
        helper.make_node("If", ["condition"], ["y"], then_branch=branch, else_branch=branch),
    ]
    return write_onnx(path, nodes, shapes, {"y": [1, 4]})


@pytest.mark.parametrize(
    ("nodes", "out", "is_said"),
    [
        ([helper.make_node("Flatten", ["x"], ["y"])], TensorProto.INT64, True),
        ([helper.make_node("Identity", ["x"], ["y"])], TensorProto.INT64, True),
        (
            [helper.make_node("Flatten", ["x"], ["f"]), helper.make_node("Cast", ["f"], ["y"], to=1)],
            TensorProto.FLOAT,
            False,
        ),
    ],
    ids=["moved", "copied", "converted"],
)
def test_long_integers_that_come_out_narrowed_are_warned_of(
    tmp_path: Path, nodes: list[Any], out: int, is_said: bool
) -> None:
    x, y = (
        helper.make_tensor_value_info(name, kind, [2, 2])
        for name, kind in (("x", TensorProto.INT64), ("y", out))
    )
    model = helper.make_model(helper.make_graph(nodes, "g", [x], [y]))
    path = tmp_path / "m.onnx"
    path.write_bytes(model.SerializeToString())
    assert any("32 bits" in warning for warning in prepare(path).warnings) == is_said
