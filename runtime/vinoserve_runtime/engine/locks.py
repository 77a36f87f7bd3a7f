"""Locks on files that processes of several pods share: gone with the process that held them, however it ended."""

import fcntl
import os
from contextlib import suppress
from pathlib import Path
from time import monotonic, sleep
from typing import Final

_PATIENCE: Final = 5.0
_PAUSE: Final = 0.02


class FileLock:
    """One held lock. A filesystem without flock makes it `is_real = False`: nobody is kept out, and nobody must be removed."""

    def __init__(self, path: Path, descriptor: int, *, is_real: bool) -> None:
        self.path = path
        self.is_real = is_real
        self._descriptor: int | None = descriptor

    def touch(self) -> None:
        """Say that it is used now, by the file's time; a folder that can't be written keeps its old time."""
        with suppress(OSError):
            os.utime(self.path)

    def release(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def remove(self) -> None:
        """Release it and take its file away: only for who holds it alone."""
        with suppress(OSError):
            self.path.unlink()
        self.release()


def lock_shared(path: Path) -> FileLock:
    """Waits while someone removes what the lock is for, for some seconds. Raises OSError where the file can't be had."""
    deadline = monotonic() + _PATIENCE
    while (lock := _try(path, fcntl.LOCK_SH)) is None:
        if monotonic() > deadline:
            raise TimeoutError(f"{path} is locked by another process")
        sleep(_PAUSE)
    return lock


def lock_alone(path: Path) -> FileLock | None:
    """None where another holds it, or where the filesystem can't tell. Raises OSError where the file can't be had."""
    lock = _try(path, fcntl.LOCK_EX)
    if lock is not None and not lock.is_real:
        lock.release()
        return None
    return lock


def _try(path: Path, kind: int) -> FileLock | None:
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    except OSError:
        if not path.exists():
            raise
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)  # a read-only folder, filled by another
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
        if path.stat().st_ino == os.fstat(descriptor).st_ino:
            return FileLock(path, descriptor, is_real=True)
    except (BlockingIOError, FileNotFoundError):  # held, or removed since it was opened
        pass
    except OSError:  # NFS without a lock daemon, FUSE: there are no locks
        return FileLock(path, descriptor, is_real=False)
    os.close(descriptor)
    return None
