"""Clients that trickle, flood or vanish: they are cut or refused, and the others are served."""

import select
import socket
import time
from collections import Counter

import numpy as np
import orjson
import psutil
import pytest

from tests.runtime.rest.raw_http import Wire, get, request
from tests.runtime.rest.serving import FakeEngine, Running, make_adder, serving, tensor
from tests.runtime.rest.waiting import wait_for
from vinoserve_api.contract import RuntimeLimits
from vinoserve_runtime import listener
from vinoserve_runtime.rest import connection, receiver
from vinoserve_runtime.rest import server as rest_server

BODY = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 4], "data": [1, 2, 3, 4]}]}
SLOW = 200
CUT_SECONDS = 15.0
"""Ten seconds to the deadline; the rest is for a busy machine."""


def trickle(clients: list[tuple[socket.socket, bytes]], server: Running) -> tuple[float, Counter[int], int]:
    """Sends a byte a second on each until all are cut: how long that took, how they were answered, good requests."""
    began = time.monotonic()
    statuses: Counter[int] = Counter()
    good = 0
    alive = dict(clients)
    next_byte = began
    with Wire(server) as wire:
        while alive and time.monotonic() < began + 60:
            if time.monotonic() >= next_byte:
                next_byte += 1
                for client, byte in alive.items():
                    client.send(byte)
            wire.send(request("POST", "/v2/models/m/infer", orjson.dumps(BODY)))
            assert wire.answer().status == 200
            good += 1
            for client in select.select(list(alive), [], [], 0.02)[0]:
                answer = client.recv(4096)
                statuses[int(answer.split()[1]) if answer else 0] += 1
                del alive[client]
    assert not alive
    return time.monotonic() - began, statuses, good


def test_clients_that_trickle_are_cut_while_others_are_served() -> None:
    with serving(make_adder()) as server:
        clients: list[tuple[socket.socket, bytes]] = []
        for index in range(2 * SLOW):
            client = socket.create_connection(("127.0.0.1", server.port), timeout=60)
            if index % 2:
                client.sendall(b"POST /v2/models/m/infer HTTP/1.1\r\nHost: h\r\nX-Slow: ")
            else:
                client.sendall(
                    b"POST /v2/models/m/infer HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\n{"
                )
            clients.append((client, b"x" if index % 2 else b" "))
        try:
            seconds, statuses, good = trickle(clients, server)
        finally:
            for client, _ in clients:
                client.close()
        assert statuses == {408: 2 * SLOW}
        assert seconds < CUT_SECONDS * 2
        assert good > 10
        wait_for(lambda: server.server.connections == 0)


def test_a_client_that_says_nothing_is_cut(server_of_adder: Running) -> None:
    with Wire(server_of_adder) as wire:
        assert wire.is_closed()


@pytest.fixture
def server_of_adder():
    with serving(make_adder()) as server:
        yield server


def test_a_client_that_reads_nothing_is_not_written_to_for_ever() -> None:
    """Answers wait in the kernel and one of our buffers; nothing more is read from such a client."""
    engine = FakeEngine([tensor("x", "UINT8", -1)], [tensor("y", "UINT8", -1)], list)
    limits = RuntimeLimits(
        max_request_bytes=8 << 20,
        max_queued_requests=4,
        request_timeout_seconds=60,
        max_image_pixels=64_000_000,
    )
    size = 4 << 20
    item = {"name": "x", "datatype": "UINT8", "shape": [size], "parameters": {"binary_data_size": size}}
    header = orjson.dumps({"inputs": [item], "parameters": {"binary_data_output": True}})
    data = request(
        "POST", "/v2/models/m/infer", header + bytes(size), f"Inference-Header-Content-Length: {len(header)}"
    )
    with serving(engine, limits) as server, Wire(server) as wire:
        before = psutil.Process().memory_info().rss
        wire.socket.settimeout(0.5)
        sent = 0
        try:
            for _ in range(100):
                wire.send(data)
                sent += 1
        except TimeoutError:
            pass
        assert sent < 20
        assert psutil.Process().memory_info().rss - before < 100 << 20
        assert server.get("/v2/health/live").status == 200


def test_lengths_that_are_lies_cost_no_memory() -> None:
    limits = RuntimeLimits(
        max_request_bytes=64 << 20,
        max_queued_requests=4,
        request_timeout_seconds=60,
        max_image_pixels=64_000_000,
    )
    with serving(make_adder(), limits) as server:
        before = psutil.Process().memory_info().rss
        wires = [Wire(server) for _ in range(100)]
        for wire in wires:
            wire.send(b"POST /v2/models/m/infer HTTP/1.1\r\nHost: h\r\nContent-Length: 60000000\r\n\r\n{")
        assert server.infer(BODY).status == 200
        wait_for(lambda: server.server.connections == 100)
        grown = psutil.Process().memory_info().rss - before
        for wire in wires:
            wire.socket.close()
        assert grown < 64 << 20  # of 6 GB that they announced
        wait_for(lambda: server.server.connections == 0)


@pytest.mark.parametrize("shape", [[2**31, 2**31], [2**62, 1], [1, 2**40], [10**9, 10**9]])
def test_huge_declared_tensors_cost_nothing(shape: list[int]) -> None:
    engine = FakeEngine([tensor("x", "FP64", -1, -1)], [tensor("y", "FP64", -1, -1)], list)
    with serving(engine) as server:
        before = psutil.Process().memory_info().rss
        for item in ({"data": [1]}, {"data": []}, {"parameters": {"binary_data_size": 8}}):
            header = orjson.dumps({"inputs": [{"name": "x", "datatype": "FP64", "shape": shape, **item}]})
            raw = b"" if "data" in item else bytes(8)
            seconds = []
            for _ in range(5):
                began = time.perf_counter()
                answer = server.infer(header + raw, {"Inference-Header-Content-Length": str(len(header))})
                seconds.append(time.perf_counter() - began)
                assert answer.status == 400
                assert 'input "x"' in answer.error
            assert min(seconds) < 0.1
        assert psutil.Process().memory_info().rss - before < 16 << 20


def test_a_body_said_to_be_a_gigabyte_is_refused_at_once() -> None:
    with serving(make_adder()) as server:
        before = psutil.Process().memory_info().rss
        seconds = []
        for _ in range(5):
            with Wire(server) as wire:
                began = time.perf_counter()
                wire.send(b"POST /v2/models/m/infer HTTP/1.1\r\nContent-Length: 1073741824\r\n\r\n{")
                assert wire.answer().status == 413
                seconds.append(time.perf_counter() - began)
        assert min(seconds) < 0.1
        assert psutil.Process().memory_info().rss - before < 16 << 20


def test_connections_past_the_limit_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rest_server, "MAX_CONNECTIONS", 20)
    with serving(make_adder()) as server:
        wires = [Wire(server) for _ in range(20)]
        for wire in wires:
            wire.send(get())
            assert wire.answer().status == 200
        with Wire(server) as one_too_many:
            answer = one_too_many.answer()
            assert (answer.status, answer.error) == (503, "too many connections")
        wires.pop().socket.close()
        wait_for(lambda: server.server.connections == 19)
        assert server.get("/v2/health/live").status == 200
        for wire in wires:
            wire.socket.close()


def test_clients_that_vanish_leave_nothing_behind() -> None:
    with serving(make_adder()) as server:
        data = request("POST", "/v2/models/m/infer", orjson.dumps(BODY))
        for length in range(1, len(data) + 1, 5):
            with Wire(server) as wire:
                wire.socket.setsockopt(
                    socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0"
                )  # close by reset
                wire.send(data[:length])
        wait_for(lambda: server.server.connections == 0)
        assert server.infer(BODY).status == 200
        assert (server.dataplane.in_flight, server.dataplane.queue_length) == (0, 0)


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Deadlines of a second and less instead of many."""
    monkeypatch.setattr(listener, "SWEEP_SECONDS", 0.05)
    monkeypatch.setattr(connection, "KEEP_ALIVE_SECONDS", 0.3)
    monkeypatch.setattr(connection, "WRITE_STALL_SECONDS", 0.3)
    monkeypatch.setattr(connection, "LINGER_SECONDS", 0.3)
    monkeypatch.setattr(receiver, "BODY_SECONDS", 1.0)
    monkeypatch.setattr(receiver, "BODY_BYTES", 5_000)


@pytest.mark.usefixtures("hasty")
def test_idle_connections_are_closed() -> None:
    with serving(make_adder()) as server, Wire(server) as wire:
        wire.send(get())
        assert wire.answer().status == 200
        assert wire.is_closed()


@pytest.mark.usefixtures("hasty")
def test_a_client_that_never_reads_its_answer_is_cut() -> None:
    engine = FakeEngine(
        [tensor("x", "UINT8", -1)], [tensor("y", "UINT8", -1)], lambda _: [np.zeros(64 << 20, np.uint8)]
    )
    item = {"name": "x", "datatype": "UINT8", "shape": [0], "data": []}
    body = orjson.dumps({"inputs": [item], "parameters": {"binary_data_output": True}})
    for ending in ("", "Connection: close"):
        with serving(engine) as server, Wire(server) as wire:
            wire.send(request("POST", "/v2/models/m/infer", body, ending or "X-Keep: 1"))
            wait_for(lambda server=server: server.dataplane.metrics.requests["rest", "infer", 200])
            wait_for(lambda server=server: server.server.connections == 0)


@pytest.mark.usefixtures("hasty")
def test_a_refused_client_that_goes_on_sending_is_cut() -> None:
    with serving(make_adder()) as server, Wire(server) as wire:
        wire.send(b"POST /v2/models/m/infer HTTP/1.1\r\nContent-Length: 99999999\r\n\r\n")
        assert wire.answer().status == 413
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            send_for_ever(wire)


def send_for_ever(wire: Wire) -> None:
    while True:
        wire.send(bytes(1000))
        select.select([], [], [], 0.001)


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("at_once", [0, 200_000])
def test_a_body_too_slow_is_cut_even_if_it_never_pauses(at_once: int) -> None:
    with serving(make_adder()) as server, Wire(server) as wire:
        wire.send(b"POST /v2/models/m/infer HTTP/1.1\r\nContent-Length: 999999\r\n\r\n" + b" " * at_once)
        sent = 0
        while not select.select([wire.socket], [], [], 0.05)[0]:
            wire.send(b" " * 20)
            sent += 20
        assert wire.answer().status == 408
        assert 0 < sent < 99_999
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            send_for_ever(wire)
        assert server.dataplane.metrics.requests["rest", "infer", 408] == 1


@pytest.mark.usefixtures("hasty")
def test_a_body_fast_enough_may_take_longer_than_a_pause() -> None:
    body = orjson.dumps(BODY) + b" " * 60_000
    with serving(make_adder()) as server, Wire(server) as wire:
        began = time.monotonic()
        wire.send(b"POST /v2/models/m/infer HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % len(body))
        for start in range(0, len(body), 1000):
            wire.send(body[start : start + 1000])
            select.select([], [], [], 0.04)
        assert wire.answer().status == 200
        assert time.monotonic() - began > 2
