"""SIGTERM while clients are busy: what was asked before it is answered."""

import os
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import orjson
from tests.runtime.rest.process import Served, serving_process
from tests.runtime.rest.raw_http import Wire, request
from tests.runtime.rest.serving import Answer

BODY = {
    "inputs": [
        {"name": "a", "datatype": "FP32", "shape": [1, 4], "data": [1, 2, 3, 4]},
        {"name": "b", "datatype": "INT64", "shape": [2], "data": [1, 2]},
        {"name": "flag", "datatype": "BOOL", "shape": [3], "data": [True, True, False]},
        {"name": "half", "datatype": "FP16", "shape": [2], "data": [1, 2]},
    ]
}
CLIENTS = 16


def ask_until_it_ends(served: Served, told: threading.Event) -> list[Answer | None]:
    """Answers in order; None for a request that got none. Ends with the connection."""
    answers: list[Answer | None] = []
    data = request("POST", "/v2/models/m/infer", orjson.dumps(BODY))
    try:
        with Wire(served) as wire:  # type: ignore[arg-type] - it has a port
            while True:
                before = not told.is_set()
                wire.send(data)
                answers.append(None)
                answers[-1] = wire.answer()
                if answers[-1].status != 200:
                    assert not before or told.is_set()
                if answers[-1].headers.get("connection") == "close":
                    return answers
    except (OSError, EOFError):
        return answers


def test_nothing_in_flight_fails(tmp_path: Path) -> None:
    told = threading.Event()
    with serving_process(tmp_path) as served, ThreadPoolExecutor(CLIENTS) as pool:
        asking = [pool.submit(ask_until_it_ends, served, told) for _ in range(CLIENTS)]
        with Wire(served) as wire:  # type: ignore[arg-type]
            for _ in range(50):
                wire.send(request("POST", "/v2/models/m/infer", orjson.dumps(BODY)))
                assert wire.answer().status == 200
        told.set()
        os.kill(served.process.pid, signal.SIGTERM)
        answers = [future.result(60) for future in asking]
        assert served.process.wait(60) == 0, served.log.read_text()
    for found in answers:
        assert len(found) > 1
        assert None not in found
        assert {answer.status for answer in found if answer} <= {200, 503}
        assert found[-1] is not None
        assert found[-1].headers["connection"] == "close"
