"""Whatever doesn't belong together is 400, and the answer names the tensor."""

import socket
from collections.abc import Iterator
from http.client import HTTPConnection
from itertools import chain

import orjson
import pytest

from tests.robustness.rest.mismatches import Case, make_cases, make_engine, make_raw, make_value_cases
from tests.runtime.rest.serving import binary, serving
from vinoserve_runtime.tensors import NUMPY_DTYPES


@pytest.fixture(scope="module")
def connection() -> Iterator[HTTPConnection]:
    with serving(make_engine()) as server:
        connection = HTTPConnection("127.0.0.1", server.port, timeout=60)
        connection.connect()
        connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        yield connection
        connection.close()
        assert server.dataplane.metrics.requests.keys() == {("rest", "infer", 400)}


def ask(connection: HTTPConnection, body: bytes, headers: dict[str, str], case: Case) -> None:
    connection.request("POST", "/v2/models/m/infer", body, headers)
    response = connection.getresponse()
    content = response.read()
    assert response.status == 400, str(case)
    assert orjson.loads(content)["error"].startswith(f'input "{case.name}"'), (str(case), content)


def test_in_binary(connection: HTTPConnection) -> None:
    """The other inputs are right."""
    for case in make_cases():
        tensors = [(case.name, case.datatype, case.shape, case.raw)]
        tensors += [
            (f"in_{other}", other, [2, 1], make_raw(other, 2))
            for other in NUMPY_DTYPES
            if f"in_{other}" != case.name
        ]
        items = [
            {"name": name, "datatype": datatype, "shape": shape, "parameters": {"binary_data_size": len(raw)}}
            for name, datatype, shape, raw in tensors
        ]
        ask(connection, *binary({"inputs": items}, b"".join(raw for _, _, _, raw in tensors)), case)


def test_in_json(connection: HTTPConnection) -> None:
    for case in chain(make_cases(), make_value_cases()):
        item = {"name": case.name, "datatype": case.datatype, "shape": case.shape, "data": case.values}
        ask(connection, orjson.dumps({"inputs": [item]}), {}, case)


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity", "1e999", "nan", "0x10", "01", ".5", "1."])
def test_what_is_no_json(connection: HTTPConnection, value: str) -> None:
    item = f'{{"name": "in_FP32", "datatype": "FP32", "shape": [2, 2], "data": [0, 0, 0, {value}]}}'
    connection.request("POST", "/v2/models/m/infer", f'{{"inputs": [{item}]}}')
    response = connection.getresponse()
    assert "malformed JSON" in orjson.loads(response.read())["error"]
    assert response.status == 400


def test_what_is_said_of_lengths(connection: HTTPConnection) -> None:
    """binary_data_size against what follows, and against what is left."""
    for said, sent in ((16, 15), (16, 17), (2**31, 16), (2**62, 16), (0, 16)):
        item = {
            "name": "in_FP32",
            "datatype": "FP32",
            "shape": [2, 2],
            "parameters": {"binary_data_size": said},
        }
        body, headers = binary({"inputs": [item]}, bytes(sent))
        connection.request("POST", "/v2/models/m/infer", body, headers)
        response = connection.getresponse()
        response.read()
        assert response.status == 400
