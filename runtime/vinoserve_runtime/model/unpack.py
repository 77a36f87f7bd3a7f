"""Unpack an archive that nobody vouches for: plain files and folders only, nothing outside, nothing half done.

Members are written one by one through their own bytes; `extractall` is never called, because its filters are missing from
the Python of some distributions (3.11.2), and let links and huge members through.
"""

import errno
import lzma
import shutil
import stat
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO, Final

from vinoserve_api.conditions import FailureReason
from vinoserve_runtime.errors import StartupError
from vinoserve_runtime.model.volume import BLOCK_BYTES, ModelVolume, blocks_of

MAX_RATIO: Final = 1000
"""Unpacked bytes per packed byte; deflate can't do better than 1,032, and weights don't come near."""
ALWAYS_ALLOWED: Final = 16 * 2**20
"""Bytes that any archive may unpack to, whatever the ratio."""
MAX_BYTES: Final = 2**40
MAX_MEMBERS: Final = 100_000
UNFINISHED: Final = ".unpack-"
"""Begins the names of folders that are being unpacked to."""
_MAX_NAME: Final = 1024
_CHUNK: Final = 1 << 20

_MAGIC: Final = (b"PK\x03\x04", b"\x1f\x8b", b"BZh", b"\xfd7zXZ\x00")


@dataclass(frozen=True)
class _Member:
    name: str
    size: int
    """As the archive says; no more than that is ever read of it."""
    open: Callable[[], IO[bytes]] | None
    """None for a folder."""


def is_archive(path: Path) -> bool:
    """Told from the content: .tar, .tar.gz, .tar.bz2, .tar.xz, .zip."""
    with path.open("rb") as file:
        head = file.read(512)
    return head.startswith(_MAGIC) or head[257:262] == b"ustar"


def unpack(archive: Path, dest: Path, volume: ModelVolume) -> None:
    """Make the folder `dest`, which is in `volume`, of `archive`, whole or not at all. Raises UnsafeArchive, DiskFull."""
    work = Path(tempfile.mkdtemp(prefix=UNFINISHED, dir=dest.parent))
    try:
        with _failures(archive):
            _unpack_into(archive, work / "tree", volume)
        (work / "tree").rename(dest)
    finally:
        shutil.rmtree(work, ignore_errors=True)


@contextmanager
def _failures(archive: Path) -> Iterator[None]:
    """What the libraries and the file system raise over a broken or hostile archive."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StartupError(
                FailureReason.DISK_FULL,
                f"no space to unpack {archive.name} in {archive.parent}: its disk is full",
            ) from error
        if error.errno is not None and error.errno not in _NAME_ERRORS:
            raise
        raise _unsafe(archive, f"can't be unpacked: {error.strerror or error}") from error
    except (*_FORMAT_ERRORS, ValueError, EOFError, NotImplementedError, RuntimeError) as error:
        raise _unsafe(archive, f"can't be unpacked: {error}") from error


#: Names that clash or that no file can have; gzip and bz2 raise OSError without a number over broken data.
_NAME_ERRORS: Final = (
    errno.EEXIST,
    errno.ENOTDIR,
    errno.EISDIR,
    errno.ENAMETOOLONG,
    errno.EINVAL,
    errno.EILSEQ,
)
_FORMAT_ERRORS: Final = (
    tarfile.TarError,
    zipfile.BadZipFile,
    zipfile.LargeZipFile,
    zlib.error,
    lzma.LZMAError,
)


def _unpack_into(archive: Path, tree: Path, volume: ModelVolume) -> None:
    budget = min(MAX_BYTES, max(ALWAYS_ALLOWED, MAX_RATIO * archive.stat().st_size))
    needed = volume.measure()

    def spend(size: int) -> None:
        nonlocal budget
        budget -= size
        if budget < 0:
            raise _unsafe(archive, f"unpacks to more than {MAX_RATIO} times its size: a decompression bomb")

    tree.mkdir()
    seen: set[PurePosixPath] = set()
    with closing(_read_members(archive)) as members:
        for number, member in enumerate(members):
            if number >= MAX_MEMBERS:
                raise _unsafe(archive, f"has more than {MAX_MEMBERS} members")
            relative = _check_name(archive, member.name)
            needed += blocks_of(member.size) if member.open else BLOCK_BYTES
            if not volume.fits(needed):  # nothing more is written, only counted
                spend(member.size)
                continue
            target = tree / relative
            if member.open is None:
                target.mkdir(parents=True, exist_ok=True)
                continue
            if relative in seen or target.is_dir():
                raise _unsafe(archive, f"has {member.name!r} twice")
            seen.add(relative)
            target.parent.mkdir(parents=True, exist_ok=True)
            with member.open() as source, target.open("xb") as out:
                while block := source.read(_CHUNK):
                    spend(len(block))
                    out.write(block)
    volume.need(needed, f"{archive.name} with what is in it")


def _check_name(archive: Path, name: str) -> PurePosixPath:
    path = PurePosixPath(name)
    if (
        path.is_absolute()
        or ".." in path.parts
        or "\\" in name
        or "\0" in name
        or len(name) > _MAX_NAME
        or any(len(part.encode(errors="surrogateescape")) > 255 for part in path.parts)
    ):
        raise _unsafe(archive, f"names a place outside of its folder, or no place at all: {name[:200]!r}")
    return path


def _read_members(archive: Path) -> Generator[_Member, None, None]:
    if zipfile.is_zipfile(archive) and not tarfile.is_tarfile(archive):
        yield from _read_zip(archive)
    else:
        yield from _read_tar(archive)


def _read_tar(archive: Path) -> Iterator[_Member]:
    with tarfile.open(archive, "r:*") as tar:
        for info in tar:
            if info.isdir():
                yield _Member(info.name, 0, None)
            elif info.isreg() and not info.issparse():
                yield _Member(info.name, max(0, info.size), partial(_open_member, tar, info))
            else:
                raise _unsafe(
                    archive, f"holds {info.name!r}, which is {_KINDS.get(info.type, 'a special file')}"
                )


_KINDS: Final = {
    tarfile.SYMTYPE: "a symbolic link",
    tarfile.LNKTYPE: "a hard link",
    tarfile.CHRTYPE: "a character device",
    tarfile.BLKTYPE: "a block device",
    tarfile.FIFOTYPE: "a pipe",
}


def _open_member(tar: tarfile.TarFile, info: tarfile.TarInfo) -> IO[bytes]:
    source = tar.extractfile(info)
    if source is None:
        raise tarfile.ReadError(f"{info.name!r} has no content")
    return source


def _read_zip(archive: Path) -> Iterator[_Member]:
    with zipfile.ZipFile(archive) as source:
        for info in source.infolist():
            kind = stat.S_IFMT(info.external_attr >> 16)
            if info.is_dir():
                yield _Member(info.filename, 0, None)
            elif kind not in (0, stat.S_IFREG):
                what = "a symbolic link" if kind == stat.S_IFLNK else "a special file"
                raise _unsafe(archive, f"holds {info.filename!r}, which is {what}")
            elif info.flag_bits & 1:
                raise _unsafe(archive, f"holds {info.filename!r}, which is encrypted")
            else:
                yield _Member(info.filename, info.file_size, partial(source.open, info))


def _unsafe(archive: Path, why: str) -> StartupError:
    return StartupError(FailureReason.UNSAFE_ARCHIVE, f"the archive {archive.name} {why}")
