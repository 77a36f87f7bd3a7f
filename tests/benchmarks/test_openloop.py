"""openloop, the client for fixed rates: what it sends, when, and what it counts as what."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import grpc
import pytest

from benchmarks.programs import build_programs

METHOD = "/inference.GRPCInferenceService/ModelInfer"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

#: The bytes of an answer to the number of a request; None closes the connection.
Answer: TypeAlias = Callable[[int], Awaitable[bytes | None]]


@dataclass
class Seen:
    """What a server was asked: when, and with what."""

    times: list[float] = field(default_factory=list)
    heads: set[bytes] = field(default_factory=set)
    bodies: set[bytes] = field(default_factory=set)
    connections: int = 0


@asynccontextmanager
async def answering(answer: Answer) -> AsyncIterator[tuple[int, Seen]]:
    """A REST server's port."""
    seen = Seen()

    tasks = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.current_task())
        seen.connections += 1
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = next(
                    int(line[15:]) for line in head.split(b"\r\n") if line.startswith(b"Content-Length:")
                )
                seen.heads.add(head)
                seen.bodies.add(await reader.readexactly(length))
                seen.times.append(time.monotonic())
                if (found := await answer(len(seen.times))) is None:
                    break
                writer.write(found)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1], seen
    finally:
        server.close()
        for task in filter(None, tasks):
            task.cancel()
        await asyncio.gather(*filter(None, tasks), return_exceptions=True)


@asynccontextmanager
async def calling(
    handle: Callable[[int, grpc.aio.ServicerContext], Awaitable[bytes]],
) -> AsyncIterator[tuple[int, Seen]]:
    """A gRPC server's port; `handle` gets each call's number."""
    seen = Seen()

    async def serve(message: bytes, context: Any) -> bytes:
        seen.bodies.add(message)
        seen.times.append(time.monotonic())
        return await handle(len(seen.times), context)

    server = grpc.aio.server()
    service, method = METHOD[1:].split("/")
    handler = grpc.method_handlers_generic_handler(
        service, {method: grpc.unary_unary_rpc_method_handler(serve)}
    )
    server.add_generic_rpc_handlers((handler,))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield port, seen
    finally:
        await server.stop(None)


@dataclass(frozen=True)
class Openloop:
    program: Path
    folder: Path

    async def run(self, port: int, rate: float, seconds: float, *options: str, body: bytes = b"{}") -> Any:
        """What it prints. No warm-up, so that the server's numbers are its own."""
        code, printed, error = await self.call(port, rate, seconds, *options, body=body)
        assert code == 0, error
        return json.loads(printed)

    async def call(
        self, port: int, rate: float, seconds: float, *options: str, body: bytes = b"{}"
    ) -> tuple[int | None, str, str]:
        (self.folder / "body").write_bytes(body)
        command = [
            "-address",
            f"127.0.0.1:{port}",
            "-rate",
            str(rate),
            "-seconds",
            str(seconds),
            "-warmup",
            "0",
        ]
        command += ["-body", str(self.folder / "body"), *options]
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(self.program, *command, stdout=pipe, stderr=pipe)
        printed, error = await process.communicate()
        return process.returncode, printed.decode(), error.decode()


REST = ["-target", "/v2/models/m/infer", "-headers", "Content-Type:application/json|X-Other: b:c"]
GRPC = ["-target", METHOD, "-grpc"]


@pytest.fixture
def openloop(tmp_path: Path) -> Openloop:
    return Openloop(build_programs().openloop, tmp_path)


async def succeed(_: int) -> bytes:
    return OK


async def test_requests_are_sent_at_the_rate_evenly_spread_over_the_connections(openloop: Openloop) -> None:
    async with answering(succeed) as (port, seen):
        found = await openloop.run(port, 300, 1.5, *REST, "-connections", "8", body=b'{"inputs": []}')
    assert (found["answered"], found["failed"], found["rate"], found["seconds"]) == (450, 0, 300, 1.5)
    assert (len(seen.times), seen.connections) == (450, 8)
    assert found["took_seconds"] >= 449 / 300
    assert seen.times[-1] - seen.times[0] == pytest.approx(449 / 300, abs=0.4)
    assert 0 < found["p50_ms"] <= found["p99_ms"]
    assert seen.bodies == {b'{"inputs": []}'}
    [head] = seen.heads
    lines = head.decode().splitlines()
    assert lines[0] == "POST /v2/models/m/infer HTTP/1.1"
    assert {f"Host: 127.0.0.1:{port}", "Content-Type: application/json", "X-Other: b:c"} <= set(lines)


@pytest.mark.parametrize("protocol", ["REST", "gRPC"])
async def test_what_was_due_while_the_server_stalled_has_waited_since_then(
    openloop: Openloop, protocol: str
) -> None:
    """A client that waits for answers would have four slow requests of 400, one for each that it may have open."""

    def stall(number: int) -> None:
        if number == 100:
            time.sleep(0.8)  # the server's only thread

    async def answer(number: int) -> bytes:
        stall(number)
        return OK

    async def handle(number: int, _: Any) -> bytes:
        stall(number)
        return b"answer"

    if protocol == "REST":
        async with answering(answer) as (port, _):
            found = await openloop.run(port, 200, 2, *REST, "-connections", "4")
    else:
        async with calling(handle) as (port, _):
            found = await openloop.run(port, 200, 2, *GRPC, "-connections", "1", "-in-flight", "4")
    assert (found["answered"], found["failed"]) == (400, 0)
    assert found["p99_ms"] > 700
    assert found["p50_ms"] < 400


async def test_answers_without_success_have_failed(openloop: Openloop) -> None:
    async def answer(number: int) -> bytes:
        return b"HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n" if number % 4 == 0 else OK

    async with answering(answer) as (port, _):
        found = await openloop.run(port, 200, 1, *REST, "-connections", "2")
    assert (found["answered"], found["failed"]) == (150, 50)


async def test_calls_whose_status_is_not_ok_have_failed(openloop: Openloop) -> None:
    async def handle(number: int, context: grpc.aio.ServicerContext) -> bytes:
        if number % 4 == 0:
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "too much")
        return b"answer"

    async with calling(handle) as (port, seen):
        found = await openloop.run(port, 200, 1, *GRPC, "-connections", "2", body=b"message")
    assert (found["answered"], found["failed"]) == (150, 50)
    assert seen.bodies == {b"message"}


async def test_messages_larger_than_a_window_and_many_of_them(openloop: Openloop) -> None:
    message, answer = bytes(range(256)) * 2000, b"y" * 700_000

    async def handle(_: int, __: Any) -> bytes:
        return answer

    async with calling(handle) as (port, seen):
        found = await openloop.run(port, 40, 1, *GRPC, "-connections", "2", body=message)
    assert (found["answered"], found["failed"]) == (40, 0)
    assert seen.bodies == {message}


async def test_a_large_body_and_an_answer_in_pieces(openloop: Openloop) -> None:
    head, body = b"HTTP/1.1 200 OK\r\nContent-Type: a/b\r\nContent-Length: 3000000\r\n\r\n", b"y" * 3_000_000

    async def answer(_: int) -> bytes:
        return head + body

    async with answering(answer) as (port, seen):
        found = await openloop.run(port, 20, 1, *REST, "-connections", "2", body=b"x" * 3_000_000)
    assert (found["answered"], found["failed"]) == (20, 0)
    assert {len(one) for one in seen.bodies} == {3_000_000}


async def test_what_is_not_answered_in_five_seconds_has_failed(openloop: Openloop) -> None:
    async def answer(number: int) -> bytes:
        if number > 5:
            await asyncio.Event().wait()
        return OK

    begun = time.monotonic()
    async with answering(answer) as (port, _):
        found = await openloop.run(port, 50, 0.5, *REST, "-connections", "2")
    assert (found["answered"], found["failed"]) == (5, 20)
    assert found["took_seconds"] >= 5
    assert 5 <= time.monotonic() - begun < 60


async def test_a_closed_connection_fails_its_request_and_is_opened_again(openloop: Openloop) -> None:
    async def answer(number: int) -> bytes | None:
        return None if number == 10 else OK

    async with answering(answer) as (port, seen):
        found = await openloop.run(port, 100, 0.5, *REST, "-connections", "1")
    assert (found["answered"], found["failed"], seen.connections) == (49, 1, 2)


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "Transfer-Encoding: chunked"),
        (b"HTTP/1.1 200 OK\r\n\r\n", "an answer without Content-Length"),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", "not an answer of HTTP/1.1"),
        (OK + b"HTTP/1.1 200 OK", "more than the answer"),
    ],
)
async def test_answers_that_it_can_t_measure_end_it(openloop: Openloop, answer: bytes, why: str) -> None:
    async def give(_: int) -> bytes:
        return answer

    async with answering(give) as (port, _):
        code, printed, error = await openloop.call(port, 100, 0.5, *REST)
    assert (code, printed) == (1, "")
    assert why in error
