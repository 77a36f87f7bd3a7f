"""What each format's files look like from outside: suffixes, first bytes, and what takes part beside the file that is named.

Nothing here loads a model. OpenVINO tries one frontend after the other on a file, and each prints its complaints: a file that
is not of its kind is told before.
"""

import mmap
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Final

from vinoserve_api.v1alpha1 import ModelFormat
from vinoserve_runtime.model.protobuf import Span, fields

SAVED_MODEL: Final = "saved_model.pb"

#: The suffix that OpenVINO tells a format from. Of TensorFlow a file with this suffix is a frozen graph, unless it is named
#: saved_model.pb: then the folder around it is the model.
SUFFIXES: Final[dict[ModelFormat, str]] = {
    "openvino": ".xml",
    "onnx": ".onnx",
    "paddle": ".pdmodel",
    "tensorflow": ".pb",
    "tflite": ".tflite",
}
TITLES: Final[dict[ModelFormat, str]] = {
    "openvino": "OpenVINO IR (.xml)",
    "onnx": "ONNX (.onnx)",
    "paddle": "PaddlePaddle (.pdmodel)",
    "tensorflow": "TensorFlow (a SavedModel's folder, or a frozen .pb)",
    "tflite": "TensorFlow Lite (.tflite)",
}
_FORMATS: Final = {suffix: found for found, suffix in SUFFIXES.items()}

_HEAD_BYTES: Final = 4096
_GRAPH: Final = 7  # onnx.proto: ModelProto.graph
_NODE, _NODE_NAME, _NODE_OP = 1, 1, 2  # graph.proto: GraphDef.node, NodeDef.name and .op
_META_GRAPHS: Final = 2  # saved_model.proto: SavedModel.meta_graphs
_BLOCKS: Final = 1  # framework.proto: ProgramDesc.blocks
_BLOCK_OPS: Final = 4  # BlockDesc.ops


def format_of_name(name: str) -> ModelFormat | None:
    return _FORMATS.get(PurePosixPath(name).suffix)


def is_of_kind(path: Path, kind: ModelFormat) -> bool:
    """Whether the content of a file that isn't empty is what its format begins with or consists of."""
    return _CHECKS[kind](path)


def format_of_content(path: Path) -> ModelFormat | None:
    """For a file whose name says nothing."""
    if not path.stat().st_size:
        return None
    return next((kind for kind, check in _CHECKS.items() if check(path)), None)


def list_parts(path: Path) -> tuple[Path, ...]:
    """The model's file, and what belongs to it beside: weights, or the rest of a SavedModel's folder."""
    if path.name == SAVED_MODEL:
        rest = [file for file in sorted((path.parent / "variables").glob("*")) if file.is_file()]
    else:
        weights = {".xml": ".bin", ".pdmodel": ".pdiparams"}.get(path.suffix)
        beside = path.with_suffix(weights) if weights else path
        rest = [beside] if beside != path and beside.is_file() else []
    return (path, *rest)


def _is_ir(path: Path) -> bool:
    return b"<net" in _head(path)


def _is_onnx(path: Path) -> bool:
    return _is_message(path, lambda data: any(fields(data, (0, len(data)), _GRAPH)))


def _is_tflite(path: Path) -> bool:
    return _head(path)[4:8] == b"TFL3"


def _is_tensorflow(path: Path) -> bool:
    return _is_message(path, _has_meta_graph if path.name == SAVED_MODEL else _has_nodes)


def _is_paddle(path: Path) -> bool:
    return _is_message(path, _has_blocks)


_CHECKS: Final[dict[ModelFormat, Callable[[Path], bool]]] = {
    "tflite": _is_tflite,
    "openvino": _is_ir,
    "onnx": _is_onnx,
    "tensorflow": _is_tensorflow,
    "paddle": _is_paddle,
}


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(_HEAD_BYTES)


def _is_message(path: Path, check: Callable[[mmap.mmap], bool]) -> bool:
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        try:
            return check(data)
        except (IndexError, UnicodeDecodeError, ValueError):
            return False


def _has_meta_graph(data: mmap.mmap) -> bool:
    return any(fields(data, (0, len(data)), _META_GRAPHS))


def _has_nodes(data: mmap.mmap) -> bool:
    """A GraphDef: its first node has a name and an operation, in words."""
    for _, node in fields(data, (0, len(data)), _NODE):
        texts = dict(fields(data, node, _NODE_NAME, _NODE_OP))
        return set(texts) == {_NODE_NAME, _NODE_OP} and all(_text(data, span) for span in texts.values())
    return False


def _has_blocks(data: mmap.mmap) -> bool:
    """A ProgramDesc: its first block has operations."""
    return any(any(fields(data, block, _BLOCK_OPS)) for _, block in fields(data, (0, len(data)), _BLOCKS))


def _text(data: mmap.mmap, span: Span) -> bool:
    return bytes(data[span[0] : span[1]]).decode().isprintable() and span[1] > span[0]
