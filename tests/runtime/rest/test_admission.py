"""Who may ask the model now: the queue, the timeout, and draining."""

import asyncio
import struct
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from socket import SHUT_WR, SO_LINGER, SOL_SOCKET

import orjson
import pytest

from tests.runtime.rest.gate import Gate, make_limits
from tests.runtime.rest.raw_http import Wire, request
from tests.runtime.rest.serving import Running, serving
from tests.runtime.rest.waiting import wait_for
from vinoserve_runtime import dataplane

BODY = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1], "data": [1]}]}
RAW = request("POST", "/v2/models/m/infer", orjson.dumps(BODY))


async def turns_until(condition: Callable[[], bool]) -> None:
    """Lets the loop turn, so that the test goes on in the very turn in which `condition` came true."""
    while not condition():  # noqa: ASYNC110 - see above
        await asyncio.sleep(0)


@pytest.fixture
def gate() -> Gate:
    return Gate(2)


@pytest.fixture
def server(gate: Gate) -> Iterator[Running]:
    with serving(gate.engine, make_limits(3)) as running:
        yield running


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(32) as executor:
        yield executor


def test_past_the_queue_it_is_429(server: Running, gate: Gate, pool: ThreadPoolExecutor) -> None:
    accepted = [pool.submit(server.infer, BODY) for _ in range(5)]
    wait_for(lambda: server.dataplane.in_flight == 2 and server.dataplane.queue_length == 3)
    for _ in range(10):
        answer = server.infer(BODY)
        assert answer.status == 429
        assert "3 requests wait" in answer.error
        assert int(answer.headers["retry-after"]) > 0
    assert server.dataplane.queue_length == 3
    assert server.get("/v2/health/ready").status == 200
    server.call(gate.open.set)
    assert [future.result().status for future in accepted] == [200] * 5
    assert gate.most == 2
    assert server.infer(BODY).status == 200


def test_without_a_queue(gate: Gate, pool: ThreadPoolExecutor) -> None:
    with serving(gate.engine, make_limits(0)) as server:
        accepted = [pool.submit(server.infer, BODY) for _ in range(2)]
        wait_for(lambda: server.dataplane.in_flight == 2)
        assert server.infer(BODY).status == 429
        server.call(gate.open.set)
        assert [future.result().status for future in accepted] == [200, 200]


def test_the_timeout_is_504_in_the_queue_and_in_the_engine(gate: Gate, pool: ThreadPoolExecutor) -> None:
    with serving(gate.engine, make_limits(3, seconds=1)) as server:
        answers = [future.result() for future in [pool.submit(server.infer, BODY) for _ in range(4)]]
        assert [answer.status for answer in answers] == [504] * 4
        assert answers[0].error == "no result within 1 seconds"
        assert (server.dataplane.in_flight, server.dataplane.queue_length) == (0, 0)
        server.call(gate.open.set)
        assert server.infer(BODY).status == 200


def test_a_client_that_goes_away_leaves_the_queue(
    server: Running, gate: Gate, pool: ThreadPoolExecutor
) -> None:
    accepted = [pool.submit(server.infer, BODY) for _ in range(2)]
    wait_for(lambda: server.dataplane.in_flight == 2)
    wires = [Wire(server) for _ in range(3)]
    for wire in wires:
        wire.send(RAW)
    wait_for(lambda: server.dataplane.queue_length == 3)
    wires[1].socket.close()
    wait_for(lambda: server.dataplane.queue_length == 2)
    server.call(gate.open.set)
    assert [future.result().status for future in accepted] == [200, 200]
    assert [wires[index].answer().status for index in (0, 2)] == [200, 200]
    assert gate.began == 4
    for wire in wires:
        wire.socket.close()


def test_a_running_request_whose_client_is_gone_ends_without_effect(server: Running, gate: Gate) -> None:
    wires = [Wire(server) for _ in range(2)]
    for wire in wires:
        wire.send(RAW)
    wait_for(lambda: gate.running == 2)
    wires[0].socket.setsockopt(SOL_SOCKET, SO_LINGER, struct.pack("ii", 1, 0))  # close by reset
    wires[0].socket.close()
    wait_for(lambda: (gate.running, server.dataplane.in_flight) == (1, 1))
    wires[1].socket.shutdown(SHUT_WR)  # who has only closed its sending side still wants its answer
    server.call(gate.open.set)
    assert wires[1].answer().status == 200
    wires[1].socket.close()
    assert server.infer(BODY).status == 200
    assert gate.began == 3


def test_a_place_that_is_handed_to_a_client_just_gone_is_not_lost() -> None:
    """Both in one turn of the loop: the engine has room again, and the next in line is cancelled."""
    gate = Gate(2)

    async def run(server: Running) -> int:
        plane = server.dataplane
        tasks = [asyncio.ensure_future(plane.infer([])) for _ in range(3)]
        await turns_until(lambda: plane.queue_length == 1)
        gate.open.set()
        await turns_until(lambda: plane.queue_length == 0)
        tasks[2].cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return plane.in_flight

    with serving(gate.engine, make_limits(3)) as server:
        assert server.call(lambda: run(server)) == 0
        assert server.infer(BODY).status == 200


def test_cancelling_is_not_taken_for_the_deadline(gate: Gate) -> None:
    async def run(server: Running) -> bool:
        task = asyncio.ensure_future(server.dataplane.infer([]))
        await turns_until(lambda: server.dataplane.in_flight == 1)
        task.cancel()
        await asyncio.wait([task])
        return task.cancelled()

    with serving(gate.engine, make_limits(3)) as server:
        assert server.call(lambda: run(server)) is True
        assert server.dataplane.in_flight == 0


def test_draining(server: Running, gate: Gate, pool: ThreadPoolExecutor) -> None:
    accepted = [pool.submit(server.infer, BODY) for _ in range(4)]
    wait_for(lambda: server.dataplane.queue_length == 2)
    drained = pool.submit(server.call, lambda: server.dataplane.drain(60))
    wait_for(lambda: server.get("/v2/health/ready").status == 503)
    assert server.get("/v2/health/live").status == 200
    wait_for(lambda: server.dataplane._refusing)
    answer = server.infer(BODY)
    assert (answer.status, answer.error) == (503, "the server is shutting down")
    assert answer.headers["connection"] == "close"
    assert int(answer.headers["retry-after"]) > 0
    assert not drained.done()
    server.call(gate.open.set)
    assert drained.result() is True
    assert [future.result().status for future in accepted] == [200] * 4


def test_requests_on_their_way_when_draining_begins_are_answered(
    server: Running, gate: Gate, pool: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dataplane, "QUIET_SECONDS", 60)
    server.call(gate.open.set)
    with Wire(server) as wire:
        wire.send(RAW)
        assert "connection" not in wire.answer().headers
        drained = pool.submit(server.call, lambda: server.dataplane.drain(1))
        wait_for(lambda: not server.dataplane.ready)
        wire.send(RAW)
        answer = wire.answer()
        assert (answer.status, answer.headers["connection"]) == (200, "close")
    assert server.infer(BODY).status == 200
    assert drained.result() is True
    assert server.infer(BODY).status == 503


def test_clients_that_never_stop_do_not_keep_it_from_draining(
    server: Running, gate: Gate, pool: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dataplane, "SETTLE_SECONDS", 0.5)
    server.call(gate.open.set)
    drained = pool.submit(server.call, lambda: server.dataplane.drain(60))
    wait_for(lambda: server.infer(BODY).status == 503)
    assert drained.result() is True


def test_draining_gives_up_in_time(server: Running, gate: Gate, pool: ThreadPoolExecutor) -> None:
    accepted = pool.submit(server.infer, BODY)
    wait_for(lambda: server.dataplane.in_flight == 1)
    assert server.call(lambda: server.dataplane.drain(0.05)) is False
    server.call(gate.open.set)
    assert accepted.result().status == 200
    assert server.call(lambda: server.dataplane.drain(0.05)) is True


def test_detaching_answers_those_that_wait(server: Running, gate: Gate, pool: ThreadPoolExecutor) -> None:
    accepted = [pool.submit(server.infer, BODY) for _ in range(3)]
    wait_for(lambda: server.dataplane.queue_length == 1)
    server.call(server.dataplane.detach)
    server.call(gate.open.set)
    assert sorted(future.result().status for future in accepted) == [200, 200, 503]


def test_metrics_count_what_happened(server: Running, gate: Gate, pool: ThreadPoolExecutor) -> None:
    accepted = [pool.submit(server.infer, BODY) for _ in range(5)]
    wait_for(lambda: server.dataplane.queue_length == 3)
    assert server.infer(BODY).status == 429
    sample = server.dataplane.metrics.registry.get_sample_value
    labels = {"model": "m", "version": "1"}
    assert sample("vinoserve_requests_in_flight", labels) == 2
    assert sample("vinoserve_queue_length", labels) == 3
    assert sample("vinoserve_connections", labels) >= 5
    server.call(gate.open.set)
    for future in accepted:
        future.result()
    server.get("/v2/health/live")
    server.get("/nowhere")

    def count(operation: str, outcome: str, code: str) -> float | None:
        which = {"api": "rest", "operation": operation, "outcome": outcome, "code": code}
        return sample("vinoserve_requests_total", labels | which)

    wait_for(lambda: count("other", "refused", "404"))
    assert count("infer", "success", "200") == 5
    assert count("infer", "overloaded", "429") == 1
    assert count("health", "success", "200") == 1
    assert count("other", "refused", "404") == 1
    for family in ("request", "queue", "inference"):
        assert sample(f"vinoserve_{family}_seconds_count", labels) == 5
        assert sample(f"vinoserve_{family}_seconds_bucket", {**labels, "le": "+Inf"}) == 5
        assert sample(f"vinoserve_{family}_seconds_sum", labels) > 0
