"""One model among files: told apart, or the candidates named."""

from pathlib import Path

import pytest

from tests.models import write_adder
from vinoserve_api.conditions import FailureReason
from vinoserve_runtime.errors import StartupError
from vinoserve_runtime.model.find import find_model


def test_the_one_model_of_a_folder_is_found_wherever_it_is(tmp_path: Path) -> None:
    (tmp_path / "deep/er").mkdir(parents=True)
    path = write_adder(tmp_path / "deep/er/m.xml")
    (tmp_path / "README.md").write_text("hello")
    (tmp_path / "labels.xml").write_text("<labels/>")
    (tmp_path / ".hidden.onnx").write_bytes(b"\x08")
    assert find_model(tmp_path, None) == (path, "openvino")


def test_several_models_are_named_and_a_format_can_decide(tmp_path: Path) -> None:
    write_adder(tmp_path / "a.xml")
    write_adder(tmp_path / "b.onnx")
    with pytest.raises(StartupError, match=r"2 models in .*a\.xml, b\.onnx.*spec\.model\.format") as caught:
        find_model(tmp_path, None)
    assert caught.value.reason == FailureReason.MODEL_INVALID
    assert find_model(tmp_path, "onnx") == (tmp_path / "b.onnx", "onnx")


def test_a_folder_without_a_model_says_what_it_holds(tmp_path: Path) -> None:
    (tmp_path / "weights.pt").write_bytes(b"x")
    with pytest.raises(StartupError, match=r"no OpenVINO IR .* weights\.pt") as caught:
        find_model(tmp_path, None)
    assert caught.value.reason == FailureReason.MODEL_NOT_FOUND


def test_a_file_without_a_telling_name_is_told_by_its_content(tmp_path: Path) -> None:
    onnx = write_adder(tmp_path / "m.onnx").rename(tmp_path / "model")
    assert find_model(onnx, None) == (onnx, "onnx")


def test_other_formats_are_refused_with_those_that_are_served(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    path.write_bytes(b"\x80\x02}q")
    with pytest.raises(StartupError, match=r"neither OpenVINO IR .* nor ONNX") as caught:
        find_model(path, None)
    assert caught.value.reason == FailureReason.MODEL_INVALID


def test_a_link_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "secret.onnx").write_bytes(b"\x08")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder/m.onnx").symlink_to("../secret.onnx")
    with pytest.raises(StartupError, match="symbolic link") as caught:
        find_model(tmp_path / "folder", None)
    assert caught.value.reason == FailureReason.MODEL_INVALID


def test_a_mounted_configmap_is_one_model(tmp_path: Path) -> None:
    (tmp_path / "..2026").mkdir()
    write_adder(tmp_path / "..2026/m.onnx")
    (tmp_path / "..data").symlink_to("..2026")
    (tmp_path / "m.onnx").symlink_to("..data/m.onnx")
    assert find_model(tmp_path, None) == (tmp_path / "m.onnx", "onnx")
