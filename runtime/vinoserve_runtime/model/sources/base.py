"""What every place that models come from can do: say which files are there, and give the bytes of one of them."""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Final, Protocol

MAX_FILES: Final = 10_000
"""Of a model; more is a folder of something else."""


@dataclass(frozen=True)
class RemoteFile:
    """One file at a source. `path` is where it goes below the model's folder."""

    path: str
    size: int | None
    version: str | None
    """Changes whenever the bytes do, so that a part of it can be gone on with; None where nothing promises that."""
    parallel: bool
    """Whether `version` vouches for every byte, so that ranges of it may be fetched side by side."""
    sha256: str | None = None
    """Hexadecimal, where the source says it."""
    is_layer: bool = False
    """Whether it is an archive that stands for the files in it."""


@dataclass(frozen=True)
class Listing:
    """What a uri names: a folder's files or, with `named`, one file and what belongs to it."""

    files: tuple[RemoteFile, ...]
    named: str | None
    """The path of the file that the uri names; None where it names a folder."""
    revision: str | None
    """What exactly was found: a commit, an ETag; None where the source has no name for it."""


class RetryableError(Exception):
    """It may work in a while. `pause`: the seconds that the server asked for."""

    def __init__(self, message: str, pause: float | None = None) -> None:
        super().__init__(message)
        self.pause = pause


class UnreachableError(RetryableError):
    """Nobody answers there: it is asked again for seconds, not for minutes."""


class ChangedError(Exception):
    """The file isn't the one that was listed any more: what is here of it is of no use."""


class NoRangesError(Exception):
    """The server answers with the whole file whatever range it is asked for."""


class Source(Protocol):
    """A model's uri, opened. Several threads may read at once.

    `find` and `read` raise RetryableError, and StartupError where trying again is of no use.
    """

    def find(self) -> Listing: ...

    def read(self, file: RemoteFile, start: int, stop: int | None) -> AbstractContextManager[Iterator[bytes]]:
        """The bytes from `start` up to `stop` (None: to the end). Raises ChangedError and NoRangesError too."""

    def close(self) -> None: ...
