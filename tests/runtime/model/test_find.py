"""One model among files: told apart, or the candidates named."""

import contextlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import numpy_helper

from tests.models import write_adder
from tests.tensorflow_graphs import write_frozen, write_saved_model
from vinoserve_api.conditions import FailureReason
from vinoserve_api.v1alpha1.values import ModelFormat
from vinoserve_runtime.errors import StartupError
from vinoserve_runtime.model.find import find_model, tell_format
from vinoserve_runtime.model.kinds import SUFFIXES

URI = "https://models.example/resnet.tar"


def find(root: Path, wanted: ModelFormat | None) -> tuple[Path, ModelFormat]:
    return find_model(root, wanted, URI)


def test_the_one_model_of_a_folder_is_found_wherever_it_is(tmp_path: Path) -> None:
    (tmp_path / "deep/er").mkdir(parents=True)
    path = write_adder(tmp_path / "deep/er/m.xml")
    (tmp_path / "README.md").write_text("hello")
    (tmp_path / "labels.xml").write_text("<labels/>")
    (tmp_path / ".hidden.onnx").write_bytes(b"\x08")
    assert find(tmp_path, None) == (path, "openvino")


def test_several_models_are_named_and_a_format_can_decide(tmp_path: Path) -> None:
    write_adder(tmp_path / "a.xml")
    write_adder(tmp_path / "b.onnx")
    with pytest.raises(
        StartupError, match=rf"2 models in {URI}: a\.xml, b\.onnx.*spec\.model\.format"
    ) as caught:
        find(tmp_path, None)
    assert caught.value.reason == FailureReason.MODEL_INVALID
    assert find(tmp_path, "onnx") == (tmp_path / "b.onnx", "onnx")


def test_a_folder_without_a_model_says_what_it_holds(tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_text("cat")
    with pytest.raises(StartupError, match=r"no OpenVINO IR .* labels\.txt") as caught:
        find(tmp_path, None)
    assert caught.value.reason == FailureReason.MODEL_NOT_FOUND


def test_a_file_without_a_telling_name_is_told_by_its_content(tmp_path: Path) -> None:
    onnx = write_adder(tmp_path / "m.onnx").rename(tmp_path / "model")
    assert find(onnx, None) == (onnx, "onnx")


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("model.pt", b"x", "PyTorch or Python pickle.*torch.onnx.export"),
        ("model.pkl", b"x", "pickle"),
        ("pytorch_model.bin", b"x", "pickle"),
        ("model", b"\x80\x02}q", "pickle"),
        ("model", b"\x80\x05}q", "pickle"),
        ("model.keras", b"x", r"model\.export\(FOLDER\)"),
        ("weights", b"\x89HDF\r\n\x1a\n", r"model\.export\(FOLDER\)"),
        ("model.safetensors", b"x", "weights alone.*optimum-cli export openvino"),
        ("inference.json", b'{"base_code":{"magic":"pir","version":1},"program":{', "FLAGS_enable_pir_api=0"),
        ("inference.pdiparams", b"x", r"weights alone: publish the \.pdmodel with it"),
        ("model.ckpt", b"x", "SavedModel"),
        ("model.engine", b"x", "compiled for another runtime"),
        ("model.gguf", b"GGUF", "GGUF"),
    ],
)
@pytest.mark.parametrize("in_folder", [False, True])
def test_what_is_not_converted_is_refused_with_what_to_do(
    tmp_path: Path, name: str, content: bytes, said: str, in_folder: bool
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(StartupError, match=f"{name} .*{said}") as caught:
        find(tmp_path if in_folder else tmp_path / name, None)
    assert caught.value.reason == FailureReason.MODEL_INVALID


def test_paddles_newer_format_is_told_from_its_weights_too(tmp_path: Path) -> None:
    (tmp_path / "inference.json").write_text("{}")
    (tmp_path / "inference.pdiparams").write_bytes(b"x")
    with pytest.raises(StartupError, match=r"\.pdmodel.*paddle2onnx"):
        find(tmp_path, None)


def test_a_file_of_no_known_kind_is_answered_with_those_that_are_served(tmp_path: Path) -> None:
    (tmp_path / "model.dat").write_bytes(b"hello")
    with pytest.raises(StartupError, match=r"none of OpenVINO IR .* and TensorFlow Lite") as caught:
        find(tmp_path / "model.dat", None)
    assert caught.value.reason == FailureReason.MODEL_INVALID


def test_a_saved_models_folder_is_one_model_with_all_that_lies_in_it(tmp_path: Path) -> None:
    folder = write_saved_model(tmp_path / "export/1")
    for name in (
        "variables/variables.index",
        "assets/vocabulary.onnx",
        "keras_metadata.pb",
        "fingerprint.pb",
    ):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(b"x")
    assert find(tmp_path, None) == (folder / "saved_model.pb", "tensorflow")
    assert find(tmp_path, "tensorflow") == (folder / "saved_model.pb", "tensorflow")
    write_adder(tmp_path / "m.onnx")
    with pytest.raises(StartupError, match=r"export/1/saved_model\.pb, m\.onnx.*spec\.model\.format"):
        find(tmp_path, None)


def test_a_frozen_graph_is_told_from_other_messages(tmp_path: Path) -> None:
    graph = write_frozen(tmp_path / "graph.pb")
    (tmp_path / "test_data_set_0").mkdir()
    tensor = numpy_helper.from_array(np.ones((1, 3), np.float32), "input_0")
    (tmp_path / "test_data_set_0/input_0.pb").write_bytes(tensor.SerializeToString())
    assert find(tmp_path, None) == (graph, "tensorflow")


@pytest.mark.parametrize(
    ("content", "found"),
    [(b"\x1c\0\0\0TFL3....", "tflite"), (b"<?xml version='1.0'?><net name='m'>", "openvino")],
)
def test_downloads_without_a_suffix_are_told_by_their_content(
    tmp_path: Path, content: bytes, found: str
) -> None:
    (tmp_path / "model").write_bytes(content)
    assert tell_format(tmp_path / "model", "model") == found


def test_tensorflow_graphs_without_a_suffix_are_told_by_their_content(tmp_path: Path) -> None:
    assert tell_format(write_frozen(tmp_path / "model"), "model") == "tensorflow"


@given(st.binary(min_size=1, max_size=80))
def test_the_content_of_anything_is_told_or_refused(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "anything"
    path.write_bytes(content)
    with contextlib.suppress(StartupError):
        assert tell_format(path, path.name) in SUFFIXES


def test_a_link_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "secret.onnx").write_bytes(b"\x08")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder/m.onnx").symlink_to("../secret.onnx")
    with pytest.raises(StartupError, match="symbolic link") as caught:
        find(tmp_path / "folder", None)
    assert caught.value.reason == FailureReason.MODEL_INVALID


def test_a_mounted_configmap_is_one_model(tmp_path: Path) -> None:
    (tmp_path / "..2026").mkdir()
    write_adder(tmp_path / "..2026/m.onnx")
    (tmp_path / "..data").symlink_to("..2026")
    (tmp_path / "m.onnx").symlink_to("..data/m.onnx")
    assert find(tmp_path, None) == (tmp_path / "m.onnx", "onnx")
