"""Inference over REST: every way in which a good request may be written."""

import json
from typing import Any

import numpy as np
import orjson
import pytest

from tests.runtime.rest.serving import FakeEngine, Running, serving, tensor
from vinoserve_runtime.errors import InferenceError
from vinoserve_runtime.tensors import NUMPY_DTYPES

X = {"name": "x", "datatype": "FP32", "shape": [1, 4], "data": [1, 2.5, -3, 0]}
Y = {"name": "y", "datatype": "FP32", "shape": [1, 4], "data": [2.0, 3.5, 0.0, 1.0]}
RAW_X = {"name": "x", "datatype": "FP32", "shape": [1, 4], "parameters": {"binary_data_size": 16}}
RAW = np.array([1, 2.5, -3, 0], np.float32).tobytes()


def binary(header: dict[str, Any], raw: bytes = RAW) -> tuple[bytes, dict[str, str]]:
    text = orjson.dumps(header)
    return text + raw, {"Inference-Header-Content-Length": str(len(text))}


def test_json(adder: Running) -> None:
    answer = adder.infer({"inputs": [X]})
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/json"
    assert "inference-header-content-length" not in answer.headers
    assert answer.json == {"model_name": "m", "model_version": "1", "outputs": [Y]}


@pytest.mark.parametrize(
    "data",
    [[[1, 2.5, -3, 0]], [1.0, 2.5, -3.0, 0.0], [1, 2.5, -3, -0.0]],
    ids=["nested", "floats", "negative zero"],
)
def test_ways_to_write_data(adder: Running, data: Any) -> None:
    assert adder.infer({"inputs": [{**X, "data": data}]}).json["outputs"] == [Y]


@pytest.mark.parametrize(
    "more",
    [
        {"parameters": {}},
        {"parameters": None},
        {"parameters": {"priority": 1, "sequence_id": "s", "weight": 0.5, "last": True}},
        {"outputs": []},
        {"outputs": None},
        {"outputs": [{"name": "y"}]},
        {"outputs": [{"name": "y", "parameters": {}}]},
        {"outputs": [{"name": "y", "parameters": {"binary_data": False}}]},
        {"parameters": {"binary_data_output": False}},
        {"id": None},
        {"model_name": "m", "something": {"new": [1]}},
    ],
    ids=str,
)
def test_what_may_stand_beside_the_inputs(adder: Running, more: dict[str, Any]) -> None:
    answer = adder.infer({"inputs": [X], **more})
    assert answer.status == 200, answer.body
    assert answer.json["outputs"] == [Y]
    assert "id" not in answer.json


def test_json_may_be_written_with_spaces_and_escapes(adder: Running) -> None:
    text = json.dumps({"inputs": [X]}, indent=4).replace('"x"', '"\\u0078"')
    assert adder.infer(b"\n\t " + text.encode() + b" \r\n").json["outputs"] == [Y]


@pytest.mark.parametrize("content_type", ["application/json", "text/plain", "application/octet-stream", ""])
def test_the_content_type_does_not_matter(adder: Running, content_type: str) -> None:
    body = orjson.dumps({"inputs": [X]})
    assert adder.infer(body, {"Content-Type": content_type}).status == 200


@pytest.mark.parametrize(
    "request_id",
    ["", "7", "1f14d7e0-a205-41bf-bcda-e0950060274e", 'a "quoted" one', "Größe 模型", "x" * 10_000],
)
def test_the_id_comes_back(adder: Running, request_id: str) -> None:
    assert adder.infer({"id": request_id, "inputs": [X]}).json["id"] == request_id
    body, headers = binary({"id": request_id, "inputs": [RAW_X], "parameters": {"binary_data_output": True}})
    answer = adder.infer(body, headers)
    split = int(answer.headers["inference-header-content-length"])
    assert orjson.loads(answer.body[:split])["id"] == request_id


def test_binary_in_json_out(adder: Running) -> None:
    body, headers = binary({"inputs": [RAW_X]})
    answer = adder.infer(body, headers)
    assert answer.headers["content-type"] == "application/json"
    assert answer.json["outputs"] == [Y]


def test_json_in_binary_out(adder: Running) -> None:
    answer = adder.infer({"inputs": [X], "outputs": [{"name": "y", "parameters": {"binary_data": True}}]})
    assert answer.status == 200
    split = int(answer.headers["inference-header-content-length"])
    assert np.frombuffer(answer.body[split:], np.float32).tolist() == [2.0, 3.5, 0.0, 1.0]


def test_binary_both_ways(adder: Running) -> None:
    body, headers = binary({"inputs": [RAW_X], "parameters": {"binary_data_output": True}})
    for _ in range(2):
        answer = adder.infer(body, headers)
        assert answer.status == 200
        assert answer.headers["content-type"] == "application/octet-stream"
        split = int(answer.headers["inference-header-content-length"])
        assert orjson.loads(answer.body[:split]) == {
            "model_name": "m",
            "model_version": "1",
            "outputs": [
                {"name": "y", "datatype": "FP32", "shape": [1, 4], "parameters": {"binary_data_size": 16}}
            ],
        }
        assert np.frombuffer(answer.body[split:], np.float32).tolist() == [2.0, 3.5, 0.0, 1.0]


@pytest.mark.parametrize("padding", range(8))
def test_binary_tensors_may_lie_anywhere(adder: Running, padding: int) -> None:
    body, headers = binary({"inputs": [RAW_X], "id": "x" * padding})
    assert adder.infer(body, headers).json["outputs"] == [Y]


def test_header_length_without_binary_data(adder: Running) -> None:
    body, headers = binary({"inputs": [X]}, b"")
    assert adder.infer(body, headers).json["outputs"] == [Y]


def test_non_finite_numbers_are_exact_in_binary_and_null_in_json(adder: Running) -> None:
    raw = np.array([np.nan, np.inf, 1e-45, -0.0], np.float32).tobytes()
    body, headers = binary({"inputs": [RAW_X], "parameters": {"binary_data_output": True}}, raw)
    answer = adder.infer(body, headers)
    split = int(answer.headers["inference-header-content-length"])
    np.testing.assert_array_equal(np.frombuffer(answer.body[split:], np.float32), [np.nan, np.inf, 1, 1])
    body, headers = binary({"inputs": [RAW_X]}, raw)
    assert adder.infer(body, headers).json["outputs"][0]["data"] == [None, None, 1.0, 1.0]


# ---- several tensors ----


def everything(shape: int, **by_datatype: Any) -> list[dict[str, Any]]:
    return [
        {
            "name": f"in_{datatype}",
            "datatype": datatype,
            "shape": [shape],
            **by_datatype.get(datatype, {"data": []}),
        }
        for datatype in NUMPY_DTYPES
    ]


def test_all_datatypes_in_json(echo: Running) -> None:
    values: dict[str, list[Any]] = {
        "BOOL": [True, False],
        "FP16": [0.5, -2],
        "BF16": [0.5, -2],
        "FP32": [0.1, -2],
        "FP64": [0.1, -2],
        "BYTES": ["a", "Grüße"],
        "INT64": [2**63 - 1, -(2**63)],
        "UINT64": [2**64 - 1, 0],
    }
    data = {datatype: {"data": values.get(datatype, [1, 2])} for datatype in NUMPY_DTYPES}
    answer = echo.infer({"inputs": everything(2, **data)})
    assert answer.status == 200, answer.body
    assert {output["datatype"]: output["data"] for output in answer.json["outputs"]} == {
        datatype: values.get(datatype, [1, 2]) for datatype in NUMPY_DTYPES
    }


def test_booleans_may_be_written_as_numbers(echo: Running) -> None:
    inputs = everything(0)
    inputs[0] = {**inputs[0], "shape": [3], "data": [1, 0, True]}
    answer = echo.infer({"inputs": inputs, "outputs": [{"name": "out_BOOL"}]})
    assert answer.json["outputs"][0]["data"] == [True, False, True]


def test_outputs_come_in_the_order_and_the_form_asked_for(echo: Running) -> None:
    data = {"INT8": {"data": [1]}, "FP32": {"data": [0.5]}}
    inputs = [item for item in everything(1, **data) if item["datatype"] in data] + [
        item for item in everything(0) if item["datatype"] not in data
    ]
    wanted = [
        {"name": "out_FP32", "parameters": {"binary_data": False}},
        {"name": "out_INT8"},
        {"name": "out_BYTES", "parameters": {"binary_data": True}},
    ]
    answer = echo.infer(
        {"inputs": inputs[::-1], "outputs": wanted, "parameters": {"binary_data_output": True}}
    )
    split = int(answer.headers["inference-header-content-length"])
    assert orjson.loads(answer.body[:split])["outputs"] == [
        {"name": "out_FP32", "datatype": "FP32", "shape": [1], "data": [0.5]},
        {"name": "out_INT8", "datatype": "INT8", "shape": [1], "parameters": {"binary_data_size": 1}},
        {"name": "out_BYTES", "datatype": "BYTES", "shape": [0], "parameters": {"binary_data_size": 0}},
    ]
    assert answer.body[split:] == b"\x01"


def test_binary_and_json_inputs_in_one_request(echo: Running) -> None:
    inputs = everything(0)
    for item in inputs:
        if item["datatype"] in {"INT16", "BYTES"}:
            del item["data"]
            item["shape"] = [2]
            item["parameters"] = {"binary_data_size": 4 if item["datatype"] == "INT16" else 11}
    raw = np.array([1, -1], np.int16).tobytes() + b"\x01\0\0\0a\x02\0\0\0bc"
    body, headers = binary({"inputs": inputs}, raw)
    outputs = {output["name"]: output["data"] for output in echo.infer(body, headers).json["outputs"]}
    assert outputs["out_INT16"] == [1, -1]
    assert outputs["out_BYTES"] == ["a", "bc"]


@pytest.mark.parametrize(("shape", "data"), [([], [5]), ([0, 3], []), ([2, 0], [[], []]), ([1, 1], [[5]])])
def test_scalars_and_empty_tensors(shape: list[int], data: list[Any]) -> None:
    infos = [tensor("x", "INT32", *([-1] * len(shape)))]
    with serving(FakeEngine(infos, infos, list)) as server:
        answer = server.infer({"inputs": [{"name": "x", "datatype": "INT32", "shape": shape, "data": data}]})
        assert answer.status == 200, answer.body
        assert answer.json["outputs"][0]["shape"] == shape
        count = int(np.prod(shape))
        assert len(answer.json["outputs"][0]["data"]) == count
        item = {
            "name": "x",
            "datatype": "INT32",
            "shape": shape,
            "parameters": {"binary_data_size": 4 * count},
        }
        body, headers = binary(
            {"inputs": [item], "parameters": {"binary_data_output": True}}, bytes(4 * count)
        )
        assert server.infer(body, headers).body.endswith(b"}" + bytes(4 * count))


def test_a_failing_engine_is_500_with_its_message() -> None:
    def fail(_: Any) -> Any:
        raise InferenceError("the device was lost")

    with serving(FakeEngine([tensor("x", "FP32", 1)], [], fail)) as server:
        answer = server.infer({"inputs": [{"name": "x", "datatype": "FP32", "shape": [1], "data": [0]}]})
        assert (answer.status, answer.error) == (500, "the device was lost")


def test_an_unforeseen_failure_tells_clients_nothing() -> None:
    def fail(_: Any) -> Any:
        raise RuntimeError("secret")

    with serving(FakeEngine([tensor("x", "FP32", 1)], [], fail)) as server:
        answer = server.infer({"inputs": [{"name": "x", "datatype": "FP32", "shape": [1], "data": [0]}]})
        assert (answer.status, answer.error) == (500, "internal error")
        assert server.get("/v2/health/live").status == 200
