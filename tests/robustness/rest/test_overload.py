"""Four times as many requests as it can answer: the rest is refused, and what it can do, it still does."""

import asyncio

import orjson

from tests.robustness.rest.overload import GOODPUT, PLACES, QUEUE, Slow, flood, make_limits
from tests.runtime.rest.raw_http import request
from tests.runtime.rest.serving import serving

BODY = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 4], "data": [1, 2, 3, 4]}]}
DATA = request("POST", "/v2/models/m/infer", orjson.dumps(BODY))


class Client:
    """Keeps its connections, and opens another where all are busy."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
        self.retry_after = True

    async def ask(self) -> str:
        reader, writer = (
            self._idle.pop() if self._idle else await asyncio.open_connection("127.0.0.1", self._port)
        )
        writer.write(DATA)
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        length = next(int(line[15:]) for line in head.split("\r\n") if line.startswith("Content-Length:"))
        await reader.readexactly(length)
        status = head.split()[1]
        self.retry_after &= status != "429" or "Retry-After: " in head
        self._idle.append((reader, writer))
        return status

    def close(self) -> None:
        for _, writer in self._idle:
            writer.close()


async def test_four_times_too_much() -> None:
    slow = Slow()
    with serving(slow.engine, make_limits()) as server:
        slow.queue_length = lambda: server.dataplane.queue_length
        client = Client(server.port)
        capacity, goodput, answers = await flood(client.ask, "200")
        client.close()
        assert set(answers) == {"200", "429"}
        assert client.retry_after
        assert goodput >= GOODPUT * capacity
        assert slow.longest <= QUEUE
        assert slow.most <= PLACES
        assert (server.dataplane.in_flight, server.dataplane.queue_length) == (0, 0)
