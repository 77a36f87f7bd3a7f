r"""Digests: sha256 of a file, and of a folder's manifest.

A folder's manifest has a line per file, in the order of their paths' bytes: the file's sha256 in hex, two spaces, its path
below the folder. Hidden files and folders (.git, .cache, ..data) are left out. It is what this prints:

    find -L . -name '.?*' -prune -o -type f -printf '%P\0' | LC_ALL=C sort -z | xargs -0 sha256sum --

and the digest is the sha256 of that text (`| sha256sum`).
"""

import hashlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from vinoserve_api.conditions import FailureReason
from vinoserve_runtime.errors import StartupError

Progress = Callable[[int, int | None], None]
"""Called with the bytes done and the bytes in total, None where that isn't known."""


def digest_path(path: Path, progress: Progress | None = None) -> str:
    """`sha256:…` of a file, or of a folder's manifest."""
    total = size_of(path)
    done = 0

    def count(size: int) -> None:
        nonlocal done
        done += size
        if progress:
            progress(done, total)

    if path.is_file():
        return f"sha256:{_hash_file(path, count)}"
    manifest = "".join(
        f"{_hash_file(file, count)}  {name}\n" for name, file in sorted(list_files(path), key=_by_bytes)
    )
    return f"sha256:{hashlib.sha256(manifest.encode(errors='surrogateescape')).hexdigest()}"


def size_of(path: Path) -> int:
    """Bytes of a file, or of the files in a folder's manifest."""
    return path.stat().st_size if path.is_file() else sum(file.stat().st_size for _, file in list_files(path))


def list_files(root: Path) -> Iterator[tuple[str, Path]]:
    """(path below root with /, path) of every file that isn't hidden.

    Symbolic links to files are followed as long as they stay below `root`; raises ModelInvalid where one doesn't, or leads
    to a folder.
    """
    inside = root.resolve()
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in [*folders, *names]:
            path = Path(folder) / name
            if name.startswith(".") or not path.is_symlink():
                continue
            if not path.resolve().is_relative_to(inside) or path.is_dir():
                raise StartupError(
                    FailureReason.MODEL_INVALID,
                    f"{path} is a symbolic link to {path.readlink()}: links in a model's folder must lead to files in it",
                )
        for name in sorted(names):
            path = Path(folder) / name
            if not name.startswith(".") and path.is_file():
                yield path.relative_to(root).as_posix(), path


def _hash_file(path: Path, count: Callable[[int], None]) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
            count(len(block))
    return digest.hexdigest()


def _by_bytes(item: tuple[str, Path]) -> bytes:
    return os.fsencode(item[0])
