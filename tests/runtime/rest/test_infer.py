"""Inference over REST."""

import numpy as np
import orjson
from tests.runtime.rest.serving import Running


def x_of(data, **more):
    return {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 4], "data": data, **more}]}


def test_json(adder: Running) -> None:
    answer = adder.infer({"id": "7", **x_of([1, 2.5, -3, 0])})
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.json == {
        "model_name": "m",
        "model_version": "1",
        "id": "7",
        "outputs": [{"name": "y", "datatype": "FP32", "shape": [1, 4], "data": [2.0, 3.5, 0.0, 1.0]}],
    }


def test_binary_both_ways(adder: Running) -> None:
    raw = np.array([1, 2.5, -3, 0], np.float32).tobytes()
    header = orjson.dumps(
        {
            "inputs": [
                {
                    "name": "x",
                    "datatype": "FP32",
                    "shape": [1, 4],
                    "parameters": {"binary_data_size": len(raw)},
                }
            ],
            "parameters": {"binary_data_output": True},
        }
    )
    answer = adder.infer(header + raw, {"Inference-Header-Content-Length": str(len(header))})
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/octet-stream"
    split = int(answer.headers["inference-header-content-length"])
    assert orjson.loads(answer.body[:split])["outputs"] == [
        {"name": "y", "datatype": "FP32", "shape": [1, 4], "parameters": {"binary_data_size": 16}}
    ]
    assert np.frombuffer(answer.body[split:], np.float32).tolist() == [2.0, 3.5, 0.0, 1.0]
