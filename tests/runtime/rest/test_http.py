"""HTTP/1.1 as it comes over the wire: in pieces, pipelined, malformed, too long."""

import asyncio
import socket

import orjson
import pytest

from tests.runtime.rest.raw_http import Wire, chunked, get, refused, request
from tests.runtime.rest.serving import FakeEngine, Running, serving, tensor
from tests.runtime.rest.waiting import wait_for

INFER = "/v2/models/m/infer"
BODY = orjson.dumps({"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 4], "data": [1, 2, 3, 4]}]})
Y = [2.0, 3.0, 4.0, 5.0]


# ---- keep-alive ----


def test_connections_are_kept(adder: Running) -> None:
    with Wire(adder) as wire:
        for _ in range(3):
            wire.send(get())
            answer = wire.answer()
            assert answer.status == 200
            assert "connection" not in answer.headers
            assert answer.headers["date"].endswith("GMT")


def test_connection_close(adder: Running) -> None:
    with Wire(adder) as wire:
        wire.send(get("/v2", "Connection: close"))
        assert wire.answer().headers["connection"] == "close"
        assert wire.is_closed()


def test_http_1_0_closes(adder: Running) -> None:
    with Wire(adder) as wire:
        wire.send(get(version="1.0"))
        answer = wire.answer()
        assert (answer.status, answer.headers["connection"]) == (200, "close")
        assert wire.is_closed()


def test_http_1_0_may_keep(adder: Running) -> None:
    with Wire(adder) as wire:
        for _ in range(2):
            wire.send(get("/v2", "Connection: keep-alive", version="1.0"))
            answer = wire.answer()
            assert (answer.status, answer.headers["connection"]) == (200, "keep-alive")


def test_errors_keep_the_connection(adder: Running) -> None:
    with Wire(adder) as wire:
        wire.send(get("/nowhere"))
        assert wire.answer().status == 404
        wire.send(request("POST", INFER, b"{"))
        assert wire.answer().status == 400
        wire.send(request("POST", "/nowhere", BODY))
        assert wire.answer().status == 404
        wire.send(request("DELETE", INFER, b""))
        assert wire.answer().status == 405
        wire.send(request("POST", INFER, BODY))
        assert wire.answer().json["outputs"][0]["data"] == Y


def test_a_half_closed_client_is_answered(adder: Running) -> None:
    with Wire(adder) as wire:
        wire.send(request("POST", INFER, BODY) + get())
        wire.socket.shutdown(socket.SHUT_WR)
        assert wire.answer().status == 200
        assert wire.answer().json == {"live": True}
        assert wire.is_closed()


# ---- pieces ----


@pytest.mark.parametrize("size", [1, 2, 7, 64])
def test_requests_may_come_in_pieces(adder: Running, size: int) -> None:
    with Wire(adder) as wire:
        wire.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        data = request("POST", INFER, BODY) + chunked(INFER, BODY[:50], BODY[50:]) + get("/v2/models/m?query")
        for start in range(0, len(data), size):
            wire.send(data[start : start + size])
        assert wire.answer().json["outputs"][0]["data"] == Y
        assert wire.answer().json["outputs"][0]["data"] == Y
        assert wire.answer().json["name"] == "m"


def test_empty_lines_before_a_request(adder: Running) -> None:
    with Wire(adder) as wire:
        wire.send(b"\r\n\r\n" + get())
        assert wire.answer().status == 200


def test_header_names_in_any_case_and_empty_values(adder: Running) -> None:
    with Wire(adder) as wire:
        wire.send(
            b"POST %b HTTP/1.1\r\nhOST:\r\nX-Empty:\r\nCONTENT-length:%d\r\n\r\n%b"
            % (INFER.encode(), len(BODY), BODY)
        )
        assert wire.answer().status == 200


@pytest.mark.parametrize(
    "target", ["http://here/v2/health/live", "http://here:8000/v2/health/live?x", "HTTP://h/v2/health/live"]
)
def test_absolute_targets(adder: Running, target: str) -> None:
    with Wire(adder) as wire:
        wire.send(get(target))
        assert wire.answer().json == {"live": True}


# ---- pipelining ----


def test_pipelined_requests_are_answered_in_order(adder: Running) -> None:
    count = 200
    with Wire(adder) as wire:
        for index in range(count):
            body = BODY[:-1] + b',"id":"%d"}' % index
            wire.send(request("POST", INFER, body) + get())
        for index in range(count):
            assert wire.answer().json["id"] == str(index)
            assert wire.answer().json == {"live": True}


def test_pipelined_requests_are_answered_in_order_when_the_first_is_slow() -> None:
    release = asyncio.Event()

    async def slow(given):
        await release.wait()
        return given

    with (
        serving(FakeEngine([tensor("x", "FP32", 1, 4)], [tensor("y", "FP32", 1, 4)], slow)) as server,
        Wire(server) as wire,
    ):
        wire.send(
            request("POST", INFER, BODY)
            + get()
            + get("/nowhere")
            + request("HEAD", "/v2", b"")
            + b"nonsense\r\n\r\n"
        )
        assert server.get("/v2/health/live").status == 200
        server.call(release.set)
        assert wire.answer().json["outputs"][0]["data"] == [1.0, 2.0, 3.0, 4.0]
        assert wire.answer().json == {"live": True}
        assert wire.answer().status == 404
        assert wire.answer("HEAD").status == 200
        assert wire.answer().status in {400, 405}
        assert wire.is_closed()


def test_what_follows_a_closing_request_is_not_answered(adder: Running) -> None:
    with Wire(adder) as wire:
        wire.send(get("/v2/health/live", "Connection: close") + get("/v2"))
        assert wire.answer().json == {"live": True}
        assert wire.is_closed()


def test_thousands_of_pipelined_requests(adder: Running) -> None:
    count = 5000
    with Wire(adder) as wire:
        wire.send(get() * count)
        assert [wire.answer().status for _ in range(count)] == [200] * count


# ---- limits ----


def test_a_header_too_long(adder: Running) -> None:
    for data in (get("/v2", "X-Long: " + "x" * 70_000), get("/v2", *[f"X-{i}: {i}" for i in range(10_000)])):
        with Wire(adder) as wire:
            wire.send(data)
            refused(wire, 431)


def test_a_header_that_never_ends(adder: Running) -> None:
    with Wire(adder) as wire:
        wire.send(b"GET /v2 HTTP/1.1\r\nHost: h\r\n")
        try:
            for _ in range(100):
                wire.send(b"X-Header: " + b"x" * 1000 + b"\r\n")
        except (ConnectionResetError, BrokenPipeError):
            pass
        refused(wire, 431)


def test_a_target_too_long(adder: Running) -> None:
    with Wire(adder) as wire:
        wire.send(get("/" + "x" * 20_000))
        refused(wire, 414)


def test_a_target_that_never_ends(adder: Running) -> None:
    with Wire(adder) as wire:
        wire.send(b"GET /" + b"x" * 20_000)
        refused(wire, 414)


# ---- malformed ----


@pytest.mark.parametrize(
    "data",
    [
        b"hello\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET /v2\r\n\r\n",
        b"GET /v2 HTTP/2.0\r\n\r\n",
        b"GET /v2 HTTP/1.1x\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET /v2 HTTP/1.1\r\nno colon\r\n\r\n",
        b"GET /v2 HTTP/1.1\r\nBad Name: 1\r\n\r\n",
        b"GET /v2 HTTP/1.1\r\nA: \x00\r\n\r\n",
        b"POST /v2 HTTP/1.1\r\nContent-Length: x\r\n\r\n",
        b"POST /v2 HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"POST /v2 HTTP/1.1\r\nContent-Length: 1.5\r\n\r\n",
        b"POST /v2 HTTP/1.1\r\nContent-Length: 99999999999999999999999\r\n\r\n",
        b"POST /v2 HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        b"POST /v2 HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"POST /v2 HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
        b"POST /v2 HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n",
        b"POST /v2 HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n",
        b"POST /v2 HTTP/1.1\r\nTransfer-Encoding: identity\r\n\r\n",
        b"POST /v2 HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        b"POST /v2 HTTP/1.1\r\nTransfer-Encoding: chunked\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n0\r\n\r\n",
    ],
)
def test_malformed_requests_are_refused(adder: Running, data: bytes) -> None:
    with Wire(adder) as wire:
        wire.send(data)
        answer = wire.answer()
        assert 400 <= answer.status < 500
        assert answer.headers["connection"] == "close"
        assert answer.error
        assert wire.is_closed()


@pytest.mark.parametrize("method", ["BREW", "get", "G", "CONNECT"])
def test_methods_that_nobody_knows(adder: Running, method: str) -> None:
    with Wire(adder) as wire:
        target = "here:80" if method == "CONNECT" else "/v2"
        wire.send(get(target).replace(b"GET", method.encode()))
        assert wire.answer().status in {400, 404, 405}


def test_options_of_the_server(adder: Running) -> None:
    with Wire(adder) as wire:
        wire.send(get("*").replace(b"GET", b"OPTIONS"))
        assert wire.answer().status in {404, 405}


# ---- closing ----


def test_closing_answers_what_has_come_and_closes_the_rest() -> None:
    release = asyncio.Event()

    async def slow(given):
        await release.wait()
        return given

    engine = FakeEngine([tensor("x", "FP32", 1, 4)], [tensor("y", "FP32", 1, 4)], slow)
    with serving(engine) as server, Wire(server) as busy, Wire(server) as idle, Wire(server) as partial:
        idle.send(get())
        assert idle.answer().status == 200
        busy.send(request("POST", INFER, BODY))
        data = get()
        partial.send(data[:10])
        wait_for(lambda: server.dataplane.in_flight == 1 and server.server.connections == 3)
        server.call(server.server.close)
        assert idle.is_closed()
        with pytest.raises(ConnectionRefusedError):
            Wire(server)
        partial.send(data[10:])
        assert partial.answer().headers["connection"] == "close"
        server.call(release.set)
        answer = busy.answer()
        assert (answer.status, answer.headers["connection"]) == (200, "close")
        assert busy.is_closed()
        server.call(server.server.wait_closed)
