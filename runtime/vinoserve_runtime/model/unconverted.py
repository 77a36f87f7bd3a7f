"""Formats that OpenVINO doesn't read, or that nobody should: what they are, and what to do instead."""

from pathlib import Path, PurePosixPath
from typing import Final

_PYTORCH: Final = (
    "is a PyTorch or Python pickle, which runs code when it is loaded and so is never loaded here: export the model to ONNX "
    "(torch.onnx.export) or to OpenVINO IR (openvino.convert_model, then openvino.save_model)"
)
_KERAS: Final = "is a Keras file, which OpenVINO doesn't read: write a SavedModel with model.export(FOLDER), and publish that folder"
_WEIGHTS: Final = "holds weights alone, without the graph: export the model to OpenVINO IR (optimum-cli export openvino) or to ONNX"
_PIR: Final = (
    "is of PaddlePaddle's newer format (PIR), which OpenVINO doesn't read: export the model with FLAGS_enable_pir_api=0, "
    "which writes a .pdmodel, or convert it to ONNX with paddle2onnx"
)
_PADDLE_WEIGHTS: Final = "holds PaddlePaddle's weights alone: publish the .pdmodel with it, both named alike, in one folder or archive"
_CHECKPOINT: Final = "belongs to a TensorFlow checkpoint, which OpenVINO doesn't read by itself: write a SavedModel, and publish its folder"
_ENGINE: Final = "is compiled for another runtime's devices: publish the ONNX model that it was compiled from"
_COREML: Final = "is a Core ML model: publish the model that it was converted from, as ONNX or a SavedModel"
_GGUF: Final = "is a GGUF file, made for servers of language models: export the model to OpenVINO IR (optimum-cli export openvino)"

_BY_SUFFIX: Final = {
    **dict.fromkeys((".pt", ".pth", ".pkl", ".pickle", ".joblib", ".torchscript", ".jit"), _PYTORCH),
    **dict.fromkeys((".h5", ".hdf5", ".keras"), _KERAS),
    ".safetensors": _WEIGHTS,
    ".pdiparams": _PADDLE_WEIGHTS,
    **dict.fromkeys((".ckpt", ".meta"), _CHECKPOINT),
    **dict.fromkeys((".engine", ".plan"), _ENGINE),
    ".mlmodel": _COREML,
    ".gguf": _GGUF,
}
_BY_HEAD: Final = (
    (b"\x80\x02", _PYTORCH),
    (b"\x80\x03", _PYTORCH),
    (b"\x80\x04", _PYTORCH),
    (b"\x80\x05", _PYTORCH),
    (b"\x89HDF\r\n", _KERAS),
    (b"GGUF", _GGUF),
)
_HEAD_BYTES: Final = 4096


def explain_unconverted(name: str, path: Path) -> str | None:
    """What follows the file's name in a sentence, or None where it is nothing known. Only the first bytes are read."""
    suffix = PurePosixPath(name).suffix.lower()
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    if suffix == ".json" and b'"base_code"' in head:
        return _PIR
    if suffix == ".pdiparams" and path.with_suffix(".json").is_file():
        return _PIR
    if suffix == ".bin" and PurePosixPath(name).name.startswith("pytorch_model"):
        return _PYTORCH
    return _BY_SUFFIX.get(suffix) or next((text for magic, text in _BY_HEAD if head.startswith(magic)), None)
