"""Layers of an image, laid over each other: later ones replace, and take away by whiteouts."""

import shutil
from pathlib import Path
from typing import Final

from vinoserve_runtime.model.unpack import unpack
from vinoserve_runtime.model.volume import ModelVolume

_WHITEOUT: Final = ".wh."
_OPAQUE: Final = ".wh..wh..opq"


def apply_layer(archive: Path, tree: Path, volume: ModelVolume) -> None:
    """Unpack `archive` over the folder `tree`, which is made where it is missing. Raises UnsafeArchive, DiskFull."""
    work = tree.with_name(tree.name + ".layer")
    shutil.rmtree(work, ignore_errors=True)
    unpack(archive, work, volume)
    try:
        tree.mkdir(parents=True, exist_ok=True)
        _take_away(work, tree)
        _move(work, tree)
    finally:
        shutil.rmtree(work)


def _take_away(layer: Path, tree: Path) -> None:
    """What a whiteout names goes, and its mark with it."""
    for mark in [path for path in layer.rglob(f"{_WHITEOUT}*") if path.is_file()]:
        folder = tree / mark.parent.relative_to(layer)
        if mark.name == _OPAQUE:
            shutil.rmtree(folder, ignore_errors=True)
        elif name := mark.name.removeprefix(_WHITEOUT):
            _remove(folder / name)
        mark.unlink()


def _move(layer: Path, tree: Path) -> None:
    for path in sorted(layer.iterdir()):
        target = tree / path.name
        if path.is_dir() and target.is_dir():
            _move(path, target)
            continue
        _remove(target)
        path.rename(target)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
