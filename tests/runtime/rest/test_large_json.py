"""JSON of many megabytes: right, or told what is wrong, and nobody else waits for it."""

import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import orjson
import psutil
import pytest

from tests.runtime.rest.raw_http import Wire, get
from tests.runtime.rest.serving import LIMITS, FakeEngine, Running, binary, serving, tensor
from tests.runtime.rest.waiting import wait_for
from vinoserve_runtime.rest import decoding

COUNT = 1_000_000
VALUES = np.random.default_rng(1).random(COUNT, np.float32)


def make_item(**fields: object) -> dict[str, object]:
    return {"name": "x", "datatype": "FP32", "shape": [COUNT], "data": VALUES, **fields}


def make_body(*items: dict[str, object]) -> bytes:
    return orjson.dumps({"id": "7", "inputs": items or [make_item()]}, option=orjson.OPT_SERIALIZE_NUMPY)


@pytest.fixture(scope="module")
def server() -> Iterator[Running]:
    engine = FakeEngine(
        [tensor("x", "FP32", -1), tensor("few", "INT8", -1)],
        [tensor("sum", "FP64", 1)],
        lambda given: [np.array([given[0].sum(dtype=np.float64) + given[1].sum()])],
    )
    with serving(engine, LIMITS.model_copy(update={"max_request_bytes": 64 << 20})) as running:
        yield running


FEW = {"name": "few", "datatype": "INT8", "shape": [2], "data": [1, 2]}
EXPECTED = VALUES.sum(dtype=np.float64) + 3


def find_process() -> psutil.Process:
    (found,) = [
        child for child in psutil.Process().children() if "vinoserve_runtime.json_process" in child.cmdline()
    ]
    return found


def test_it_is_decoded_right(server: Running) -> None:
    answer = server.infer(make_body(make_item(), FEW))
    assert answer.json["id"] == "7"
    assert answer.json["outputs"][0]["data"] == [EXPECTED]


def test_beside_raw_tensors(server: Running) -> None:
    few = {**FEW, "parameters": {"binary_data_size": 2}}
    del few["data"]
    body = make_body(make_item(), few)
    answer = server.infer(body + b"\1\2", {"Inference-Header-Content-Length": str(len(body))})
    assert answer.json["outputs"][0]["data"] == [EXPECTED]


def test_raw_tensors_alone_need_no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(decoding.Decoder, "decode")
    engine = FakeEngine([tensor("x", "FP32", -1)], [tensor("y", "FP32", -1)], list)
    with serving(engine, LIMITS.model_copy(update={"max_request_bytes": 64 << 20})) as server:
        item = make_item(parameters={"binary_data_size": VALUES.nbytes})
        del item["data"]
        parameters = {"binary_data_output": True}
        answer = server.infer(*binary({"inputs": [item], "parameters": parameters}, VALUES.tobytes()))
        assert answer.body.endswith(VALUES.tobytes())


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (make_body(make_item())[:-1], "malformed JSON"),
        (make_body(make_item()), 'input "few" is missing'),
        (make_body(make_item(shape=[COUNT + 1]), FEW), 'input "x": data has 1000000 elements'),
        (make_body(make_item(data=[0.5] * (COUNT - 1) + ["NaN"]), FEW), 'input "x": data[999999] is "NaN"'),
    ],
    ids=["malformed", "missing", "shape", "element"],
)
def test_what_is_wrong_is_said(server: Running, body: bytes, message: str) -> None:
    answer = server.infer(body)
    assert answer.status == 400
    assert message in answer.error


def test_others_are_answered_meanwhile(server: Running) -> None:
    """Hundreds of milliseconds in all; the longest anybody else waits is a fraction."""
    body = (
        b'{"inputs":[{"name":"x","datatype":"FP32","shape":[15000000],"data":['
        + b"1," * 14_999_999
        + b"1]}]}"
    )
    server.infer(make_body())  # the process is there
    waits: list[float] = []
    with ThreadPoolExecutor(1) as pool, Wire(server) as wire:
        began = time.perf_counter()
        large = pool.submit(server.infer, body)
        while not large.done():
            asked = time.perf_counter()
            wire.send(get())
            assert wire.answer().status == 200
            waits.append(time.perf_counter() - asked)
        took = time.perf_counter() - began
        assert large.result().error == 'input "few" is missing'
    assert max(waits) < took / 2


def test_a_process_that_is_killed_is_started_again(server: Running) -> None:
    server.infer(make_body(make_item(), FEW))
    process = find_process()
    process.send_signal(signal.SIGKILL)
    wait_for(lambda: process.status() == psutil.STATUS_ZOMBIE)
    answer = server.infer(make_body(make_item(), FEW))
    assert answer.status == 503
    assert "is there memory for it?" in answer.error
    assert server.infer(make_body(make_item(), FEW)).json["outputs"][0]["data"] == [EXPECTED]


def test_a_client_that_goes_away_does_not_confuse_the_next(server: Running) -> None:
    data = make_body(make_item(), FEW)
    for _ in range(3):
        with Wire(server) as wire:
            wire.send(b"POST /v2/models/m/infer HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % len(data) + data)
    assert server.infer(data).json["outputs"][0]["data"] == [EXPECTED]
    wait_for(lambda: server.dataplane.room.free == server.dataplane.room.size)


def test_the_process_ends_with_the_server() -> None:
    engine = FakeEngine([tensor("x", "FP32", -1)], [tensor("y", "FP32", 1)], lambda given: [given[0][:1]])
    before = len(psutil.Process().children())
    with serving(engine, LIMITS.model_copy(update={"max_request_bytes": 64 << 20})) as server:
        assert server.infer(make_body()).status == 200
        assert len(psutil.Process().children()) == before + 1
    assert len(psutil.Process().children()) == before
