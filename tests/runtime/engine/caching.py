"""A cache of compiled models as processes leave it."""

from pathlib import Path

from vinoserve_runtime.engine.cache import CacheUse, CompiledCache


def blobs(root: Path) -> list[Path]:
    return sorted(root.glob("*/*.blob.*"))


def leftovers(root: Path) -> list[str]:
    return sorted(path.name for path in root.iterdir() if ".tmp" in path.name)


def use_of(root: Path, name: str, limit: int | None = None, expected: int = 0) -> CacheUse:
    return CompiledCache(root, limit, "digest", expected).open({"name": name})


def fill(root: Path, name: str, size: int, limit: int | None = None) -> CacheUse:
    """As a process that compiled a model of so many bytes."""
    use = use_of(root, name, limit)
    assert use.folder is not None
    (use.folder / "1.blob").write_bytes(bytes([len(name)]) * size)
    use.keep()
    return use
