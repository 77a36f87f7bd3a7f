"""HTTP/1.1 as it comes over the wire: in pieces, pipelined, chunked, malformed, too large."""

import asyncio
import socket

import numpy as np
import orjson
import pytest

from tests.runtime.rest.raw_http import Wire, chunked, get, request
from tests.runtime.rest.serving import LIMITS, FakeEngine, Running, serving, tensor
from tests.runtime.rest.waiting import wait_for

INFER = "/v2/models/m/infer"
BODY = orjson.dumps({"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 4], "data": [1, 2, 3, 4]}]})
Y = [2.0, 3.0, 4.0, 5.0]


@pytest.fixture(scope="module")
def blob():
    """Says how many elements a UINT8 tensor has, and their sum; takes 1 MiB."""

    def work(given):
        return [np.array([given[0].size, int(given[0].sum(dtype=np.int64))])]

    with serving(FakeEngine([tensor("x", "UINT8", -1)], [tensor("y", "INT64", 2)], work)) as server:
        yield server


def blob_request(content: bytes) -> tuple[bytes, str]:
    item = {
        "name": "x",
        "datatype": "UINT8",
        "shape": [len(content)],
        "parameters": {"binary_data_size": len(content)},
    }
    header = orjson.dumps({"inputs": [item]})
    return header + content, f"Inference-Header-Content-Length: {len(header)}"


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


# ---- bodies ----


@pytest.mark.parametrize("size", [0, 1, 1000, 65_536, 100_000, 262_144, 1_000_000])
def test_bodies_of_any_size(blob: Running, size: int) -> None:
    content = np.random.default_rng(size).integers(0, 256, size, np.uint8).tobytes()
    body, header = blob_request(content)
    with Wire(blob) as wire:
        for data in (
            request("POST", INFER, body, header),
            chunked(INFER, body[:10], body[10:], headers=(header,)),
        ):
            wire.send(data + get())
            assert wire.answer().json["outputs"][0]["data"] == [size, sum(content)]
            assert wire.answer().json == {"live": True}


def test_a_large_body_in_pieces_with_the_next_request_behind_it(blob: Running) -> None:
    body, header = blob_request(b"\x01" * 500_000)
    data = (request("POST", INFER, body, header) + get()) * 3
    with Wire(blob) as wire:
        for start in range(0, len(data), 99_991):
            wire.send(data[start : start + 99_991])
        for _ in range(3):
            assert wire.answer().json["outputs"][0]["data"] == [500_000, 500_000]
            assert wire.answer().json == {"live": True}


def test_chunks_with_extensions_and_trailers(adder: Running) -> None:
    with Wire(adder) as wire:
        wire.send(
            b"POST %b HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n" % INFER.encode()
            + b'%X;name="value"\r\n%b\r\n0\r\nX-Trailer: 1\r\nContent-Encoding: gzip\r\n\r\n'
            % (len(BODY), BODY)
        )
        assert wire.answer().json["outputs"][0]["data"] == Y


def test_blanks_around_header_values(blob: Running) -> None:
    body, header = blob_request(b"\x01\x02")
    with Wire(blob) as wire:
        wire.send(
            request("POST", INFER, body, header.replace(": ", ": \t ") + "  ", "Accept-Encoding:   identity ")
        )
        assert wire.answer().json["outputs"][0]["data"] == [2, 3]


def test_bodies_where_none_is_expected(adder: Running) -> None:
    with Wire(adder) as wire:
        wire.send(request("GET", "/v2/health/live", b"x" * 1000) + get("/v2"))
        assert wire.answer().json == {"live": True}
        assert wire.answer().json["name"] == "vinoserve"


def test_no_body_at_all(adder: Running) -> None:
    with Wire(adder) as wire:
        wire.send(request("POST", INFER, b""))
        answer = wire.answer()
        assert (answer.status, answer.error) == (400, "the body is empty")


@pytest.mark.parametrize("method", ["POST", "GET"])
@pytest.mark.parametrize("upgrade", ["h2c", "websocket"])
def test_offers_to_upgrade_are_ignored(blob: Running, method: str, upgrade: str) -> None:
    body, header = blob_request(b"\x01" * 200_000)
    offer = ("Connection: Upgrade, HTTP2-Settings", f"Upgrade: {upgrade}", "HTTP2-Settings: AAMAAABkAAQAAP__")
    with Wire(blob) as wire:
        if method == "GET":
            wire.send(get("/v2/health/live", *offer) + get("/v2"))
            assert wire.answer().json == {"live": True}
        else:
            wire.send(request("POST", INFER, body, header, *offer) + get("/v2"))
            assert wire.answer().json["outputs"][0]["data"] == [200_000, 200_000]
        assert wire.answer().json["name"] == "vinoserve"


# ---- limits ----


def refused(wire: Wire, status: int, message: str = "") -> None:
    answer = wire.answer()
    assert (answer.status, answer.headers["connection"]) == (status, "close")
    assert message in answer.error
    assert wire.is_closed()


def test_a_body_that_is_said_to_be_too_long_is_refused_before_it_comes(blob: Running) -> None:
    for length in (LIMITS.max_request_bytes + 1, 10**9, 10**18):
        with Wire(blob) as wire:
            wire.send(f"POST {INFER} HTTP/1.1\r\nHost: h\r\nContent-Length: {length}\r\n\r\n".encode())
            refused(wire, 413, f"longer than {LIMITS.max_request_bytes} bytes")


def test_a_client_that_sends_a_body_too_long_gets_to_read_why(blob: Running) -> None:
    with Wire(blob) as wire:
        wire.send(request("POST", INFER, bytes(20_000_000)))
        refused(wire, 413)


def test_a_chunked_body_is_refused_once_it_is_too_long(blob: Running) -> None:
    with Wire(blob) as wire:
        wire.send(f"POST {INFER} HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n".encode())
        for _ in range(LIMITS.max_request_bytes // 65_536 + 1):
            wire.send(b"10000\r\n" + bytes(65_536) + b"\r\n")
        refused(wire, 413)


def test_a_body_of_just_the_limit_is_taken(blob: Running) -> None:
    content = bytes(LIMITS.max_request_bytes - 200)
    body, header = blob_request(content)
    padding = LIMITS.max_request_bytes - len(body)
    body, header = blob_request(content + bytes(padding))
    assert len(body) == LIMITS.max_request_bytes
    with Wire(blob) as wire:
        wire.send(request("POST", INFER, body, header))
        assert wire.answer().status == 200


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


# ---- Expect ----


def expecting(
    body: bytes, *headers: str, path: str = INFER, length: int | None = None, version: str = "1.1"
) -> bytes:
    lines = [f"POST {path} HTTP/{version}", "Host: h", "Expect: 100-continue", *headers]
    return "\r\n".join(
        [*lines, f"Content-Length: {len(body) if length is None else length}", "", ""]
    ).encode()


def test_continue(adder: Running) -> None:
    with Wire(adder) as wire:
        for _ in range(2):
            wire.send(expecting(BODY))
            assert wire.answer().status == 100
            wire.send(BODY)
            assert wire.answer().json["outputs"][0]["data"] == Y


def test_continue_comes_after_the_answers_before_it(adder: Running) -> None:
    with Wire(adder) as wire:
        wire.send(request("POST", INFER, BODY) + expecting(BODY))
        assert wire.answer().status == 200
        assert wire.answer().status == 100
        wire.send(BODY)
        assert wire.answer().status == 200


def test_a_client_that_does_not_wait_for_continue(adder: Running) -> None:
    with Wire(adder) as wire:
        wire.send(expecting(BODY) + BODY + get())
        statuses = [wire.answer().status for _ in range(2)]
        statuses = (
            statuses if 100 not in statuses else [*(s for s in statuses if s != 100), wire.answer().status]
        )
        assert statuses == [200, 200]


def test_http_1_0_gets_no_continue(adder: Running) -> None:
    with Wire(adder) as wire:
        wire.send(expecting(BODY, version="1.0") + BODY)
        assert wire.answer().status == 200


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (expecting(b"", length=10**9), 413),
        (expecting(BODY, path="/nowhere"), 404),
        (expecting(BODY, path="/v2"), 405),
        (expecting(BODY, "Content-Encoding: br"), 415),
        (expecting(BODY).replace(b"100-continue", b"a miracle"), 417),
    ],
)
def test_what_will_be_refused_need_not_be_sent(adder: Running, data: bytes, status: int) -> None:
    with Wire(adder) as wire:
        wire.send(data)
        refused(wire, status)


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
