"""SIGTERM while clients are busy: what was asked before it is answered."""

import os
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
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
DATA = request("POST", "/v2/models/m/infer", orjson.dumps(BODY))
CLIENTS = 16


def ask_until_it_ends(served: Served, told: threading.Event) -> list[tuple[bool, Answer | None]]:
    """Whether each request was sent before the end was told, and its answer; until the connection ends."""
    answers: list[tuple[bool, Answer | None]] = []
    with suppress(OSError, EOFError), Wire(served.port) as wire:
        while not answers or answers[-1][1].headers.get("connection") != "close":
            wire.send(DATA)
            answers.append((not told.is_set(), None))
            answers[-1] = (answers[-1][0], wire.answer())
    return answers


def test_nothing_in_flight_fails(tmp_path: Path) -> None:
    told = threading.Event()
    with serving_process(tmp_path) as served, ThreadPoolExecutor(CLIENTS) as pool:
        asking = [pool.submit(ask_until_it_ends, served, told) for _ in range(CLIENTS)]
        with Wire(served.port) as wire:
            for _ in range(50):
                wire.send(DATA)
                assert wire.answer().status == 200
        told.set()
        os.kill(served.process.pid, signal.SIGTERM)
        answers = [future.result(60) for future in asking]
        assert served.process.wait(60) == 0, served.log.read_text()
    for found in answers:
        assert len(found) > 1
        assert {None if answer is None else answer.status for before, answer in found if before} == {200}
