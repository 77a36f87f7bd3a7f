"""SIGTERM while calls and streams are busy: what was asked before it is answered, and readiness goes down first."""

import itertools
import os
import queue
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import httpx
from tritonclient.grpc.service_pb2 import ModelStreamInferResponse

from tests.robustness.grpc.test_memory import SERVICE, make_requests
from tests.runtime.rest.process import Served, serving_process
from tests.runtime.rest.waiting import wait_for

CLIENTS = 4
ENDED = {"UNAVAILABLE", "CANCELLED"}
"""The latter is gRPC's own word for what arrives in the very moment of closing."""


class Told:
    """Who knew what, and when."""

    def __init__(self) -> None:
        self.stopping = threading.Event()
        self.refused: list[float] = []
        self.not_ready = 0.0


def call_until_it_ends(served: Served, told: Told) -> int:
    """How many were answered; none of those that were sent before the end was told fails."""
    with grpc.insecure_channel(f"127.0.0.1:{served.grpc_port}") as channel:
        infer = channel.unary_unary(f"{SERVICE}/ModelInfer")
        for answered in itertools.count():
            before = not told.stopping.is_set()
            call = infer.future(make_requests(answered)[0], timeout=60)
            if call.code() != grpc.StatusCode.OK:
                told.refused.append(time.monotonic())
                assert not before
                assert call.code().name in ENDED
                return answered
        raise AssertionError


def stream_until_it_ends(served: Served, told: Told) -> int:
    """On one stream with some requests on their way at any time; each gets its answer as long as the stream is there."""
    waiting: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
    sent_before: set[str] = set()
    with grpc.insecure_channel(f"127.0.0.1:{served.grpc_port}") as channel:
        answers = channel.stream_stream(f"{SERVICE}/ModelStreamInfer")(iter(waiting.get, None))
        sent = answered = 0

        def send() -> None:
            nonlocal sent
            if not told.stopping.is_set():
                sent_before.add(str(sent))
            waiting.put(make_requests(sent)[0])
            sent += 1

        for _ in range(5):
            send()
        try:
            for message in answers:
                answer = ModelStreamInferResponse.FromString(message)
                if answer.error_message:
                    told.refused.append(time.monotonic())
                    assert answer.infer_response.id not in sent_before
                    assert answer.error_message == "the server is shutting down"
                else:
                    answered += 1
                sent_before.discard(answer.infer_response.id)
                send()
        except grpc.RpcError as error:
            assert error.code().name in ENDED  # noqa: PT017 - how a stream ends
        waiting.put(None)
    assert not sent_before
    return answered


def watch_readiness(served: Served, told: Told) -> None:
    while not told.not_ready:
        if httpx.get(f"http://127.0.0.1:{served.admin_port}/readyz").status_code != 200:
            told.not_ready = time.monotonic()


def test_nothing_in_flight_fails(tmp_path: Path) -> None:
    told = Told()
    with serving_process(tmp_path) as served, ThreadPoolExecutor(2 * CLIENTS + 1) as pool:
        watching = pool.submit(watch_readiness, served, told)
        asking = [pool.submit(call_until_it_ends, served, told) for _ in range(CLIENTS)]
        asking += [pool.submit(stream_until_it_ends, served, told) for _ in range(CLIENTS)]
        metrics = f"http://127.0.0.1:{served.admin_port}/metrics"
        wait_for(lambda: 'api="grpc",code="OK"' in httpx.get(metrics).text)
        told.stopping.set()
        os.kill(served.process.pid, signal.SIGTERM)
        assert all(future.result(60) > 0 for future in asking)
        watching.result(60)
        assert served.process.wait(60) == 0, served.log.read_text()
        assert told.not_ready < min(told.refused)
        assert "Traceback" not in served.log.read_text()
