"""Buckets and batching as users meet them: `serve`, and clients of REST and gRPC."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import openvino as ov
import pytest
import yaml
from tritonclient.grpc import InferenceServerClient, InferInput
from tritonclient.utils import InferenceServerException

from tests.runtime.engine.growing import write_encoder, write_scaled
from tests.runtime.rest.process import Served, serving_manifest

RNG = np.random.default_rng(3)
F32 = {"inferencePrecision": "f32"}


def write_manifest(folder: Path, model: dict[str, Any], **spec: Any) -> Path:
    manifest = folder / "m.yaml"
    manifest.write_text(
        yaml.safe_dump(
            {
                "apiVersion": "vinoserve.dev/v1alpha1",
                "kind": "InferenceService",
                "metadata": {"name": "m"},
                "spec": {"model": {"uri": "file:model.xml", **model}, "hints": F32, **spec},
            }
        )
    )
    return manifest


def ask(served: Served, datatype: str, **tensors: np.ndarray) -> httpx.Response:
    inputs = [
        {"name": name, "datatype": datatype, "shape": tensor.shape, "data": tensor.ravel().tolist()}
        for name, tensor in tensors.items()
    ]
    return httpx.post(f"http://{served.url}/v2/models/m/infer", json={"inputs": inputs}, timeout=60)


def read(answer: httpx.Response) -> dict[str, np.ndarray]:
    assert answer.status_code == 200, answer.text
    return {
        output["name"]: np.array(output["data"]).reshape(output["shape"])
        for output in answer.json()["outputs"]
    }


def ask_grpc(client: InferenceServerClient, datatype: str, **tensors: np.ndarray) -> Any:
    return client.infer(
        "m",
        [
            InferInput(name, tensor.shape, datatype).set_data_from_numpy(tensor)
            for name, tensor in tensors.items()
        ],
    )


def tokens(*shape: int) -> dict[str, np.ndarray]:
    return {"ids": RNG.integers(0, 100, shape), "mask": np.ones(shape, np.int64)}


def test_requests_of_any_length_on_fixed_shapes(tmp_path: Path) -> None:
    path = write_encoder(tmp_path / "model.xml")
    core = ov.Core()
    plain = core.compile_model(core.read_model(path), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    entries = [{"name": name, "buckets": [[1, 8], [2, 32]]} for name in ("ids", "mask")]
    manifest = write_manifest(
        tmp_path,
        {"inputs": entries},
        targetDevice="BATCH:CPU",
        batching={"maxBatchSize": 2, "timeoutMilliseconds": 1},
    )
    with (
        serving_manifest(manifest, tmp_path) as served,
        InferenceServerClient(f"127.0.0.1:{served.grpc_port}") as client,
    ):
        metadata = httpx.get(f"http://{served.url}/v2/models/m").json()
        assert [tensor["shape"] for tensor in metadata["inputs"]] == [[-1, -1], [-1, -1]]
        report = httpx.get(f"http://127.0.0.1:{served.admin_port}/report").json()
        assert report["executionDevices"] == ["CPU"]
        for shape in [(1, 8), (1, 5), (2, 11)]:
            given = tokens(*shape)
            wanted = {key.any_name: value for key, value in plain(given).items()}
            over_grpc = ask_grpc(client, "INT64", **given)
            for name, value in read(ask(served, "INT64", **given)).items():
                np.testing.assert_allclose(value, wanted[name], atol=1e-5)
                np.testing.assert_allclose(over_grpc.as_numpy(name), wanted[name], atol=1e-5)
        too_long = ask(served, "INT64", **tokens(1, 33))
        assert too_long.status_code == 400
        assert 'input "ids"' in too_long.json()["error"]
        assert "its largest bucket is [2, 32]" in too_long.json()["error"]
        with pytest.raises(InferenceServerException, match=r"largest bucket is \[2, 32\]"):
            ask_grpc(client, "INT64", **tokens(3, 8))
        unlike = ask(served, "INT64", ids=tokens(1, 7)["ids"], mask=tokens(1, 6)["mask"])
        assert unlike.status_code == 400
        assert 'input "ids" [1, 7], input "mask" [1, 6]' in unlike.json()["error"]


def test_requests_of_many_clients_go_together(tmp_path: Path) -> None:
    write_scaled(tmp_path / "model.xml", [-1, 4])
    manifest = write_manifest(
        tmp_path,
        {"inputs": [{"name": "x", "shape": ["1..16", 4]}]},
        batching={"maxBatchSize": 16, "timeoutMilliseconds": 200},
    )
    with (
        serving_manifest(manifest, tmp_path) as served,
        ThreadPoolExecutor(16) as pool,
        InferenceServerClient(f"127.0.0.1:{served.grpc_port}") as client,
    ):
        given = [np.full((1 + n % 2, 4), n, np.float32) for n in range(32)]

        def one(x: np.ndarray) -> np.ndarray:
            if x[0, 0] % 3:
                return read(ask(served, "FP32", x=x))["y"]
            return ask_grpc(client, "FP32", x=x).as_numpy("y")  # type: ignore[no-any-return]

        for x, y in zip(given, pool.map(one, given), strict=True):
            np.testing.assert_array_equal(y, x * 2)
        metrics = httpx.get(f"http://127.0.0.1:{served.admin_port}/metrics").text
        figures = {
            line.split("{")[0]: float(line.split()[-1])
            for line in metrics.splitlines()
            if line.startswith("vinoserve_batch_size_")
        }
        assert figures["vinoserve_batch_size_sum"] == 48
        assert figures["vinoserve_batch_size_count"] < 16
        over = ask(served, "FP32", x=np.ones((17, 4), np.float32))
        assert over.status_code == 400
        assert 'input "x": shape [17, 4] doesn\'t fit; the model takes [1..16, 4]' in over.json()["error"]
