"""Compiled models on disk: found again, never stale, never damaged, never in the way of a start, shared and bounded."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.models import write_adder, write_classifier
from tests.runtime.configs import make_config
from tests.runtime.engine.compiling import compile_config, compile_file
from vinoserve_runtime.engine.cache import CacheUse, CompiledCache
from vinoserve_runtime.engine.cache_key import describe, make_key, read_isa
from vinoserve_runtime.engine.locks import lock_alone, lock_shared
from vinoserve_runtime.engine.plan import make_plan
from vinoserve_runtime.ov import ov


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_classifier(tmp_path / "m.xml")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "cache"


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


# --- with OpenVINO


def test_the_second_compile_comes_from_the_cache(model: Path, root: Path) -> None:
    for hit in (False, True):
        compiled = compile_file(model, root)
        assert compiled.cache_hit is hit
        assert compiled.cache_warnings == ()
        compiled.close()
        assert leftovers(root) == []
    assert compile_file(model).cache_hit is None


def test_it_says_for_people_what_it_holds(model: Path, root: Path) -> None:
    compile_file(model, root, hints={"inferencePrecision": "f32"}).close()
    (about,) = [json.loads(path.read_text()) for path in root.glob("*/about.json")]
    assert about["target"] == "CPU"
    assert about["properties"]["INFERENCE_PRECISION_HINT"] == "f32"
    assert about["openvino"].startswith(str(ov.get_version()))
    assert about["devices"]["CPU"]["isa"]


def flip(blob: Path) -> None:
    data = bytearray(blob.read_bytes())
    data[len(data) // 2] ^= 1
    blob.write_bytes(data)


def make_folder(blob: Path) -> None:
    blob.unlink()
    blob.mkdir()


DAMAGES: dict[str, Callable[[Path], Any]] = {
    "empty": lambda blob: blob.write_bytes(b""),
    "cut off": lambda blob: os.truncate(blob, blob.stat().st_size // 2),
    "one bit": flip,
    "garbage": lambda blob: blob.write_bytes(b"garbage" * 1000),
    "a folder": make_folder,
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_blob_is_discarded_and_compiled_anew(model: Path, root: Path, damage: str) -> None:
    compile_file(model, root).close()
    (blob,) = blobs(root)
    DAMAGES[damage](blob)
    again = compile_file(model, root)
    assert again.cache_hit is False
    assert again.cache_warnings == (f"{blob} is damaged: discarded",)
    again.close()
    third = compile_file(model, root)
    assert (third.cache_hit, third.cache_warnings) == (True, ())
    third.close()


def test_what_comes_from_the_cache_is_set_as_it_was(model: Path, root: Path) -> None:
    for hit in (False, True):
        compiled = compile_file(model, root)
        assert compiled.cache_hit is hit
        assert compiled.compiled.get_property("ENABLE_CPU_PINNING") is False
        compiled.close()


def test_what_openvino_refuses_is_replaced(model: Path, root: Path) -> None:
    """Whole as we wrote it, and yet no compiled model: an OpenVINO that changed without its version, say."""
    compile_file(model, root).close()
    (blob,) = blobs(root)
    use = CompiledCache(root, None, str(model)).open(json.loads((blob.parent / "about.json").read_text()))
    assert use.folder is not None
    link = use.folder / f"{blob.name.partition('.')[0]}.blob"
    link.unlink()
    link.write_bytes(b"no blob of this OpenVINO" * 100)
    use.close()
    again = compile_file(model, root)
    assert again.cache_hit is False
    assert [w for w in again.cache_warnings if "compiled anew" in w]
    again.close()
    assert compile_file(model, root).cache_hit is True


@pytest.mark.parametrize(
    "fields",
    [
        {"hints": {"performanceMode": "THROUGHPUT"}},
        {"hints": {"inferencePrecision": "f32"}},
        {"targetDevice": "AUTO:CPU"},
        {"inputs": [{"name": "x", "client": {"elementType": "u8"}}]},
        {"properties": {"CPU": {"ENABLE_CPU_PINNING": True}}},
    ],
)
def test_another_configuration_is_another_compiled_model(
    model: Path, root: Path, fields: dict[str, Any]
) -> None:
    compile_file(model, root).close()
    compiled = compile_file(model, root, **fields)
    assert compiled.cache_hit is False
    compiled.close()


def test_the_key_knows_model_openvino_device_and_driver(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config, core = make_config(model), ov.Core()
    plan = make_plan(core, config)

    def key(digest: str = "sha256:1") -> str:
        return make_key(describe(core, config, plan.target, plan.configuration, digest))

    first = key()
    assert key() == first
    assert key("sha256:2") != first
    monkeypatch.setattr("vinoserve_runtime.engine.cache_key._read_cpu_flags", lambda: ["avx2", "fma"])
    assert key() != first
    assert read_isa(["sse4_2", "avx512_bf16", "amx_tile", "apic"]) == ["amx_tile", "avx512_bf16", "sse4_2"]


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


# --- shared


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


# --- bounded


def test_the_least_recently_used_goes_first(root: Path) -> None:
    for age, name in enumerate(["old", "middle", "new"]):
        use = fill(root, name, 1000)
        use.close()
        os.utime(root / f"{use.key}.lock", (age + 1.0, age + 1.0))
    use_of(root, "old").close()  # is the newest now
    fill(root, "another", 1000, limit=3500).close()
    names = {json.loads(path.read_text())["name"] for path in root.glob("*/about.json")}
    assert names == {"old", "new", "another"}
    assert len(list(root.glob("*.lock"))) == 3


def test_room_is_made_before_a_compile(root: Path) -> None:
    fill(root, "old", 1000).close()
    use_of(root, "new", limit=5000, expected=4500).close()
    assert blobs(root) == []


def test_what_is_in_use_stays(root: Path) -> None:
    used = fill(root, "used", 1000)
    new = fill(root, "new", 1000, limit=1500)
    assert [w for w in new.warnings if "in use" in w and "spec.cache.compiled.sizeLimit" in w]
    assert {path.parent.name for path in blobs(root)} == {used.key}
    used.close()
    new.close()
    assert {path.parent.name for path in blobs(root)} == {new.key}


def test_one_that_is_larger_than_all_may_be_is_not_kept(model: Path, root: Path) -> None:
    compiled = compile_config(model, make_config(model, cacheSizeLimit=100), root)
    assert compiled.cache_hit is False
    assert [w for w in compiled.cache_warnings if "larger than the cache may be (100 bytes" in w]
    compiled.close()
    assert blobs(root) == []


# --- locks


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


def test_a_filesystem_without_locks_has_nobody_evicted(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(descriptor: int, kind: int) -> None:
        raise OSError(95, "Operation not supported")

    fill(root, "old", 1000).close()
    monkeypatch.setattr("fcntl.flock", refuse)
    new = fill(root, "new", 1000, limit=1500)
    assert [w for w in new.warnings if "in use" in w]
    new.close()
    assert len(blobs(root)) == 1
    hit = use_of(root, "old")
    assert hit.has_blobs
    hit.close()
