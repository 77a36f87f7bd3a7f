"""Which file of a file or folder is the model, and in which format."""

from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Final

from vinoserve_api.conditions import FailureReason
from vinoserve_api.v1alpha1 import ModelFormat
from vinoserve_runtime.errors import StartupError
from vinoserve_runtime.model.digest import list_files
from vinoserve_runtime.model.kinds import (
    SAVED_MODEL,
    SUFFIXES,
    TITLES,
    format_of_content,
    format_of_name,
    is_of_kind,
)
from vinoserve_runtime.model.unconverted import explain_unconverted

_SHOWN: Final = 10


def find_model(root: Path, wanted: ModelFormat | None, shown: str) -> tuple[Path, ModelFormat]:
    """The one model at `root`, a file or a folder; of a SavedModel it is the path of its saved_model.pb. `shown`: what users call it.

    Raises ModelNotFound, or ModelInvalid: several candidates, which it names, or a format that isn't served, with what to do.
    """
    if root.is_file():
        return root, wanted or tell_format(root, root.name)
    files = sorted(list_files(root))
    candidates = [
        (path, found)
        for name, path in _without_inner_files(files)
        if (found := format_of_name(name)) is not None and wanted in (None, found)
        if found not in ("openvino", "tensorflow") or _is_filled(path, found)
    ]
    if not candidates:
        raise _none_found(shown, wanted, files)
    if len(candidates) > 1:
        names = _listed([path.relative_to(root).as_posix() for path, _ in candidates])
        formats = {found for _, found in candidates}
        or_format = ", or say spec.model.format" if len(formats) == len(candidates) else ""
        raise StartupError(
            FailureReason.MODEL_INVALID,
            f"{len(candidates)} models in {shown}: {names}; publish one, or let spec.model.uri name one{or_format}",
        )
    return candidates[0]


def tell_format(path: Path, name: str) -> ModelFormat:
    """The format of a single file, told from its name and, where that says nothing, from its content."""
    known = format_of_name(name)
    if known is not None:
        return known
    if explained := explain_unconverted(name, path):
        raise StartupError(FailureReason.MODEL_INVALID, f"{name} {explained}")
    found = format_of_content(path)
    if found is not None:
        return found
    raise StartupError(
        FailureReason.MODEL_INVALID, f"{name} is none of {_all_titles()}: convert it to one of them"
    )


def _without_inner_files(files: Sequence[tuple[str, Path]]) -> list[tuple[str, Path]]:
    """Without what lies in a SavedModel's folder: its variables, its assets, and messages about it that end in .pb too."""
    paths = [PurePosixPath(name) for name, _ in files]
    folders = [path.parent for path in paths if path.name == SAVED_MODEL]
    return [
        file
        for path, file in zip(paths, files, strict=True)
        if path.name == SAVED_MODEL or not any(_is_inner(path, folder) for folder in folders)
    ]


def _is_inner(path: PurePosixPath, folder: PurePosixPath) -> bool:
    if path.parent == folder:
        return path.suffix == SUFFIXES["tensorflow"]
    return path.is_relative_to(folder / "variables") or path.is_relative_to(folder / "assets")


def _is_filled(path: Path, found: ModelFormat) -> bool:
    """Other things are kept in .xml and .pb files too: labels, test data."""
    return path.stat().st_size > 0 and (path.name == SAVED_MODEL or is_of_kind(path, found))


def _none_found(shown: str, wanted: ModelFormat | None, files: Sequence[tuple[str, Path]]) -> StartupError:
    for name, path in files:
        if wanted is None and (explained := explain_unconverted(name, path)):
            return StartupError(FailureReason.MODEL_INVALID, f"no model in {shown}: {name} {explained}")
    listed = _listed([name for name, _ in files]) or "it is empty"
    title = TITLES[wanted] if wanted else _all_titles()
    return StartupError(FailureReason.MODEL_NOT_FOUND, f"no {title} model in {shown}: {listed}")


def _all_titles() -> str:
    *most, last = (TITLES[kind] for kind in SUFFIXES)
    return f"{', '.join(most)} and {last}"


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(sorted(names)[:_SHOWN]) + more
