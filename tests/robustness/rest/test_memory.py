"""Memory stays flat, whatever is asked: good and bad requests, in JSON and in binary, new connections and old."""

from pathlib import Path

import numpy as np
import orjson

from tests.robustness.rest.memory import REQUESTS, assert_flat
from tests.runtime.rest.process import Served, serving_process
from tests.runtime.rest.raw_http import Wire, request
from tests.runtime.rest.serving import binary

PATH = "/v2/models/m/infer"
AT_ONCE = 10
"""Pipelined."""


def inputs(index: int) -> list[dict[str, object]]:
    return [
        {"name": "a", "datatype": "FP32", "shape": [1 + index % 7, 4], "data": [1.5] * 4 * (1 + index % 7)},
        {"name": "b", "datatype": "INT64", "shape": [2], "data": [index, 2]},
        {"name": "flag", "datatype": "BOOL", "shape": [3], "data": [True, True, False]},
        {"name": "half", "datatype": "FP16", "shape": [2], "data": [1, 2]},
    ]


def make_requests(index: int) -> list[tuple[int, bytes]]:
    """Their statuses, and what is sent; every one with an id of its own, so that none is like another."""
    good = {"id": str(index), "inputs": inputs(index)}
    raws = [np.ones((2, 4), np.float32), np.int64([1, 2]), np.bool_([True] * 3), np.float16([1, 2])]
    items = [
        {
            **{key: item[key] for key in ("name", "datatype")},
            "shape": raw.shape,
            "parameters": {"binary_data_size": raw.nbytes},
        }
        for item, raw in zip(inputs(0), raws, strict=True)
    ]
    body, headers = binary({"id": str(index), "inputs": items}, b"".join(raw.tobytes() for raw in raws))
    length = headers["Inference-Header-Content-Length"]
    return [
        *[(200, request("POST", PATH, orjson.dumps(good)))] * 4,
        *[(200, request("POST", PATH, body, f"Inference-Header-Content-Length: {length}"))] * 3,
        (400, request("POST", PATH, orjson.dumps({**good, "inputs": good["inputs"][1:]}))),
        (404, request("POST", f"/v2/models/other{index}/infer", b"{}")),
        (200, request("GET", "/v2/models/m", b"")),
    ]


def ask(served: Served, first: int, count: int) -> None:
    for start in range(first, first + count, 100 * AT_ONCE):
        with Wire(served.port) as wire:
            for index in range(start, start + 100 * AT_ONCE, AT_ONCE):
                asked = make_requests(index)
                wire.send(b"".join(data for _, data in asked))
                assert [wire.answer().status for _ in asked] == [status for status, _ in asked]


def test_memory_stays_flat(tmp_path: Path) -> None:
    with serving_process(tmp_path) as served:
        assert_flat(served, lambda first, count: ask(served, first, count), REQUESTS)
