"""Read a model file with OpenVINO."""

import re
from pathlib import Path
from typing import Any, Final

from vinoserve_api.conditions import FailureReason
from vinoserve_runtime.errors import StartupError
from vinoserve_runtime.model.onnx_names import has_graph
from vinoserve_runtime.ov_errors import explain, make_startup_error

#: OpenVINO itself refuses external data that resolves to a place outside the model's folder, symbolic links included.
_OUTSIDE: Final = re.compile(r"outside the base directory")

_HEAD_BYTES: Final = 4096


def read_model(core: Any, path: Path) -> Any:
    """Raises StartupError: ModelNotFound, ModelInvalid, UnsupportedOperator, OutOfMemory."""
    if not path.is_file():
        raise StartupError(FailureReason.MODEL_NOT_FOUND, f"{path} is not there")
    _check_kind(path)
    weights = path.with_suffix(".bin")
    try:
        return core.read_model(str(path))
    except Exception as error:
        if path.suffix == ".xml" and not weights.exists():
            raise StartupError(
                FailureReason.MODEL_INVALID,
                f"{path.name} has no {weights.name} beside it: publish both in one archive (.tar.gz, .zip) or one folder",
            ) from error
        if _OUTSIDE.search(str(error)):
            raise StartupError(
                FailureReason.MODEL_INVALID,
                f"{path.name} keeps weights outside of its own folder, which is refused: {explain(error)}",
            ) from error
        known = make_startup_error(error, FailureReason.MODEL_INVALID, f"{path.name} can't be read")
        if known.reason not in (FailureReason.OUT_OF_MEMORY, FailureReason.UNSUPPORTED_OPERATOR):
            known = StartupError(FailureReason.MODEL_INVALID, str(known))
        raise known from error


def _check_kind(path: Path) -> None:
    """Whether the file is of its kind at all. OpenVINO would try one frontend after the other, and each prints its complaints."""
    if not path.stat().st_size:
        raise StartupError(FailureReason.MODEL_INVALID, f"{path.name} is empty")
    if path.suffix == ".onnx" and not has_graph(path):
        raise StartupError(
            FailureReason.MODEL_INVALID,
            f"{path.name} is not ONNX: there is no graph in it; is the file whole?",
        )
    if path.suffix == ".xml":
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
        if b"<net" not in head:
            raise StartupError(
                FailureReason.MODEL_INVALID, f"{path.name} is not OpenVINO IR: it doesn't begin with <net"
            )
