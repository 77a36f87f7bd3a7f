"""What a Job does before there are pods: all that comes before ready, and a cache that is full."""

from pathlib import Path
from typing import Any

import pytest

from tests.models import write_adder
from tests.runtime.configs import make_config
from tests.runtime.lifecycle import here
from vinoserve_api.conditions import FailureReason
from vinoserve_api.contract import RuntimeFailure
from vinoserve_cli.__main__ import main
from vinoserve_runtime.lifecycle import Lifecycle

BUCKETS = {"inputs": [{"name": "x", "buckets": [[1, 4], [8, 4]]}]}


async def precompile(
    folder: Path, cache: Path | None, **fields: Any
) -> tuple[Lifecycle, RuntimeFailure | None]:
    config = make_config(write_adder(folder / "m.onnx", shape=(-1, 4)), **fields)
    lifecycle = Lifecycle(config, here.make_settings(folder, cache_dir=cache, precompile=True))
    return lifecycle, await lifecycle.run()


@pytest.mark.parametrize(
    "fields", [{}, BUCKETS, {"targetDevice": "AUTO:CPU"}], ids=["dynamic", "buckets", "auto"]
)
async def test_whoever_starts_next_compiles_nothing(tmp_path: Path, fields: dict[str, Any]) -> None:
    cache = tmp_path / "cache"
    lifecycle, failure = await precompile(tmp_path, cache, **fields)
    assert failure is None
    assert lifecycle.report().startup.cache_hit is False
    assert lifecycle.rest_port == lifecycle.grpc_port == 0, "nothing is served"
    assert [path for path in cache.iterdir() if path.name.endswith(".tmp")] == []
    async with here.running(tmp_path, path=tmp_path / "m.onnx", cache_dir=cache, **fields) as (next_, task):
        await here.until(lambda: next_.why_not_ready() is None, task)
        assert next_.report().startup.cache_hit is True
    assert (await precompile(tmp_path, cache, **fields))[1] is None, "once more does no harm"


async def test_a_model_that_cannot_be_kept_is_a_failure(tmp_path: Path) -> None:
    taken = tmp_path / "cache"
    taken.write_text("a file where the folder should be")
    _, failure = await precompile(tmp_path, taken)
    assert failure is not None
    assert failure.reason == FailureReason.CACHE_UNUSABLE
    assert str(taken) in failure.message
    _, failure = await precompile(tmp_path, tmp_path / "small", cacheSizeLimit=10)
    assert failure is not None
    assert "spec.cache.compiled.sizeLimit" in failure.message


async def test_what_would_not_start_does_not_compile_either(tmp_path: Path) -> None:
    _, failure = await precompile(tmp_path, tmp_path / "cache", inputs=[{"name": "nosuch", "shape": [1, 4]}])
    assert failure is not None
    assert failure.reason == FailureReason.INVALID_INPUT


def test_a_manifest_is_not_precompiled(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", "x.yaml", "--precompile"]) == 2
    assert "--precompile goes with --config" in capsys.readouterr().err
