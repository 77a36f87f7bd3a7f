"""`vinoserve serve` over gRPC, as a user starts it: a real model, Triton's client, and SIGTERM."""

import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import httpx
import numpy as np
import yaml
from tritonclient.grpc import InferenceServerClient, InferInput
from tritonclient.utils import InferenceServerException

from tests.runtime.rest.process import Served, serving_process, write_model

A = np.array([[1, 2.5, -3, 0], [5, 6, 7, 8]], np.float32)
B = np.array([2**30 - 1, -1], np.int64)
FLAG = np.array([True, False, True])
HALF = np.array([0.5, -1.25], np.float16)
EXPECTED = {"sum": A + 1, "double": B * 2, "not": ~FLAG, "whole": HALF * 2}


def client(served: Served) -> InferenceServerClient:
    return InferenceServerClient(f"127.0.0.1:{served.grpc_port}")


def inputs() -> list[InferInput]:
    return [
        InferInput("a", [2, 4], "FP32").set_data_from_numpy(A),
        InferInput("b", [2], "INT64").set_data_from_numpy(B),
        InferInput("flag", [3], "BOOL").set_data_from_numpy(FLAG),
        InferInput("half", [2], "FP16").set_data_from_numpy(HALF),
    ]


def test_tritons_client_from_the_first_answer_to_the_last(tmp_path: Path) -> None:
    model = {"uri": "file:model.onnx", "inputs": [{"name": "a", "shape": ["1..8", 4]}]}
    with serving_process(tmp_path, model=model, hints={"inferencePrecision": "f32"}) as served:
        with client(served) as triton:
            assert triton.is_server_live()
            assert triton.is_server_ready()
            assert triton.is_model_ready("m", "1")
            metadata = triton.get_model_metadata("m", as_json=True)
            rest = httpx.get(f"http://{served.url}/v2/models/m").json()
            for kind in ("inputs", "outputs"):
                assert [
                    {**tensor, "shape": [int(size) for size in tensor["shape"]]} for tensor in metadata[kind]
                ] == rest[kind]
            result = triton.infer("m", inputs())
            for name, expected in EXPECTED.items():
                np.testing.assert_array_equal(result.as_numpy(name), expected)
            metrics = httpx.get(f"http://127.0.0.1:{served.admin_port}/metrics").text
            assert 'api="grpc",code="OK",model="m",operation="infer",outcome="success"' in metrics
        answered, refused = Event(), []

        def ask() -> int:
            count = 0
            with client(served) as triton:
                while True:
                    try:
                        result = triton.infer("m", inputs())
                    except InferenceServerException as error:
                        refused.append(error.status())
                        return count
                    np.testing.assert_array_equal(result.as_numpy("sum"), EXPECTED["sum"])
                    count += 1
                    answered.set()

        with ThreadPoolExecutor(4) as pool:
            asking = [pool.submit(ask) for _ in range(4)]
            assert answered.wait(60)
            served.process.terminate()
            assert served.process.wait(60) == 0
            assert sum(future.result(60) for future in asking) > 0
        # The latter is gRPC's own word for what arrives in the very moment of closing.
        assert set(refused) <= {"StatusCode.UNAVAILABLE", "StatusCode.CANCELLED"}
        assert "Traceback" not in served.log.read_text()


def test_a_port_that_is_taken(tmp_path: Path) -> None:
    write_model(tmp_path)
    document = {
        "apiVersion": "vinoserve.dev/v1alpha1",
        "kind": "InferenceService",
        "metadata": {"name": "m"},
        "spec": {"model": {"uri": "file:model.onnx"}},
    }
    (tmp_path / "m.yaml").write_text(yaml.safe_dump(document))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        command = [sys.executable, "-m", "vinoserve_cli", "serve", str(tmp_path / "m.yaml")]
        command += ["--http-port", "0", "--admin-port", "0", "--grpc-port", str(port)]
        ended = subprocess.run(
            [*command, "--cache-dir", str(tmp_path / "cache")],
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
    assert ended.returncode == 1
    assert f"port {port} is taken on this machine" in ended.stderr
    assert "PortInUse" in ended.stderr
