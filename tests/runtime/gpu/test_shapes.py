"""Changing shapes on OpenVINO's real GPU plugin: buckets are compiled fixed, a bounded batch refuses more, batches go together."""

from pathlib import Path

import httpx
import numpy as np
import pytest

from tests.runtime.engine.growing import write_convolution, write_encoder
from tests.runtime.gpu.probing import F32, agree, probe
from tests.runtime.lifecycle.test_shapes import ask, read, write_manifest
from tests.runtime.rest.process import serving_manifest

pytestmark = [pytest.mark.gpu_emulated, pytest.mark.timeout(900)]


def test_buckets_answer_as_the_cpu_without(one_gpu: dict[str, str], tmp_path: Path) -> None:
    path = write_convolution(tmp_path / "m.xml")
    on_cpu = probe(one_gpu, path, tmp_path / "cache", hints=F32)
    entry = {"name": "x", "buckets": [[1, 3, 4, 4], [1, 3, 8, 8]]}
    for hit in (False, True):
        result = probe(one_gpu, path, tmp_path / "cache", targetDevice="GPU", hints=F32, inputs=[entry])
        assert result["seen"] == [["GPU.0"]]
        assert result["onRequested"]
        assert result["cacheHit"] is hit
        assert result["warnings"] == []
        agree(result, on_cpu)


def test_batch_takes_buckets(one_gpu: dict[str, str], tmp_path: Path) -> None:
    path = write_convolution(tmp_path / "m.xml")
    entry = {"name": "x", "buckets": [[1, 3, 4, 4], [1, 3, 8, 8]]}
    fields = {"hints": F32, "inputs": [entry], "batching": {"maxBatchSize": 2, "timeoutMilliseconds": 1}}
    result = probe(one_gpu, path, tmp_path / "cache", targetDevice="BATCH:GPU", **fields)
    assert result["inferRequests"] == 2
    assert result["onRequested"]
    assert result["effective"] == []
    agree(result, probe(one_gpu, path, tmp_path / "cache", hints=F32))


def test_a_bounded_batch(one_gpu: dict[str, str], tmp_path: Path) -> None:
    write_encoder(tmp_path / "model.xml")
    entries = [{"name": name, "shape": ["1..4", 6]} for name in ("ids", "mask")]
    manifest = write_manifest(
        tmp_path,
        {"inputs": entries},
        targetDevice="GPU",
        batching={"maxBatchSize": 4},
        warmup={"requests": 1},
    )
    with serving_manifest(manifest, tmp_path, one_gpu) as served:
        report = httpx.get(f"http://127.0.0.1:{served.admin_port}/report").json()
        assert report["executionDevices"] == ["GPU.0"]
        ids = np.arange(24).reshape(4, 6)
        whole = read(ask(served, "INT64", ids=ids, mask=np.ones_like(ids)))
        for row in range(4):
            one = read(ask(served, "INT64", ids=ids[row : row + 1], mask=np.ones((1, 6), np.int64)))
            for name, value in one.items():
                np.testing.assert_allclose(value, whole[name][row : row + 1], atol=1e-4)
        over = ask(served, "INT64", ids=np.ones((5, 6), np.int64), mask=np.ones((5, 6), np.int64))
        assert over.status_code == 400
        assert 'input "ids": shape [5, 6] doesn\'t fit; the model takes [1..4, 6]' in over.json()["error"]
