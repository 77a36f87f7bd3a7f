"""Requests that wait: for how many there is room, for how long, and what happens to those whose clients give up."""

import queue
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import grpc
import numpy as np
import pytest

from tests.runtime.grpc import http2
from tests.runtime.grpc.asking import METHOD, REQUEST, infer_error
from tests.runtime.grpc.serving import Running, serving
from tests.runtime.rest.gate import Gate, make_limits
from tests.runtime.rest.waiting import wait_for


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(8) as executor:
        yield executor


def test_past_the_queue(server: Running, gate: Gate, pool: ThreadPoolExecutor) -> None:
    accepted = [pool.submit(server.stub.ModelInfer, REQUEST) for _ in range(3)]
    wait_for(lambda: (server.dataplane.in_flight, server.dataplane.queue_length) == (1, 2))
    code, details = infer_error(server)
    assert code == "RESOURCE_EXHAUSTED"
    assert "2 requests wait" in details
    server.call(gate.open.set)
    for future in accepted:
        assert np.frombuffer(future.result(60).raw_output_contents[0], np.float32) == [7]


def test_the_servers_timeout(gate: Gate) -> None:
    with serving(gate.engine, make_limits(2, seconds=1)) as server:
        assert infer_error(server) == ("DEADLINE_EXCEEDED", "no result within 1 seconds")
        wait_for(lambda: server.dataplane.in_flight == 0)
        server.call(gate.open.set)
        assert server.stub.ModelInfer(REQUEST).outputs


@pytest.mark.parametrize("how", ["cancelled", "deadline"])
def test_a_client_that_gives_up_leaves_the_queue(server: Running, gate: Gate, how: str) -> None:
    first = server.stub.ModelInfer.future(REQUEST)
    wait_for(lambda: server.dataplane.in_flight == 1)
    second = server.stub.ModelInfer.future(REQUEST, timeout=1 if how == "deadline" else 60)
    wait_for(lambda: server.dataplane.queue_length == 1 or second.done())
    if how == "cancelled":
        second.cancel()
    wait_for(lambda: second.done() and server.dataplane.queue_length == 0)
    server.call(gate.open.set)
    assert first.result(60).outputs
    wait_for(lambda: server.dataplane.in_flight == 0)
    assert gate.began == 1


def test_the_clients_own_deadline_holds_without_its_help(server: Running) -> None:
    """As from a client that is cut off: nothing but the header of its request says when it is over."""
    frames = http2.request(METHOD, REQUEST.SerializeToString(), ("grpc-timeout", "300m"))
    with socket.create_connection(("127.0.0.1", server.server.port), 60) as client:
        client.sendall(frames)
        wait_for(lambda: server.dataplane.in_flight == 1)
        wait_for(lambda: server.dataplane.in_flight == 0)


def test_a_running_request_that_is_cancelled_ends_without_effect(server: Running, gate: Gate) -> None:
    running = server.stub.ModelInfer.future(REQUEST)
    wait_for(lambda: gate.running == 1)
    running.cancel()
    wait_for(lambda: (gate.running, server.dataplane.in_flight) == (0, 0))
    server.call(gate.open.set)
    assert server.stub.ModelInfer(REQUEST).outputs
    assert gate.began == 2


def test_a_message_that_never_comes(gate: Gate) -> None:
    never: queue.SimpleQueue[None] = queue.SimpleQueue()
    with serving(gate.engine, make_limits(2, seconds=1)) as server:
        waiting = server.channel.stream_unary(METHOD).future(iter(never.get, None))
        with pytest.raises(grpc.RpcError) as caught:
            waiting.result()
        assert caught.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
        never.put(None)
