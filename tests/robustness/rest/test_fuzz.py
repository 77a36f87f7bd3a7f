"""Whatever is sent, the server lives, and what a client does wrong is never the server's fault: no 5xx."""

import gzip
import os
import socket
import zlib
from collections.abc import Iterator
from http.client import HTTPConnection, HTTPException, HTTPResponse
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.runtime.rest.serving import FakeEngine, Running, serving, tensor
from tests.runtime.rest.waiting import wait_for
from vinoserve_runtime.tensors import NUMPY_DTYPES

SOAK = bool(os.environ.get("VINOSERVE_SOAK"))
BODIES = 50_000 if SOAK else 1_200
MESSAGES = 20_000 if SOAK else 800

INPUTS = [
    tensor("x", "FP32", (1, 3), -1),
    tensor("n", "INT8", -1),
    tensor("b", "BYTES", 2),
    tensor("t", "BOOL"),
]
GOOD: dict[str, Any] = {
    "id": "1",
    "inputs": [
        {"name": "x", "datatype": "FP32", "shape": [1, 2], "data": [[0.5, 1]]},
        {"name": "n", "datatype": "INT8", "shape": [1], "data": [7]},
        {"name": "b", "datatype": "BYTES", "shape": [2], "parameters": {"binary_data_size": 11}},
        {"name": "t", "datatype": "BOOL", "shape": [], "data": [True]},
    ],
    "outputs": [{"name": "x", "parameters": {"binary_data": True}}, {"name": "n"}],
    "parameters": {"binary_data_output": False},
}
RAW = b"\x01\0\0\0a\x02\0\0\0bc"


@pytest.fixture(scope="module")
def server() -> Iterator[Running]:
    with serving(FakeEngine(INPUTS, INPUTS, list)) as running:
        yield running
        assert running.get("/v2/health/ready").status == 200
        assert running.infer(*encode(GOOD, RAW)).status == 200
        room = running.dataplane.room
        wait_for(lambda: room.free == room.size)


@pytest.fixture(scope="module")
def connection(server: Running) -> Iterator[HTTPConnection]:
    connection = HTTPConnection("127.0.0.1", server.port, timeout=60)
    yield connection
    connection.close()


def encode(request: Any, raw: bytes) -> tuple[bytes, dict[str, str]]:
    text = orjson.dumps(request, option=orjson.OPT_NON_STR_KEYS)
    return text + raw, {"Inference-Header-Content-Length": str(len(text))}


NAMES = st.sampled_from(["x", "n", "b", "t", "y", ""]) | st.text(max_size=5)
NUMBERS = (
    st.integers(-(2**63), 2**64 - 1)
    | st.integers(-300, 300)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from([0, 1, -1, 1.5, 2**31, 2**32, 2**63, 1e39, 65520, -0.0])
)
SCALARS = st.none() | st.booleans() | NUMBERS | st.text(max_size=8)
VALUES: st.SearchStrategy[Any] = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=12,
)
PARAMETERS = st.dictionaries(
    st.sampled_from(["binary_data_size", "binary_data", "binary_data_output", "classification", "priority"]),
    st.sampled_from([0, 4, 8, 11, True, False, -1, 2**62]) | VALUES,
    max_size=2,
)
TENSORS = st.fixed_dictionaries(
    {},
    optional={
        "name": NAMES | VALUES,
        "datatype": st.sampled_from([*NUMPY_DTYPES, "fp32"]) | VALUES,
        "shape": st.lists(st.integers(-1, 4) | NUMBERS, max_size=4) | VALUES,
        "data": st.lists(NUMBERS | st.booleans() | st.text(max_size=4), max_size=6) | VALUES,
        "parameters": PARAMETERS | VALUES,
    },
)
REQUESTS = st.fixed_dictionaries(
    {},
    optional={
        "id": st.text(max_size=5) | VALUES,
        "inputs": st.lists(TENSORS, max_size=5) | VALUES,
        "outputs": st.lists(TENSORS, max_size=3) | VALUES,
        "parameters": PARAMETERS | VALUES,
    },
)


@st.composite
def nearly_good(draw: st.DrawFn) -> Any:
    """The good request with one place changed."""
    request = orjson.loads(orjson.dumps(GOOD))
    places: list[tuple[Any, Any]] = []
    _list_places(request, places)
    container, key = draw(st.sampled_from(places))
    if draw(st.integers(0, 4)) == 0:
        del container[key]
    else:
        container[key] = draw(VALUES | TENSORS | NAMES | NUMBERS)
    return request


def _list_places(value: Any, found: list[tuple[Any, Any]]) -> None:
    keys = value.keys() if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    for key in keys:
        found.append((value, key))
        _list_places(value[key], found)


@st.composite
def bodies(draw: st.DrawFn) -> tuple[bytes, dict[str, str]]:
    kind = draw(st.integers(0, 9))
    if kind == 0:
        body, headers = draw(st.binary(max_size=200)), {}
    else:
        request = draw(nearly_good() if kind < 7 else REQUESTS)
        body, headers = encode(request, draw(st.just(RAW) | st.binary(max_size=20)))
    change = draw(st.integers(0, 9))
    if change == 0:
        headers["Inference-Header-Content-Length"] = draw(
            st.integers(-1, 400).map(str) | st.text("0123456789x ,", max_size=9)
        )
    elif change == 1 and body:
        place = draw(st.integers(0, len(body) - 1))
        body = body[:place] + draw(st.binary(max_size=3)) + body[place + 1 :]
    elif change == 2:
        coding, pack = draw(
            st.sampled_from(
                [("gzip", gzip.compress), ("deflate", zlib.compress), ("gzip", bytes), ("br", bytes)]
            )
        )
        body, headers["Content-Encoding"] = pack(body), coding
    if draw(st.integers(0, 9)) == 0:
        headers["Accept-Encoding"] = draw(st.sampled_from(["gzip", "gzip;q=0", "*", "br, gzip;q=0.5"]))
    return body, headers


@settings(max_examples=BODIES)
@given(bodies())
def test_bodies(connection: HTTPConnection, message: tuple[bytes, dict[str, str]]) -> None:
    body, headers = message
    connection.request("POST", "/v2/models/m/infer", body, headers)
    response = connection.getresponse()
    content = response.read()
    assert response.status in {200, 400, 413, 415}, content
    if response.status != 200:
        assert set(orjson.loads(content)) == {"error"}


LINES = st.sampled_from(
    [
        b"POST /v2/models/m/infer HTTP/1.1",
        b"GET /v2/health/live HTTP/1.1",
        b"HEAD /v2 HTTP/1.0",
        b"OPTIONS * HTTP/1.1",
        b"GET http://a/v2 HTTP/1.1",
        b"CONNECT a:1 HTTP/1.1",
        b"PRI * HTTP/2.0",
        b"Host: a",
        b"Content-Length: 5",
        b"Content-Length: 0",
        b"Content-Length: 99999999999",
        b"Transfer-Encoding: chunked",
        b"Connection: keep-alive, Upgrade",
        b"Connection: close",
        b"Upgrade: h2c",
        b"Expect: 100-continue",
        b"Content-Encoding: gzip",
        b"Inference-Header-Content-Length: 5",
        b"Accept-Encoding: gzip;q=x",
        b" folded",
        b"",
        b"",
        b"hello",
        b"5",
        b"0",
        b"5;ext=1",
        b"ffffffffffffffffff",
    ]
)


@settings(max_examples=MESSAGES)
@given(
    st.lists(LINES | st.binary(max_size=30), max_size=12),
    st.sampled_from([b"\r\n", b"\n", b"\r\n", b"\r\n"]),
    st.booleans(),
)
def test_messages(server: Running, lines: list[bytes], end: bytes, in_pieces: bool) -> None:
    data = end.join(lines) + end * 2
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as client:
        for start in range(0, len(data), 7 if in_pieces else len(data)):
            try:
                client.sendall(data[start : start + 7] if in_pieces else data)
            except (BrokenPipeError, ConnectionResetError):
                break
        try:
            client.shutdown(socket.SHUT_WR)
            while True:
                response = HTTPResponse(client)
                response.begin()
                response.read()
                assert response.status < 500, data
                if response.getheader("Connection") == "close":
                    break
        except (HTTPException, ConnectionResetError, OSError):
            pass  # the server has closed
