"""Download what a uri names: several files and several ranges of them at once, gone on with after a cut, never mixed."""

import hashlib
import random
import shutil
import threading
from collections.abc import Callable
from concurrent.futures import FIRST_EXCEPTION, CancelledError, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Final, TypeVar

from vinoserve_api.conditions import FailureReason
from vinoserve_runtime.errors import StartupError
from vinoserve_runtime.model.digest import Progress
from vinoserve_runtime.model.part import Chunk, Part, remove_part
from vinoserve_runtime.model.sources.base import (
    MAX_FILES,
    ChangedError,
    Listing,
    NoRangesError,
    RemoteFile,
    RetryableError,
    Source,
    UnreachableError,
)
from vinoserve_runtime.model.sources.choose import is_hidden
from vinoserve_runtime.model.volume import BLOCK_BYTES, ModelVolume, blocks_of

WORKERS: Final = 8
"""Ranges in flight, over all files."""
MAX_ATTEMPTS: Final = 8
"""In a row, without a byte of progress."""
MAX_UNREACHABLE: Final = 4
MAX_CHANGES: Final = 3
MAX_PAUSE_SECONDS: Final = 30.0

_T = TypeVar("_T")


@dataclass(frozen=True)
class Downloaded:
    """Complete files, each under the name it has at the source, still in `.part` files of ours."""

    listing: Listing
    parts: dict[str, Path]
    resumed: bool
    """Whether an earlier run's bytes are among them."""


def download(
    source: Source, folder: Path, shown: str, volume: ModelVolume, progress: Progress | None = None
) -> Downloaded:
    """Fetch all that `source` finds into parts below `folder`, which is in `volume`. `shown`: the uri as it may be logged.

    Raises StartupError: FetchFailed, ModelNotFound, AccessDenied, DiskFull, ModelInvalid, DigestMismatch.
    """
    folder.mkdir(parents=True, exist_ok=True)
    has_ranges = True
    for _ in range(MAX_CHANGES):
        listing = _retry(source.find, shown, threading.Event())
        _check(listing, shown)
        if not has_ranges:
            files = tuple(replace(file, version=None, parallel=False) for file in listing.files)
            listing = replace(listing, files=files)
        try:
            return _Download(source, listing, folder, shown, volume=volume, progress=progress).run()
        except NoRangesError:
            has_ranges = False
        except ChangedError:
            continue
    raise StartupError(
        FailureReason.FETCH_FAILED, f"{shown} keeps changing while it is downloaded ({MAX_CHANGES} times)"
    )


def _check(listing: Listing, shown: str) -> None:
    """Names come from outside: they stay below the model's folder."""
    if len(listing.files) > MAX_FILES:
        raise StartupError(
            FailureReason.MODEL_INVALID,
            f"{shown} has more than {MAX_FILES} files: name the folder of the model",
        )
    for file in listing.files:
        path = PurePosixPath(file.path)
        unsafe = path.is_absolute() or ".." in path.parts or not path.parts
        if unsafe or any(char in file.path for char in "\\\0") or is_hidden(file.path):
            raise StartupError(
                FailureReason.MODEL_INVALID,
                f"{shown} has a file of a name that isn't taken: {file.path[:200]!r}",
            )
    names = {file.path for file in listing.files}
    for name in names:
        if both := next(
            (str(folder) for folder in PurePosixPath(name).parents if str(folder) in names), None
        ):
            raise StartupError(FailureReason.MODEL_INVALID, f"{shown} has {both} as a file and as a folder")


class _Download:
    """One listing, on its way into its parts."""

    def __init__(
        self,
        source: Source,
        listing: Listing,
        folder: Path,
        shown: str,
        *,
        volume: ModelVolume,
        progress: Progress | None,
    ) -> None:
        self._source, self._listing, self._folder, self._shown = source, listing, folder, shown
        self._volume, self._progress = volume, progress
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._done = 0
        sizes = [file.size for file in listing.files]
        self._total = None if None in sizes else sum(size or 0 for size in sizes)
        self._beside = volume.measure(without=folder)

    def run(self) -> Downloaded:
        parts = {file.path: self._open(file) for file in self._listing.files}
        self._count(sum(part.done for part in parts.values()))
        resumed = any(part.resumed for part in parts.values())
        self._check_space()
        pool = ThreadPoolExecutor(WORKERS, "download")
        jobs = [
            pool.submit(self._fetch, file, parts[file.path], chunk)
            for file in self._listing.files
            for chunk in parts[file.path].chunks
            if not chunk.is_complete
        ]
        try:
            for job in wait(jobs, return_when=FIRST_EXCEPTION).done:
                job.result()
        except BaseException:
            self._stop.set()
            pool.shutdown(cancel_futures=True)
            for part in parts.values():
                part.save()
            raise
        pool.shutdown()
        for file in self._listing.files:
            self._verify(file, parts[file.path].path)
        return Downloaded(self._listing, {name: part.path for name, part in parts.items()}, resumed)

    def _open(self, file: RemoteFile) -> Part:
        """Its name is the same in the next run, and fits into any file system."""
        key = hashlib.sha256(f"{self._shown} {file.path}".encode(errors="surrogateescape")).hexdigest()
        return Part(
            self._folder / f"{key[:32]}.part",
            name=file.path,
            size=file.size,
            version=file.version,
            parallel=file.parallel,
        )

    def _count(self, size: int) -> None:
        with self._lock:
            self._done += size
            if self._progress:
                self._progress(self._done, self._total)

    def _check_space(self) -> None:
        # a file, and the note of what is there of it
        known = sum(blocks_of(file.size or 0) + BLOCK_BYTES for file in self._listing.files)
        self._volume.need(self._beside + known, self._shown, is_least=self._total is None)
        free = shutil.disk_usage(self._folder).free
        if self._total is not None and self._total - self._done > free:
            raise StartupError(
                FailureReason.DISK_FULL,
                f"{self._shown} has {self._total} bytes, {self._folder.parent} has {free} free: its disk is full",
            )

    def _fetch(self, file: RemoteFile, part: Part, chunk: Chunk) -> None:
        """One range, to its end. Runs in a thread of the pool."""
        _retry(lambda: self._receive(file, part, chunk), self._shown, self._stop, progress=lambda: chunk.at)

    def _receive(self, file: RemoteFile, part: Part, chunk: Chunk) -> None:
        if chunk.done and file.version is None:
            self._count(-chunk.done)
            part.restart(chunk)
        with self._source.read(file, chunk.at, chunk.stop) as blocks:
            for block in blocks:
                if self._stop.is_set():
                    raise CancelledError
                if self._total is None:
                    more = self._beside + self._done + len(block)
                    self._volume.need(more, self._shown, is_least=True)
                try:
                    part.write(chunk, block)
                except ValueError as error:
                    raise ChangedError(str(error)) from error
                self._count(len(block))
        if chunk.stop is not None and not chunk.is_complete:
            raise RetryableError(f"cut off after {chunk.at} of {chunk.stop} bytes")

    def _verify(self, file: RemoteFile, part: Path) -> None:
        if file.sha256 is None:
            return
        with part.open("rb") as content:
            found = hashlib.file_digest(content, "sha256").hexdigest()
        if found != file.sha256:
            remove_part(part)
            raise StartupError(
                FailureReason.DIGEST_MISMATCH,
                f"{self._shown}: {file.path} should have sha256:{file.sha256} by what its source says, but has sha256:{found}",
            )


def _retry(
    action: Callable[[], _T], shown: str, stop: threading.Event, progress: Callable[[], int] = lambda: 0
) -> _T:
    """Patient with who is busy, less so with who isn't there. Raises CancelledError once `stop` is set."""
    attempts = 0
    while not stop.is_set():
        before = progress()
        try:
            return action()
        except RetryableError as error:
            attempts = 1 if progress() > before else attempts + 1
            if attempts >= (MAX_UNREACHABLE if isinstance(error, UnreachableError) else MAX_ATTEMPTS):
                raise StartupError(
                    FailureReason.FETCH_FAILED, f"{shown}: gave up after {attempts} tries: {error}"
                ) from error
            stop.wait(_make_pause(error, attempts))
    raise CancelledError


def _make_pause(error: RetryableError, attempts: int) -> float:
    """Seconds: what the server asked for, else exponential with full jitter."""
    asked = random.uniform(0, 0.5 * 2**attempts) if error.pause is None else error.pause  # noqa: S311
    return min(MAX_PAUSE_SECONDS, asked)
