"""A cache that is full, read-only or no folder at all: the start goes on, and says so."""

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.models import write_adder
from tests.runtime.engine.caching import blobs, leftovers
from tests.runtime.engine.compiling import compile_file


@pytest.mark.parametrize("cache", ["/proc/cache", "/dev/null/cache", "/dev/full"])
def test_a_cache_that_cannot_be_written_is_a_warning(tmp_path: Path, cache: str) -> None:
    compiled = compile_file(write_adder(tmp_path / "m.xml"), Path(cache))
    assert compiled.cache_hit is None
    assert [w for w in compiled.cache_warnings if cache in w]
    compiled.close()


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[Callable[..., Path]]:
    """A tmpfs with such options, where this machine lets us mount one."""
    mounts: list[Path] = []

    def mount(options: str) -> Path:
        folder = tmp_path / f"mount{len(mounts)}"
        folder.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
        done = subprocess.run(command, capture_output=True, check=False)
        if done.returncode:
            pytest.skip("mounting needs root")
        mounts.append(folder)
        return folder

    yield mount
    for folder in mounts:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.parametrize("size", ["8k", "16k"])
def test_a_full_disk_is_a_warning_and_leaves_no_half_blob(
    model: Path, mounted: Callable[..., Path], size: str
) -> None:
    root = mounted(f"size={size}")
    for _ in range(2):
        compiled = compile_file(model, root)
        assert compiled.cache_hit is not True
        (warning,) = compiled.cache_warnings
        assert str(root) in warning
        assert compiled.observe().execution_devices == ("CPU",)
        compiled.close()
        assert blobs(root) == []
        assert leftovers(root) == []


def test_a_disk_without_room_for_a_folder_is_a_warning(model: Path, mounted: Callable[..., Path]) -> None:
    compiled = compile_file(model, mounted("size=64k,nr_inodes=2"))
    assert compiled.cache_hit is None
    assert "No space left on device" in compiled.cache_warnings[0]


def test_a_read_only_cache_is_read(model: Path, mounted: Callable[..., Path]) -> None:
    root = mounted("size=10m")
    compile_file(model, root).close()
    subprocess.run(["mount", "-o", "remount,ro", str(root)], check=True)
    compiled = compile_file(model, root)
    assert (compiled.cache_hit, compiled.cache_warnings) == (True, ())
    folder = compiled.cache and compiled.cache.folder
    compiled.close()
    assert folder is not None
    assert not folder.exists()
    compiled = compile_file(model, root, hints={"inferencePrecision": "f32"})
    assert compiled.cache_hit is None
    assert "Read-only file system" in compiled.cache_warnings[0]
