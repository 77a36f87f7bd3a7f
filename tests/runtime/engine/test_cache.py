"""Compiled models on disk: found again, never stale, never damaged."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.runtime.configs import make_config
from tests.runtime.engine.caching import blobs, leftovers
from tests.runtime.engine.compiling import compile_file
from vinoserve_runtime.engine.cache import CompiledCache
from vinoserve_runtime.engine.cache_key import describe, make_key, read_isa
from vinoserve_runtime.engine.plan import make_plan
from vinoserve_runtime.ov import ov


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
