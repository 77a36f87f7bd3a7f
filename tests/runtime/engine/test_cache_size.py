"""A cache keeps to its size: who goes first, who stays, and what is never kept."""

import json
import os
from pathlib import Path

import pytest

from tests.runtime.configs import make_config
from tests.runtime.engine.caching import blobs, fill, use_of
from tests.runtime.engine.compiling import compile_config


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
