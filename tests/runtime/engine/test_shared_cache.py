"""A cache that many use at once: nobody damages another's, and who is killed leaves nothing that hurts."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from tests.runtime.engine.caching import blobs, fill, leftovers, use_of
from tests.runtime.engine.compiling import compile_file
from vinoserve_runtime.engine.locks import lock_alone, lock_shared


def test_many_at_once_share_one_and_damage_nothing(model: Path, root: Path) -> None:
    errors: list[str] = []

    def start() -> None:
        compiled = compile_file(model, root)
        errors.extend(compiled.cache_warnings)
        compiled.close()

    threads = [threading.Thread(target=start) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert len(blobs(root)) == 1
    assert leftovers(root) == []
    last = compile_file(model, root)
    assert last.cache_hit is True
    last.close()


def test_the_loser_throws_its_own_away(root: Path) -> None:
    winner, loser = use_of(root, "a"), use_of(root, "a")
    for use, content in ((winner, b"first" * 100), (loser, b"second" * 100)):
        assert use.folder is not None
        (use.folder / "1.blob").write_bytes(content)
        use.close()
    (blob,) = blobs(root)
    assert blob.read_bytes() == b"first" * 100


def test_what_others_read_never_changes_below_them(root: Path) -> None:
    """A blob is mapped into memory for as long as the model lives."""
    fill(root, "a", 1000).close()
    reader, other = use_of(root, "a"), use_of(root, "a")
    assert reader.folder is not None
    assert other.folder is not None
    with (reader.folder / "1.blob").open("rb") as mapped:
        other.discard("it broke")
        other.close()
        assert blobs(root) == []
        assert mapped.read() == bytes([1]) * 1000


def test_kernels_that_may_not_be_whole_are_not_kept(root: Path) -> None:
    """One that is cut off ends the process that reads it."""
    use = use_of(root, "a")
    assert use.folder is not None
    for name, size, age in (("fresh", 700, 0), ("cut", 4096, 60), ("empty", 0, 60), ("whole", 700, 60)):
        path = use.folder / f"{name}.cl_cache"
        path.write_bytes(b"k" * size)
        os.utime(path, (path.stat().st_mtime - age,) * 2)
    use.keep()
    assert [path.name.partition(".")[0] for path in root.glob("*/*.cl_cache.*")] == ["whole"]
    use.close()


def test_who_is_killed_leaves_nothing_that_hurts(model: Path, root: Path) -> None:
    code = (
        "import sys, time\nfrom pathlib import Path\n"
        "from vinoserve_runtime.engine.cache import CompiledCache\n"
        f"use = CompiledCache(Path({str(root)!r}), None, 'digest').open({{'name': 'a'}})\n"
        "(use.folder / '1.blob').write_bytes(b'half')\n"
        "print('there', flush=True)\ntime.sleep(600)"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "there\n"
    use_of(root, "b").close()
    assert len(leftovers(root)) == 2  # the folder and its lock, of one that lives
    process.send_signal(signal.SIGKILL)
    process.communicate()
    use = use_of(root, "a")
    assert not use.has_blobs
    use.close()
    assert leftovers(root) == []
    assert blobs(root) == []


def test_a_lock_that_is_swept_as_it_is_made_is_made_anew(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, calls = lock_alone, []

    def sweep_first(path: Path) -> Any:
        calls.append(path)
        return None if len(calls) == 1 else real(path)

    monkeypatch.setattr("vinoserve_runtime.engine.cache.lock_alone", sweep_first)
    use = use_of(root, "a")
    monkeypatch.undo()
    assert use.folder is not None
    assert lock_alone(use.folder.with_name(f"{use.folder.name}.lock")) is None  # it is held
    use.close()
    assert leftovers(root) == []


def test_locks(tmp_path: Path) -> None:
    path = tmp_path / "a.lock"
    first, second = lock_shared(path), lock_shared(path)
    assert lock_alone(path) is None
    first.release()
    second.release()
    alone = lock_alone(path)
    assert alone is not None
    alone.remove()
    assert not path.exists()
    again = lock_shared(path)  # a file of that name anew
    assert again.is_real
    again.release()
