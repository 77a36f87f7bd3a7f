"""Which file of a file or folder is the model, and in which format."""

from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Final

from vinoserve_api.conditions import FailureReason
from vinoserve_api.v1alpha1 import ModelFormat
from vinoserve_runtime.errors import StartupError
from vinoserve_runtime.model.digest import list_files

_SUFFIXES: Final[dict[str, ModelFormat]] = {".xml": "openvino", ".onnx": "onnx"}
_SHOWN: Final = 10


def find_model(root: Path, wanted: ModelFormat | None) -> tuple[Path, ModelFormat]:
    """The one model at `root`. Raises ModelNotFound, or ModelInvalid that names the candidates where there are several."""
    if root.is_file():
        return root, wanted or tell_format(root, root.name)
    candidates = [
        (path, found)
        for name, path in list_files(root)
        if (found := _SUFFIXES.get(path.suffix)) is not None and wanted in (None, found)
        if found != "openvino" or _is_ir(path)
    ]
    if not candidates:
        what = {
            "openvino": "OpenVINO IR (.xml)",
            "onnx": "ONNX (.onnx)",
            None: "OpenVINO IR (.xml) or ONNX (.onnx)",
        }
        files = _listed([name for name, _ in list_files(root)]) or "it is empty"
        raise StartupError(FailureReason.MODEL_NOT_FOUND, f"no {what[wanted]} model in {root.name}: {files}")
    if len(candidates) > 1:
        names = _listed([path.relative_to(root).as_posix() for path, _ in candidates])
        formats = {found for _, found in candidates}
        or_format = ", or say spec.model.format" if len(formats) == len(candidates) else ""
        raise StartupError(
            FailureReason.MODEL_INVALID,
            f"{len(candidates)} models in {root.name}: {names}; publish one, or let spec.model.uri name one{or_format}",
        )
    return candidates[0]


def tell_format(path: Path, name: str) -> ModelFormat:
    """The format of a single file, told from its name and, where that says nothing, its first bytes."""
    known = _SUFFIXES.get(PurePosixPath(name).suffix)
    if known is not None:
        return known
    with path.open("rb") as file:
        head = file.read(1024)
    if head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith((b"<?xml", b"<net")):
        return "openvino"
    if head[:1] == b"\x08":  # protobuf: field 1, ir_version
        return "onnx"
    raise StartupError(
        FailureReason.MODEL_INVALID,
        f"{name} is neither OpenVINO IR (.xml) nor ONNX (.onnx): convert it to one of them; "
        "other formats are not served",
    )


def _is_ir(path: Path) -> bool:
    with path.open("rb") as file:
        return b"<net" in file.read(4096)


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(sorted(names)[:_SHOWN]) + more
