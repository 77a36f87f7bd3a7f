"""Memory for bodies: what all clients together may make the server hold."""

import asyncio
import gzip
import select
import struct
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from socket import SO_LINGER, SOL_SOCKET
from typing import Any

import orjson
import pytest
from tritonclient.grpc.service_pb2 import ModelInferRequest

from tests.runtime.grpc import serving as grpc_serving
from tests.runtime.rest.raw_http import Wire, chunked, request
from tests.runtime.rest.serving import LIMITS, FakeEngine, Running, binary, serving, tensor
from tests.runtime.rest.waiting import wait_for
from vinoserve_runtime import listener, room
from vinoserve_runtime.protocol.errors import QueueFullError
from vinoserve_runtime.rest import connection, receiver
from vinoserve_runtime.room import Room

PATH = "/v2/models/m/infer"
SIZE = 900 << 10
SMALL = {"inputs": [{"name": "x", "datatype": "UINT8", "shape": [1], "data": [1]}]}


def make_large() -> tuple[bytes, str]:
    item = {"name": "x", "datatype": "UINT8", "shape": [SIZE], "parameters": {"binary_data_size": SIZE}}
    body, headers = binary({"inputs": [item], "outputs": [{"name": "n"}]}, bytes(SIZE))
    return body, f"Inference-Header-Content-Length: {headers['Inference-Header-Content-Length']}"


BODY, HEADER = make_large()
LARGE = request("POST", PATH, BODY, HEADER)


class Counter:
    """n = how many bytes came; large ones wait until it is open."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.engine = FakeEngine([tensor("x", "UINT8", -1)], [tensor("n", "INT64", 1)], self._work, size=100)

    async def _work(self, given: Any) -> Any:
        if given[0].size > 1:
            await self.open.wait()
        return [given[0].sum(keepdims=True, dtype="int64")]


@pytest.fixture
def counter() -> Counter:
    return Counter()


@pytest.fixture
def server(counter: Counter, monkeypatch: pytest.MonkeyPatch) -> Iterator[Running]:
    """Room for two bodies."""
    monkeypatch.setattr(room, "LARGEST_BODIES", 2)
    monkeypatch.setattr(room, "LEAST_BYTES", 0)
    monkeypatch.setattr(listener, "SWEEP_SECONDS", 0.05)
    with serving(counter.engine, LIMITS) as running:
        yield running
        wait_for(lambda: running.server.connections == 0)
        assert running.dataplane.room.free == running.dataplane.room.size == 2 << 20


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (room, receiver, connection):
        monkeypatch.setattr(module, "ROOM_SECONDS", 0.5)


def send(server: Running, data: bytes) -> Any:
    with Wire(server) as wire:
        wire.send(data)
        return wire.answer()


def test_others_wait_for_room(server: Running, counter: Counter) -> None:
    """They aren't read from, small ones pass them, and in the end all are answered."""
    with ThreadPoolExecutor(8) as pool:
        answers = [pool.submit(send, server, LARGE) for _ in range(8)]
        wait_for(lambda: server.server.connections == 8 and server.dataplane.room.contended)
        wait_for(lambda: server.dataplane.in_flight == 2)
        assert server.infer(SMALL).status == 200
        assert server.dataplane.in_flight == 2
        server.call(counter.open.set)
        assert [answer.result(60).status for answer in answers] == [200] * 8


@pytest.mark.usefixtures("impatient")
def test_who_waits_too_long_is_told(server: Running, counter: Counter) -> None:
    with ThreadPoolExecutor(3) as pool:
        answers = [pool.submit(send, server, LARGE) for _ in range(2)]
        wait_for(lambda: server.dataplane.in_flight == 2)
        answer = send(server, LARGE)
        assert answer.status == 429
        assert "holds 2097152 bytes of requests already" in answer.error
        assert answer.headers["retry-after"]
        server.call(counter.open.set)
        assert [answer.result(60).status for answer in answers] == [200] * 2


@pytest.mark.usefixtures("impatient")
def test_who_only_announces_gives_way_to_who_sends(server: Running, counter: Counter) -> None:
    server.call(counter.open.set)
    with Wire(server) as first, Wire(server) as second:
        for liar in (first, second):
            liar.send(LARGE[:-1000])
        wait_for(lambda: server.dataplane.room.free < SIZE)
        select.select([], [], [], 0.6)
        assert not select.select([first.socket, second.socket], [], [], 0)[0]  # nobody else wanted the room
        assert send(server, LARGE).status == 200
        (cut, *_), _, _ = select.select([first.socket, second.socket], [], [], 0)
        assert (first if cut is first.socket else second).answer().status == 408


@pytest.mark.parametrize("stage", ["receiving", "waiting", "running"])
def test_who_goes_away_leaves_its_room(server: Running, stage: str) -> None:
    wires = [Wire(server) for _ in range(3 if stage == "waiting" else 1)]
    for wire in wires:
        wire.send(LARGE[:-1000] if stage != "running" else LARGE)
    wait_for(lambda: server.dataplane.room.free < SIZE or stage != "waiting")
    wait_for(lambda: server.dataplane.room.contended or stage != "waiting")
    wait_for(lambda: server.dataplane.in_flight or stage != "running")
    for wire in reversed(wires):
        wire.socket.setsockopt(SOL_SOCKET, SO_LINGER, struct.pack("ii", 1, 0))
        wire.socket.close()


def test_however_it_is_sent(server: Running, counter: Counter) -> None:
    server.call(counter.open.set)
    packed = gzip.compress(BODY)
    for data in (
        LARGE,
        request("POST", PATH, packed, HEADER, "Content-Encoding: gzip"),
        chunked(PATH, BODY[: SIZE // 2], BODY[SIZE // 2 :], headers=(HEADER,)),
        chunked(PATH, packed[:500], packed[500:], headers=(HEADER, "Content-Encoding: gzip")),
        request("POST", PATH, gzip.compress(BODY, 0), HEADER, "Content-Encoding: gzip"),
        request("POST", "/v2/nowhere", BODY),
    ):
        answers = {send(server, data).status for _ in range(3)}
        assert answers == ({404} if b"nowhere" in data[:30] else {200})
        wait_for(lambda: server.dataplane.room.free == server.dataplane.room.size)
    with Wire(server) as wire:
        wire.send(LARGE * 3)
        assert [wire.answer().status for _ in range(3)] == [200] * 3


def test_chunks_wait_too(server: Running, counter: Counter) -> None:
    with ThreadPoolExecutor(4) as pool:
        data = chunked(
            PATH, *[BODY[at : at + 50_000] for at in range(0, len(BODY), 50_000)], headers=(HEADER,)
        )
        answers = [pool.submit(send, server, data) for _ in range(4)]
        wait_for(lambda: server.dataplane.in_flight == 2)
        wait_for(lambda: server.dataplane.room.contended)
        server.call(counter.open.set)
        assert [answer.result(60).status for answer in answers] == [200] * 4


def test_chunks_that_end_where_they_would_have_waited(server: Running) -> None:
    """They are there: nothing is left to wait for."""
    at = 200_000
    item = {"name": "x", "datatype": "UINT8", "shape": [1], "data": [1]}
    body = orjson.dumps({"inputs": [item]}) + b" " * 300_000
    with Wire(server) as first, Wire(server) as second, Wire(server) as third:
        for wire in (first, second):
            wire.send(LARGE[:-1000])
        wait_for(lambda: server.dataplane.room.free < SIZE)
        data = chunked(PATH, body)
        third.send(data[:at])
        wait_for(lambda: server.server.connections == 3)
        third.send(data[at:])
        assert third.answer().status == 200


def test_probes_over_grpc_need_no_room(counter: Counter) -> None:
    with grpc_serving.serving(counter.engine) as server:
        place = server.dataplane.room
        assert server.call(lambda: place.take(place.size))
        assert server.triton.is_server_ready()
        request = ModelInferRequest(model_name="m")
        request.inputs.add(name="x", datatype="UINT8", shape=[1]).contents.uint_contents.append(1)
        waiting = server.stub.ModelInfer.future(request)
        wait_for(lambda: place.contended)
        server.call(lambda: place.give(place.size))
        assert waiting.result(60).outputs
        wait_for(lambda: place.free == place.size)


async def test_first_come_first_served() -> None:
    place = Room(1 << 20)
    assert place.take(1 << 20)
    waiting = [place.wait(size << 10) for size in (600, 300, 300)]
    place.give(500 << 10)
    await asyncio.sleep(0)
    assert [future.done() for future in waiting] == [False, False, False]
    assert not place.take(100 << 10)
    assert place.take(10 << 10)  # so little passes
    waiting[0].cancel()
    place.give(10 << 10)
    assert [future.done() for future in waiting] == [True, True, False]
    place.give(600 << 10)
    assert waiting[2].done()


async def test_who_gives_up_waiting_takes_nothing() -> None:
    place = Room(100)
    assert place.take(100)
    with pytest.raises(QueueFullError, match="100 bytes"):
        await place.enter(50, 0.01)
    entering = asyncio.ensure_future(place.enter(50, None))
    await asyncio.sleep(0)
    place.give(100)
    entering.cancel()  # in the very turn in which it was let in
    await asyncio.gather(entering, return_exceptions=True)
    assert place.free == 100
