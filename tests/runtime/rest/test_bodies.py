"""Request bodies over the wire: of any size, in pieces, chunked, too long, announced by Expect."""

import numpy as np
import orjson
import pytest

from tests.runtime.rest.raw_http import Wire, chunked, get, refused, request
from tests.runtime.rest.serving import LIMITS, FakeEngine, Running, serving, tensor

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
