"""Compiled models on disk, kept for the next start and shared by the pods of a claim.

    ROOT/KEY/about.json                 what it is, for people
    ROOT/KEY/NAME.blob.DIGEST           a file of OpenVINO's, whole and never changed
    ROOT/KEY.lock                       held shared by whoever uses KEY; its time is that of the last use
    ROOT/KEY.RANDOM.tmp, ….tmp.lock     where one process lets OpenVINO read and write, and its lock

OpenVINO reads what it finds without a doubt (a kernel that was cut off ends the process) and maps blobs into memory, so that
nothing may change below it. Hence it never sees ROOT/KEY: each process gets a folder of its own, with links to the files whose
digest is right; what OpenVINO adds there is put into ROOT/KEY by one rename a file, once it is whole.
"""

import hashlib
import json
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from vinoserve_runtime.engine.cache_key import make_key
from vinoserve_runtime.engine.locks import FileLock, lock_alone, lock_shared

_KEY: Final = re.compile(r"[0-9a-f]{32}")
_STORED: Final = re.compile(r"(?P<name>[^/]+\.(blob|cl_cache))\.(?P<digest>[0-9a-f]{32})")
_KERNEL: Final = ".cl_cache"
SETTLED_SECONDS: Final = 1.0
"""After which nothing more is written to a kernel."""
_SECTOR: Final = 512
_ATTEMPTS: Final = 5


@dataclass(frozen=True)
class CompiledCache:
    """Where compiled models are kept, and what is to be compiled."""

    root: Path
    size_limit: int | None
    """Bytes that all of them may take."""
    content_digest: str
    model_bytes: int = 0
    """What the compiled model is expected to take, until it is there."""

    def open(self, about: Mapping[str, Any]) -> "CacheUse":
        """A folder for OpenVINO with all that is known of this very model. Never raises OSError: it warns, and goes without."""
        key = make_key(about)
        use = CacheUse(self, key, json.dumps(about, indent=2) + "\n")
        try:
            use.begin()
        except OSError as error:
            use.warn(f"compiled without a cache: {self.root}: {error.strerror or error}")
            use.close()
        return use


@dataclass
class CacheUse:
    """One process' use of one compiled model, until `close`."""

    cache: CompiledCache
    key: str
    about: str
    folder: Path | None = None
    """OpenVINO's CACHE_DIR; None where there can be none."""
    has_blobs: bool = False
    """Whether OpenVINO was given a compiled model."""
    warnings: list[str] = field(default_factory=list)
    _linked: dict[str, int] = field(default_factory=dict)
    """The files of the folder that are in the cache too, by name, with their inodes."""
    _lock: FileLock | None = None
    _own_lock: FileLock | None = None
    _is_writable: bool = True
    _is_settled: bool = False

    @property
    def entry(self) -> Path:
        return self.cache.root / self.key

    @property
    def is_kept(self) -> bool:
        """Whether the cache has a compiled model, for the next."""
        return any(not stored.stem.endswith(_KERNEL) for stored in _list_stored(self.entry))

    def warn(self, text: str) -> None:
        if text not in self.warnings:
            self.warnings.append(text)

    def begin(self) -> None:
        """Raises OSError where neither reading nor writing is possible."""
        self.cache.root.mkdir(parents=True, exist_ok=True)
        self._lock = lock_shared(self.cache.root / f"{self.key}.lock")
        self._lock.touch()
        _sweep(self.cache.root)
        try:
            self._make_folder()
        except OSError as error:
            self._go_without_writing(error)
        self._link()
        self._evict(room=0 if self.has_blobs else self.cache.model_bytes)

    def keep(self) -> None:
        """Put into the cache what OpenVINO has added since, as far as it is whole and there is room. Never raises OSError."""
        if self.folder is None or not self._is_writable:
            return
        try:
            new = self._find_new()
            if new and self._make_room(sum(path.stat().st_size for path in new)):
                self._write_about()
                for path in new:
                    self._publish(path)
        except OSError as error:
            self.warn(f"the compiled model is not kept: {self.cache.root}: {error.strerror or error}")

    def note_outcome(self, *, hit: bool | None) -> None:
        """Warn where OpenVINO did other than the cache was there for. Once it has settled on a device, before `keep`."""
        if self.folder is None or self._is_settled:
            return
        self._is_settled = True
        if hit is not False:
            return
        if self.has_blobs:
            self.warn(f"OpenVINO had no use for the compiled model in {self.entry}: compiled anew")
        elif self._is_writable and not any(path.suffix == ".blob" for path in self.folder.iterdir()):
            free = shutil.disk_usage(self.cache.root).free
            self.warn(
                f"the compiled model is not kept: OpenVINO could not write it into {self.cache.root}, "
                f"which has {free} bytes free"
            )

    def discard(self, why: str) -> None:
        """OpenVINO could not start with what is in the cache, and shall not see it again."""
        self.warn(f"the compiled model in {self.entry} is discarded: {why}")
        for stored in _list_stored(self.entry):
            _remove(stored)
        self._remove_folder()

    def close(self) -> None:
        """Leave nothing but what is kept."""
        self.keep()
        self._remove_folder()
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def _make_folder(self) -> None:
        for _ in range(_ATTEMPTS):
            folder = self.cache.root / f"{self.key}.{os.urandom(4).hex()}.tmp"
            path = folder.with_name(f"{folder.name}.lock")
            self._own_lock = lock_alone(path)
            if self._own_lock is not None:
                break
            path.unlink(missing_ok=True)  # swept at the moment it was made, or there are no locks here
        folder.mkdir()
        self.folder = folder

    def _go_without_writing(self, error: OSError) -> None:
        """A cache that others have filled serves a process that can't write there as well."""
        self._is_writable = False
        if not _list_stored(self.entry):
            raise error
        self.folder = Path(tempfile.mkdtemp(prefix="vinoserve-cache-"))

    def _remove_folder(self) -> None:
        if self.folder is not None:
            shutil.rmtree(self.folder, ignore_errors=True)
            self.folder = None
        if self._own_lock is not None:
            self._own_lock.remove()
            self._own_lock = None

    def _link(self) -> None:
        assert self.folder is not None  # noqa: S101  `begin` made it
        for stored in _list_stored(self.entry):
            named = _STORED.fullmatch(stored.name)
            if named is None or named["name"] in self._linked:
                continue
            try:
                is_whole = _digest(stored) == named["digest"]
            except FileNotFoundError:  # another process has put its own in its place
                continue
            except OSError:
                is_whole = False
            if not is_whole:
                self.warn(f"{stored} is damaged: discarded")
                _remove(stored)
                continue
            link = self.folder / named["name"]
            try:
                link.hardlink_to(stored)
            except FileNotFoundError:
                continue
            except OSError:  # another filesystem, or one without hard links
                link.symlink_to(stored)
            self._linked[link.name] = link.lstat().st_ino
        self.has_blobs = any(not name.endswith(_KERNEL) for name in self._linked)

    def _find_new(self) -> list[Path]:
        assert self.folder is not None  # noqa: S101  `keep` has looked
        return [
            path
            for path in sorted(self.folder.iterdir())
            if path.suffix in (".blob", _KERNEL)
            and path.lstat().st_ino != self._linked.get(path.name)
            and path.is_file()
            and _is_whole(path)
        ]

    def _make_room(self, needed: int) -> bool:
        """Whether there is room for so many bytes more, others having gone."""
        limit = self.cache.size_limit
        if limit is not None and _size(self.entry) + needed > limit:
            self.warn(
                f"the compiled model is not kept: with {_size(self.entry) + needed} bytes "
                f"it is larger than the cache may be ({limit} bytes: spec.cache.compiled.sizeLimit)"
            )
            return False
        if not self._evict(room=needed):
            self.warn(
                f"the compiled model is not kept: all others in {self.cache.root} are in use, and with it "
                f"they would take more than {limit} bytes (spec.cache.compiled.sizeLimit)"
            )
            return False
        return True

    def _evict(self, room: int) -> bool:
        """Remove the least recently used of what nobody uses until there is `room`. Whether there is."""
        limit = self.cache.size_limit
        if limit is None:
            return True
        sizes = {key: _size(self.cache.root / key) for key in _list_keys(self.cache.root)}
        over = sum(sizes.values()) + room - limit
        for key in sorted(sizes.keys() - {self.key}, key=lambda key: _last_used(self.cache.root, key)):
            if over <= 0:
                break
            if _remove_unused(self.cache.root / key):
                over -= sizes[key]
        return over <= 0

    def _write_about(self) -> None:
        self.entry.mkdir(exist_ok=True)
        if not (self.entry / "about.json").exists() and self.folder is not None:
            part = self.folder / "about.json"
            part.write_text(self.about)
            part.replace(self.entry / "about.json")

    def _publish(self, path: Path) -> None:
        replaces = path.name in self._linked
        if self._list_stored_as(path.name) and not replaces:
            return  # another process was faster
        stored = self.entry / f"{path.name}.{_digest(path)}"
        inode = path.stat().st_ino
        try:
            stored.hardlink_to(path)
        except FileExistsError:
            pass
        except OSError:  # no hard links here: then OpenVINO does without
            path.replace(stored)
        self._linked[path.name] = inode  # what could not be put there is tried again
        # Of several that were put there at the same moment each process leaves the same one.
        present = self._list_stored_as(path.name)
        kept = stored if replaces else min(present, default=stored)
        for other in present:
            if other != kept:
                _remove(other)

    def _list_stored_as(self, name: str) -> list[Path]:
        return [stored for stored in _list_stored(self.entry) if stored.name.startswith(f"{name}.")]


def _remove(path: Path) -> None:
    """Whatever it is; what can't be removed stays."""
    with suppress(OSError):
        path.unlink()
    shutil.rmtree(path, ignore_errors=True)


def _is_whole(path: Path) -> bool:
    """Kernels are written in the background, and a full disk cuts them off at the end of a block without a word."""
    if path.suffix != _KERNEL:
        return True
    facts = path.stat()
    return facts.st_size % _SECTOR != 0 and time.time() - facts.st_mtime > SETTLED_SECONDS


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:32]


def _list_keys(root: Path) -> list[str]:
    return [path.name for path in root.iterdir() if _KEY.fullmatch(path.name)]


def _list_stored(entry: Path) -> list[Path]:
    """The files of OpenVINO's in an entry, sorted; none where there is no entry."""
    try:
        return sorted(path for path in entry.iterdir() if _STORED.fullmatch(path.name))
    except OSError:
        return []


def _size(entry: Path) -> int:
    return sum(_sizes(entry))


def _sizes(entry: Path) -> Iterator[int]:
    with suppress(OSError):
        for path in entry.iterdir():
            with suppress(OSError):
                yield path.lstat().st_size


def _last_used(root: Path, key: str) -> float:
    with suppress(OSError):
        return (root / f"{key}.lock").stat().st_mtime
    return 0.0


def _sweep(root: Path) -> None:
    """Remove what processes left that were killed."""
    names = {path.name for path in root.iterdir()}
    for name in names:
        if name.endswith(".tmp") or (name.endswith(".lock") and name.removesuffix(".lock") not in names):
            _remove_unused(root / name.removesuffix(".lock"))


def _remove_unused(folder: Path) -> bool:
    """Remove `folder` and its lock unless someone holds that; whether it is gone."""
    try:
        lock = lock_alone(folder.with_name(f"{folder.name}.lock"))
    except OSError:
        return False
    if lock is None:
        return False
    shutil.rmtree(folder, ignore_errors=True)
    if folder.exists():
        lock.release()
        return False
    lock.remove()
    return True
