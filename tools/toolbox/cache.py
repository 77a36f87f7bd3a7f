"""The user's cache folder: what is made once is made whole, kept under a key of what it was made from, and shared."""

import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


def cache_root() -> Path:
    """$VINOSERVE_CACHE, else the folder `vinoserve` in the user's cache folder (XDG)."""
    if own := os.environ.get("VINOSERVE_CACHE"):
        return Path(own).absolute()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache").absolute() / "vinoserve"


def make_key(*parts: object) -> str:
    """16 hex digits for what something is made from. A Path stands for its contents: a file, or every file below a folder."""
    digest = hashlib.sha256()
    for part in parts:
        if not isinstance(part, Path):
            digest.update(repr(part).encode())
            continue
        for file in sorted(part.rglob("*")) if part.is_dir() else [part]:
            if file.is_file() and "__pycache__" not in file.parts:
                digest.update(
                    repr(
                        (str(file.relative_to(part)), hashlib.sha256(file.read_bytes()).hexdigest())
                    ).encode()
                )
    return digest.hexdigest()[:16]


@contextmanager
def lock(path: Path) -> Iterator[None]:
    """Hold `path` against other processes; the lock ends with the process, whatever ends it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def make_once(dest: Path, fill: Callable[[Path], None]) -> Path:
    """`dest`, made by `fill(temporary path)` where it is not there yet.

    It appears whole or not at all, so an interrupted run leaves nothing that looks finished. `fill` may make a file or
    a folder.
    """
    if dest.exists():
        return dest
    with lock(dest.parent / ".lock"):
        if dest.exists():
            return dest
        with tempfile.TemporaryDirectory(
            prefix=f".{dest.name}.", dir=dest.parent, ignore_cleanup_errors=True
        ) as work:
            made = Path(work) / dest.name
            fill(made)
            made.rename(dest)
    return dest


def remove(path: Path) -> None:
    """Remove a file or a folder, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
