"""Real models of every format, served by `vinoserve serve`: what clients get is what OpenVINO itself computes."""

# ruff: noqa: PLC0415 - the clients take a while to import: not while tests are collected

import json
from collections.abc import Iterator, Mapping
from typing import Any

import httpx
import numpy as np
import openvino as ov
import pytest
import yaml

from tests.models_real.cases import CASES, Case, Tensors
from tests.runtime.rest.process import Served, serving_manifest

# What these packages do is theirs.
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

F32 = {"INFERENCE_PRECISION_HINT": "f32"}
DATATYPES = {"float32": "FP32", "int32": "INT32", "int64": "INT64"}


@pytest.fixture(scope="module", params=CASES, ids=lambda case: case.name)
def case(request: pytest.FixtureRequest) -> Case:
    return request.param  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def served(case: Case, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp(case.name)
    manifest = folder / "service.yaml"
    body = {
        "apiVersion": "vinoserve.dev/v1alpha1",
        "kind": "InferenceService",
        "metadata": {"name": "m"},
        "spec": {"model": {"uri": f"file:{case.model()}"}, "hints": {"inferencePrecision": "f32"}},
    }
    manifest.write_text(yaml.safe_dump(body))
    with serving_manifest(manifest, folder) as served:
        yield served


@pytest.fixture(scope="module")
def expected(case: Case) -> list[np.ndarray]:
    """OpenVINO's own results, in the order of the model's outputs."""
    path = case.model()
    if path.is_dir() and case.format != "tensorflow":
        (path,) = [*path.glob("*.pdmodel"), *path.glob("*.xml")]
    compiled = ov.Core().compile_model(path, "CPU", F32)
    return [np.array(result) for result in compiled(case.inputs()).values()]


def check(results: Mapping[str, np.ndarray | None], expected: list[np.ndarray]) -> None:
    assert len(results) == len(expected)
    for (name, result), reference in zip(results.items(), expected, strict=True):
        assert result is not None, name
        assert (result.shape, result.dtype) == (reference.shape, reference.dtype), name
        np.testing.assert_allclose(result, reference, rtol=1e-4, atol=1e-5, err_msg=name)


def names(served: Served) -> list[str]:
    return [output["name"] for output in metadata(served)["outputs"]]


def metadata(served: Served) -> dict[str, Any]:
    return httpx.get(f"http://{served.url}/v2/models/m").json()  # type: ignore[no-any-return]


def rest_inputs(tensors: Tensors, *, binary: bool) -> list[Any]:
    from tritonclient.http import InferInput

    return [
        InferInput(name, list(tensor.shape), DATATYPES[str(tensor.dtype)]).set_data_from_numpy(
            tensor, binary_data=binary
        )
        for name, tensor in tensors.items()
    ]


@pytest.mark.parametrize("binary", [True, False], ids=["binary", "json"])
def test_rest(served: Served, case: Case, expected: list[np.ndarray], binary: bool) -> None:
    from tritonclient.http import InferenceServerClient, InferRequestedOutput

    with InferenceServerClient(served.url) as client:
        result = client.infer(
            "m",
            rest_inputs(case.inputs(), binary=binary),
            outputs=[InferRequestedOutput(name, binary_data=binary) for name in names(served)],
        )
        check({name: result.as_numpy(name) for name in names(served)}, expected)


def test_grpc(served: Served, case: Case, expected: list[np.ndarray]) -> None:
    from tritonclient.grpc import InferenceServerClient, InferInput

    inputs = [
        InferInput(name, list(tensor.shape), DATATYPES[str(tensor.dtype)]).set_data_from_numpy(tensor)
        for name, tensor in case.inputs().items()
    ]
    with InferenceServerClient(f"127.0.0.1:{served.grpc_port}") as client:
        result = client.infer("m", inputs)
        check({name: result.as_numpy(name) for name in names(served)}, expected)


def test_metadata_names_what_is_inferred_and_the_report_the_format(
    served: Served, case: Case, expected: list[np.ndarray]
) -> None:
    said = metadata(served)
    tensors = case.inputs()
    assert [tensor["name"] for tensor in said["inputs"]] == list(tensors)
    for tensor, sent in [
        *((tensor, tensors[tensor["name"]]) for tensor in said["inputs"]),
        *zip(said["outputs"], expected, strict=True),
    ]:
        assert tensor["datatype"] == DATATYPES[str(sent.dtype)]
        assert all(wanted in (-1, size) for wanted, size in zip(tensor["shape"], sent.shape, strict=True))
    report = json.loads(httpx.get(f"http://127.0.0.1:{served.admin_port}/report").content)
    assert report["model"]["format"] == case.format
    assert report["model"]["sizeBytes"] == sum(
        path.stat().st_size for path in [case.model(), *case.model().rglob("*")] if path.is_file()
    )
