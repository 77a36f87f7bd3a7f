"""Of a repository with everything in it, what a model needs is fetched, and no pickle ever."""

from hypothesis import given
from hypothesis import strategies as st

from vinoserve_runtime.model.sources.address import HubAddress, ObjectAddress, parse_hub, parse_object
from vinoserve_runtime.model.sources.choose import choose_files, list_companions

names = st.text(alphabet="abcXYZ019._- %äé~+@:", min_size=1, max_size=8)


def test_a_mixed_repository_is_narrowed_down() -> None:
    wanted = {
        "openvino/openvino_model.xml",
        "openvino/openvino_model.bin",
        "onnx/model.onnx",
        "onnx/model.onnx_data",
        "onnx/weights_0",
        "paddle/inference.pdmodel",
        "paddle/inference.pdiparams",
        "tf/saved_model.pb",
        "tf/variables/variables.index",
        "tf/variables/variables.data-00000-of-00001",
        "model.tflite",
        "config.json",
        "vocab.txt",
    }
    others = {
        "pytorch_model.bin",
        "openvino/other.bin",
        "model.safetensors",
        "model.pt",
        "rf.pkl",
        "Model.PTH",
        "tf_model.h5",
        "flax_model.msgpack",
        "README.md",
        ".gitattributes",
        ".cache/model.xml",
        "onnx/.hidden",
        "sample.jpg",
        "train.py",
    }
    assert set(choose_files(wanted | others)) == wanted


def test_weights_lie_beside() -> None:
    assert "a/m.bin" in list_companions("a/m.xml")
    assert "a/m.onnx_data" in list_companions("a/m.onnx")
    assert list_companions("a/m.pdmodel") == ("a/m.pdiparams",)
    assert list_companions("m.tflite") == ()


@given(st.lists(names, max_size=5))
def test_what_is_chosen_was_there_and_can_be_chosen_again(paths: list[str]) -> None:
    chosen = choose_files(paths)
    assert set(chosen) <= set(paths)
    assert choose_files(chosen) == chosen


def test_addresses() -> None:
    assert parse_object("s3://models/a%20b/m.xml") == ObjectAddress("models", "a b/m.xml")
    assert parse_object("az://models") == ObjectAddress("models", "")
    assert parse_hub("hf://O/n") == HubAddress("O/n", "main", "")
    assert parse_hub("hf://O/n/onnx/m.onnx") == HubAddress("O/n", "main", "onnx/m.onnx")
    assert parse_hub("hf://O/n@refs%2Fpr%2F7/onnx/") == HubAddress("O/n", "refs/pr/7", "onnx")
