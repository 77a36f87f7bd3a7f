"""Clients that others wrote, as they are: Triton's and KServe's, against a real server of a real model."""

# ruff: noqa: PLC0415 - the client takes a while to import: not while tests are collected

import asyncio
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.runtime.rest.process import Served, serving_process

# What these packages do is theirs.
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

ROOT = Path(__file__).parents[3]

A = np.array([[1, 2.5, -3, 0], [5, 6, 7, 8]], np.float32)
B = np.array([2**30 - 1, -1], np.int64)  # OpenVINO's CPU plugin counts in 32 bits
FLAG = np.array([True, False, True])
HALF = np.array([0.5, -1.25], np.float16)
EXPECTED = {"sum": A + 1, "double": B * 2, "not": ~FLAG, "whole": HALF * 2}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("clients")
    model = {"uri": "file:model.onnx", "inputs": [{"name": "a", "shape": ["1..8", 4]}]}
    with serving_process(folder, model=model, hints={"inferencePrecision": "f32"}) as served:
        yield served


@pytest.fixture(scope="module")
def triton(served: Served) -> Iterator[Any]:
    import tritonclient.http

    with tritonclient.http.InferenceServerClient(served.url) as client:
        yield client


def triton_inputs(*, binary: bool) -> list[Any]:
    from tritonclient.http import InferInput

    return [
        InferInput("a", [2, 4], "FP32").set_data_from_numpy(A, binary_data=binary),
        InferInput("b", [2], "INT64").set_data_from_numpy(B, binary_data=binary),
        InferInput("flag", [3], "BOOL").set_data_from_numpy(FLAG, binary_data=binary),
        # Triton's client sends FP16 in binary only.
        InferInput("half", [2], "FP16").set_data_from_numpy(HALF, binary_data=True),
    ]


def test_triton_asks_for_health_and_metadata(triton: Any) -> None:
    assert triton.is_server_live()
    assert triton.is_server_ready()
    assert triton.is_model_ready("m")
    assert triton.is_model_ready("m", "1")
    assert not triton.is_model_ready("other")
    assert "binary_tensor_data" in triton.get_server_metadata()["extensions"]
    metadata = triton.get_model_metadata("m")
    assert metadata["inputs"][0] == {"name": "a", "datatype": "FP32", "shape": [-1, 4]}
    assert [output["name"] for output in metadata["outputs"]] == list(EXPECTED)


def test_triton_looks_into_the_repository(triton: Any) -> None:
    from tritonclient.utils import InferenceServerException

    index = triton.get_model_repository_index()
    assert index == [{"name": "m", "version": "1", "state": "READY", "reason": ""}]
    for change in (triton.load_model, triton.unload_model):
        with pytest.raises(InferenceServerException, match=r"\[409\].*change spec.model"):
            change("m")


@pytest.mark.parametrize("coding", [None, "gzip", "deflate"])
@pytest.mark.parametrize("binary_out", [True, False])
@pytest.mark.parametrize("binary_in", [True, False])
def test_triton_infers(triton: Any, binary_in: bool, binary_out: bool, coding: str | None) -> None:
    from tritonclient.http import InferRequestedOutput

    result = triton.infer(
        "m",
        triton_inputs(binary=binary_in),
        model_version="1",
        outputs=[InferRequestedOutput(name, binary_data=binary_out and name != "whole") for name in EXPECTED],
        request_id="7",
        request_compression_algorithm=coding,
        response_compression_algorithm=coding,
    )
    assert result.get_response()["id"] == "7"
    for name, expected in EXPECTED.items():
        if name != "whole":
            np.testing.assert_array_equal(result.as_numpy(name), expected)
    assert result.get_output("whole")["data"] == [1.0, -2.5]


def test_triton_gets_every_output_in_binary_without_asking(triton: Any) -> None:
    result = triton.infer("m", triton_inputs(binary=True))
    for name, expected in EXPECTED.items():
        np.testing.assert_array_equal(result.as_numpy(name), expected)


def test_triton_at_once(triton: Any) -> None:
    pending = [
        triton.async_infer("m", triton_inputs(binary=True), request_id=str(index)) for index in range(20)
    ]
    for index, request in enumerate(pending):
        result = request.get_result()
        assert result.get_response()["id"] == str(index)
        np.testing.assert_array_equal(result.as_numpy("sum"), EXPECTED["sum"])


def test_triton_shows_what_is_wrong(triton: Any) -> None:
    from tritonclient.http import InferInput
    from tritonclient.utils import InferenceServerException

    wrong = [InferInput("a", [1, 5], "FP32").set_data_from_numpy(np.zeros((1, 5), np.float32))]
    with pytest.raises(InferenceServerException, match=r'\[400\].*input "a": shape \[1, 5\] doesn\'t fit'):
        triton.infer("m", wrong)
    with pytest.raises(InferenceServerException, match=r'\[404\].*no model "other"'):
        triton.infer("other", triton_inputs(binary=True))


@pytest.mark.parametrize("encoding", ["binary", "json"])
async def test_kserve_infers(served: Served, encoding: str) -> None:
    """In a process of its own: kserve's and Triton's clients register messages of the same names."""
    client = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.runtime.rest.kserve_client", served.url, encoding,
        cwd=ROOT, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    said, _ = await client.communicate()
    assert client.returncode == 0, said.decode()
