"""Read a model file with OpenVINO."""

import re
from pathlib import Path
from typing import Any, Final

from vinoserve_api.conditions import FailureReason
from vinoserve_api.v1alpha1 import ModelFormat
from vinoserve_runtime.errors import StartupError
from vinoserve_runtime.model.find import tell_format
from vinoserve_runtime.model.kinds import SAVED_MODEL, SUFFIXES, TITLES, is_of_kind
from vinoserve_runtime.ov_errors import explain, make_startup_error

#: OpenVINO itself refuses external data that resolves to a place outside the model's folder, symbolic links included.
_OUTSIDE: Final = re.compile(r"outside the base directory")

#: What OpenVINO looks for beside a file of these.
_WEIGHTS: Final[dict[ModelFormat, str]] = {"openvino": ".bin", "paddle": ".pdiparams"}

#: OpenVINO tells these from the file's suffix alone.
_NEEDS_SUFFIX: Final = ("paddle", "tensorflow", "tflite")


def read_model(core: Any, path: Path, wanted: ModelFormat | None = None) -> Any:
    """The graph in a file that `find_model` found. Raises StartupError: ModelNotFound, ModelInvalid, UnsupportedOperator, OutOfMemory."""
    if not path.is_file():
        raise StartupError(FailureReason.MODEL_NOT_FOUND, f"{path} is not there")
    if not path.stat().st_size:
        raise StartupError(FailureReason.MODEL_INVALID, f"{path.name} is empty")
    kind = wanted or tell_format(path, path.name)
    _check_kind(path, kind)
    try:
        return core.read_model(str(path.parent if path.name == SAVED_MODEL else path))
    except Exception as error:
        raise _explain_failure(path, kind, error) from error


def _check_kind(path: Path, kind: ModelFormat) -> None:
    """Whether the file is of its kind at all. OpenVINO would try one frontend after the other, and each prints its complaints."""
    if not is_of_kind(path, kind):
        raise StartupError(
            FailureReason.MODEL_INVALID,
            f"{path.name} is not {TITLES[kind]}: its content is not such a model; is the file whole?",
        )
    if kind in _NEEDS_SUFFIX and path.suffix != SUFFIXES[kind]:
        raise StartupError(
            FailureReason.MODEL_INVALID,
            f"{path.name} is {TITLES[kind]} under a name that OpenVINO doesn't know it by: let it end in {SUFFIXES[kind]}",
        )


def _explain_failure(path: Path, kind: ModelFormat, error: Exception) -> StartupError:
    weights = path.with_suffix(_WEIGHTS[kind]) if kind in _WEIGHTS else path
    if not weights.exists():
        return StartupError(
            FailureReason.MODEL_INVALID,
            f"{path.name} has no {weights.name} beside it: publish both in one archive (.tar.gz, .zip) or one folder",
        )
    if path.name == SAVED_MODEL and not (path.parent / "variables").is_dir():
        return StartupError(
            FailureReason.MODEL_INVALID,
            f"{path.name} has no variables/ beside it: publish the SavedModel's whole folder, as it is or in one archive "
            f"(.tar.gz, .zip): {explain(error)}",
        )
    if _OUTSIDE.search(str(error)):
        return StartupError(
            FailureReason.MODEL_INVALID,
            f"{path.name} keeps weights outside of its own folder, which is refused: {explain(error)}",
        )
    known = make_startup_error(error, FailureReason.MODEL_INVALID, f"{path.name} can't be read")
    if known.reason not in (FailureReason.OUT_OF_MEMORY, FailureReason.UNSUPPORTED_OPERATOR):
        known = StartupError(FailureReason.MODEL_INVALID, str(known))
    return known
