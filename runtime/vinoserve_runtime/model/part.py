"""A file that is being downloaded: its bytes where they belong, and beside it a note of which of them are there.

The note is written after the bytes have reached the disk, so that it never says more than is there, whatever ends us.
"""

import json
import os
import threading
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any, Final

CHUNK_BYTES: Final = 8 * 2**20
"""Of a range that is fetched at once: large beside the round trip, small beside what a cut may cost."""
_SAVE_SECONDS: Final = 1.0


@dataclass
class Chunk:
    """A range of the file; `done` bytes of it, from its start, are there. Written by one thread alone."""

    start: int
    stop: int | None
    """None: up to the end, wherever that is."""
    done: int = 0

    @property
    def at(self) -> int:
        return self.start + self.done

    @property
    def is_complete(self) -> bool:
        return self.stop is not None and self.at >= self.stop


class Part:
    """One file on its way. `version` is what the bytes are of: only a part of the same version is gone on with."""

    def __init__(
        self, path: Path, *, name: str, size: int | None, version: str | None, parallel: bool
    ) -> None:
        self.path = path
        self._note = note_of(path)
        self._identity = {"name": name, "version": version, "size": size}
        self._saved = monotonic()
        self._lock = threading.Lock()
        self.chunks = _cut(size, parallel=parallel)
        self.resumed = version is not None and self._load()
        if not self.resumed:
            remove_part(path)
        path.touch()

    @property
    def done(self) -> int:
        return sum(chunk.done for chunk in self.chunks)

    def write(self, chunk: Chunk, block: bytes) -> None:
        """Raises ValueError for more bytes than the chunk has."""
        if chunk.stop is not None and chunk.at + len(block) > chunk.stop:
            raise ValueError(f"more than {chunk.stop - chunk.start} bytes")
        # not kept open: a model may have more files than a process may open
        with self.path.open("r+b") as file:
            file.seek(chunk.at)
            file.write(block)
        chunk.done += len(block)
        if monotonic() - self._saved > _SAVE_SECONDS and not self._lock.locked():
            self.save()

    def restart(self, chunk: Chunk) -> None:
        """Begin anew a file of one chunk: the server can't go on where it was."""
        chunk.done = 0
        os.truncate(self.path, chunk.start)

    def save(self) -> None:
        """For the next run, unless there is nothing that it could go on with."""
        if self._identity["version"] is None or not self.done:
            return
        with self._lock:
            self._saved = monotonic()
            done = [[chunk.start, chunk.done] for chunk in self.chunks if chunk.done]
            with self.path.open("rb") as file:
                os.fdatasync(file.fileno())
            fresh = self._note.with_suffix(".new")
            fresh.write_text(json.dumps({**self._identity, "done": done}))
            fresh.replace(self._note)

    def _load(self) -> bool:
        """Whether something was there to go on with."""
        try:
            note: dict[str, Any] = json.loads(self._note.read_text())
            if any(note[key] != value for key, value in self._identity.items()):
                return False
            size = self.path.stat().st_size
            done = {int(start): int(count) for start, count in note["done"]}
        except (OSError, ValueError, KeyError, TypeError):
            return False
        for chunk in self.chunks:
            count = done.get(chunk.start, 0)
            if 0 < count <= (chunk.stop or count + chunk.start) - chunk.start and chunk.start + count <= size:
                chunk.done = count
        return self.done > 0


def note_of(path: Path) -> Path:
    return path.with_name(path.name + ".json")


def remove_part(path: Path) -> None:
    path.unlink(missing_ok=True)
    note_of(path).unlink(missing_ok=True)


def _cut(size: int | None, *, parallel: bool) -> tuple[Chunk, ...]:
    if size is None or not parallel:
        return (Chunk(0, size),)
    starts = range(0, size, CHUNK_BYTES)
    return tuple(Chunk(start, min(start + CHUNK_BYTES, size)) for start in starts)
