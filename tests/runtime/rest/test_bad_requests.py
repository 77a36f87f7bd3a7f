"""Whatever is wrong in a request is 400, and the answer says what: `{"error": ...}` naming the tensor."""

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import orjson
import pytest

from tests.runtime.rest.serving import FakeEngine, Running, serving, tensor
from vinoserve_runtime.tensors import NUMPY_DTYPES


@pytest.fixture(scope="module")
def server() -> Iterator[Running]:
    """Inputs `a` FP32 [1, 2] and `b` INT64 [1..3, -1]; outputs `y` FP32 [1, 2] and `z` INT64."""
    engine = FakeEngine(
        [tensor("a", "FP32", 1, 2), tensor("b", "INT64", (1, 3), -1)],
        [tensor("y", "FP32", 1, 2), tensor("z", "INT64", (1, 3), -1)],
        list,
    )
    with serving(engine) as running:
        yield running


A = {"name": "a", "datatype": "FP32", "shape": [1, 2], "data": [1, 2]}
B = {"name": "b", "datatype": "INT64", "shape": [1, 2], "data": [3, 4]}
REMOVED = object()


def request(a: Any = A, b: Any = B, **more: Any) -> dict[str, Any]:
    return {"inputs": [tensor for tensor in (a, b) if tensor is not REMOVED], **more}


def changed(base: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {key: value for key, value in {**base, **changes}.items() if value is not REMOVED}


def with_a(**changes: Any) -> dict[str, Any]:
    return request(a=changed(A, **changes))


def with_b(**changes: Any) -> dict[str, Any]:
    return request(b=changed(B, **changes))


WRONG_JSON = [
    ("empty", b"", "the body is empty"),
    ("blank", b"   ", "malformed JSON"),
    ("not json", b"hello", "malformed JSON"),
    ("cut", b'{"inputs": [', "malformed JSON"),
    ("two documents", b"{}{}", "malformed JSON"),
    ("single quotes", b"{'inputs': []}", "malformed JSON"),
    ("trailing comma", b'{"inputs": [],}', "malformed JSON"),
    ("NaN", orjson.dumps(request()).replace(b"[1,2]}", b"[NaN,2]}"), "malformed JSON"),
    ("Infinity", orjson.dumps(request()).replace(b"[1,2]}", b"[Infinity,2]}"), "malformed JSON"),
    ("out of any range", orjson.dumps(request()).replace(b"[1,2]}", b"[1e999,2]}"), "malformed JSON"),
    ("not UTF-8", b'{"inputs": "\xff"}', "malformed JSON"),
    ("UTF-16", '{"inputs": []}'.encode("utf-16"), "malformed JSON"),
    ("deeply nested", b"[" * 100_000, "malformed JSON"),
    ("lone surrogate", b'{"id": "\\ud800"}', "malformed JSON"),
]

WRONG_REQUESTS = [
    ("an array", [], "must be a JSON object"),
    ("null", b"null", "must be a JSON object"),
    ("a number", b"1", "must be a JSON object"),
    ("a string", b'"inputs"', "must be a JSON object"),
    ("no inputs", {}, "inputs must be an array"),
    ("inputs null", {"inputs": None}, "inputs must be an array"),
    ("inputs object", {"inputs": {"a": A}}, "inputs must be an array"),
    ("inputs string", {"inputs": "a"}, "inputs must be an array"),
    ("inputs of numbers", {"inputs": [1, 2]}, "inputs must hold objects, not 1"),
    ("inputs of null", {"inputs": [None]}, "inputs must hold objects, not null"),
    ("inputs empty", {"inputs": []}, 'input "a" is missing'),
    ("first missing", request(a=REMOVED), 'input "a" is missing'),
    ("second missing", request(b=REMOVED), 'input "b" is missing'),
    ("extra", {"inputs": [A, B, changed(A, name="c")]}, 'input "c": the model has no such input; its inputs are "a", "b"'),
    ("other case", request(a=changed(A, name="A")), 'input "A": the model has no such input'),
    ("repeated", {"inputs": [A, B, A]}, 'input "a" is given twice'),
    ("repeated instead of another", {"inputs": [A, A]}, 'input "a" is given twice'),
    ("no name", with_a(name=REMOVED), "has no name"),
    ("name null", with_a(name=None), "has no name"),
    ("name number", with_a(name=7), "name must be a string, not 7"),
    ("name list", with_a(name=["a"]), "name must be a string"),
    ("name empty", with_a(name=""), 'input "": the model has no such input'),
    ("id number", request(id=7), "id must be a string, not 7"),
    ("id list", request(id=["7"]), "id must be a string"),
    ("id boolean", request(id=True), "id must be a string, not true"),
    ("parameters list", request(parameters=[]), "the request: parameters must be an object"),
    ("parameters string", request(parameters="x"), "the request: parameters must be an object"),
    ("parameter object", request(parameters={"p": {}}), 'parameter "p" must be a string, a number or a boolean'),
    ("parameter list", request(parameters={"p": [1]}), 'parameter "p" must be a string, a number or a boolean'),
    ("parameter null", request(parameters={"p": None}), 'parameter "p" must be'),
    ("input parameters list", with_a(parameters=[1]), 'input "a": parameters must be an object'),
    ("input parameter object", with_a(parameters={"p": {}}), 'input "a": parameter "p" must be'),
    ("shared memory", with_a(parameters={"shared_memory_region": "r"}), "shared memory is not offered"),
    ("binary_data_output number", request(parameters={"binary_data_output": 1}), "binary_data_output must be true or false"),
    ("binary_data_output string", request(parameters={"binary_data_output": "true"}), "binary_data_output must be true or"),
]  # fmt: skip

WRONG_DATATYPES = [
    ("none", with_a(datatype=REMOVED), 'input "a": datatype is null, but the model takes FP32'),
    ("number", with_a(datatype=32), 'input "a": datatype is 32'),
    ("list", with_a(datatype=["FP32"]), 'input "a": datatype is'),
    ("another", with_a(datatype="FP64"), 'input "a": datatype is "FP64", but the model takes FP32'),
    ("integer", with_a(datatype="INT32"), "but the model takes FP32"),
    ("unknown", with_a(datatype="FLOAT"), 'datatype is "FLOAT"'),
    ("other case", with_a(datatype="fp32"), "but the model takes FP32"),
    ("for the second", with_b(datatype="INT32"), 'input "b": datatype is "INT32", but the model takes INT64'),
]

WRONG_SHAPES = [
    ("none", with_a(shape=REMOVED), 'input "a": shape must be an array'),
    ("null", with_a(shape=None), 'input "a": shape must be an array'),
    ("number", with_a(shape=2), 'input "a": shape must be an array'),
    ("string", with_a(shape="[1, 2]"), 'input "a": shape must be an array'),
    ("object", with_a(shape={}), 'input "a": shape must be an array'),
    ("low rank", with_a(shape=[2]), "has rank 1, but the model takes rank 2: [1, 2]"),
    ("high rank", with_a(shape=[1, 1, 2]), "has rank 3, but the model takes rank 2"),
    ("no rank", with_a(shape=[]), "has rank 0"),
    ("other size", with_a(shape=[1, 3], data=[1, 2, 3]), 'input "a": shape [1, 3] doesn\'t fit; the model takes [1, 2]'),
    ("transposed", with_a(shape=[2, 1]), "doesn't fit; the model takes [1, 2]"),
    ("batch", with_a(shape=[2, 2], data=[1, 2, 3, 4]), "doesn't fit; the model takes [1, 2]"),
    ("above bounds", with_b(shape=[4, 1], data=[1, 2, 3, 4]), "doesn't fit; the model takes [1..3, -1]"),
    ("below bounds", with_b(shape=[0, 1], data=[]), "doesn't fit; the model takes [1..3, -1]"),
    ("negative", with_b(shape=[-1, 2]), 'input "b": shape [-1, 2] must be made of integers from 0 up'),
    ("both negative", with_b(shape=[-1, -2]), "must be made of integers from 0 up"),
    ("fraction", with_b(shape=[1, 2.5]), "must be made of integers from 0 up"),
    ("whole fraction", with_b(shape=[1.0, 2.0]), "must be made of integers from 0 up"),
    ("strings", with_b(shape=["1", "2"]), "must be made of integers from 0 up"),
    ("null size", with_b(shape=[1, None]), "must be made of integers from 0 up"),
    ("boolean", with_b(shape=[True, 2]), "must be made of integers from 0 up"),
    ("nested", with_b(shape=[[1], 2]), "must be made of integers from 0 up"),
    ("huge", with_b(shape=[1, 2**31]), f"data has 2 elements, but shape [1, {2**31}] takes {2**31}"),
    ("huge product", with_b(shape=[3, 2**62]), "is too large"),
    ("more than 64 bits", with_b(shape=[1, 18446744073709551616]), "must be made of integers"),
    ("many sizes", with_b(shape=[1] * 10_000), "has rank 10000"),
]  # fmt: skip

WRONG_DATA = [
    ("none", with_a(data=REMOVED), 'input "a" has neither data nor binary_data_size'),
    ("null", with_a(data=None), 'input "a": data must be an array, not null'),
    ("number", with_a(data=1), 'input "a": data must be an array, not 1'),
    ("string", with_a(data="1,2"), 'input "a": data must be an array'),
    ("object", with_a(data={"0": 1}), 'input "a": data must be an array'),
    ("empty", with_a(data=[]), "data has 0 elements, but shape [1, 2] takes 2"),
    ("short", with_a(data=[1]), 'input "a": data has 1 elements, but shape [1, 2] takes 2'),
    ("long", with_a(data=[1, 2, 3]), 'input "a": data has 3 elements, but shape [1, 2] takes 2'),
    ("nested short", with_a(data=[[1]]), 'input "a": data is nested otherwise than shape [1, 2]'),
    ("nested long", with_a(data=[[1, 2, 3]]), "data is nested otherwise than shape [1, 2]"),
    ("nested transposed", with_a(data=[[1], [2]]), "data is nested otherwise than shape [1, 2]"),
    ("nested too deep", with_a(data=[[[1, 2]]]), "data is nested"),
    ("nested deeper", with_a(data=[[[1], [2]]]), "data is nested deeper than shape [1, 2]"),
    ("ragged", with_b(shape=[2, 2], data=[[1, 2], [3]]), 'input "b": data is nested otherwise'),
    ("ragged mix", with_b(shape=[2, 2], data=[[1, 2], 3]), 'input "b": data is nested unevenly'),
    ("mixed", with_b(shape=[1, 2], data=[1, [2]]), 'input "b": data[1] is [2], but the elements before it are not nested'),
    ("text for FP32", with_a(data=["1.5", 2]), 'input "a": data[0] is "1.5", but FP32 takes numbers'),
    ("null for FP32", with_a(data=[1, None]), 'input "a": data[1] is null, but FP32 takes numbers'),
    ("boolean for FP32", with_a(data=[1, True]), 'input "a": data[1] is true, but FP32 takes numbers'),
    ("object for FP32", with_a(data=[1, {}]), 'input "a": data[1] is {}, but FP32 takes numbers'),
    ("beyond FP32", with_a(data=[1e39, 0]), 'input "a": data[0] is 1e+39, but that is out of range for FP32'),
    ("below FP32", with_a(data=[0, -3.5e38]), 'input "a": data[1] is -3.5e+38, but that is out of range'),
    ("1.5 for INT64", with_b(data=[1.5, 2]), 'input "b": data[0] is 1.5, but INT64 takes whole numbers'),
    ("1e300 for INT64", with_b(data=[1, 1e300]), "that is out of range for INT64"),
    ("2^63 for INT64", with_b(data=[2**63, 0]), "that is out of range for INT64"),
    ("text for INT64", with_b(data=["3", "4"]), 'input "b": data[0] is "3", but INT64 takes numbers'),
    ("null for INT64", with_b(data=[None, 4]), 'input "b": data[0] is null, but INT64 takes numbers'),
    ("true for INT64", with_b(data=[True, 4]), 'input "b": data[0] is true, but INT64 takes numbers'),
    ("false for INT64", with_b(data=[3, False]), 'input "b": data[1] is false, but INT64 takes numbers'),
]  # fmt: skip

WRONG_OUTPUTS = [
    ("object", request(outputs={}), "outputs must be an array"),
    ("string", request(outputs="y"), "outputs must be an array"),
    ("strings", request(outputs=["y"]), 'outputs must hold objects, not "y"'),
    ("no name", request(outputs=[{}]), "outputs: a tensor has no name"),
    ("name number", request(outputs=[{"name": 1}]), "outputs: name must be a string, not 1"),
    ("unknown", request(outputs=[{"name": "q"}]), 'output "q": the model has no such output; its outputs are "y", "z"'),
    ("an input", request(outputs=[{"name": "a"}]), 'output "a": the model has no such output'),
    ("one of two unknown", request(outputs=[{"name": "y"}, {"name": "q"}]), 'output "q"'),
    ("twice", request(outputs=[{"name": "y"}, {"name": "y"}]), 'output "y" is asked for twice'),
    ("parameters list", request(outputs=[{"name": "y", "parameters": []}]), 'output "y": parameters must be an object'),
    ("binary_data number", request(outputs=[{"name": "y", "parameters": {"binary_data": 1}}]), 'output "y": binary_data must'),
    ("classification", request(outputs=[{"name": "y", "parameters": {"classification": 2}}]), "classification is not offered"),
    ("shared memory", request(outputs=[{"name": "y", "parameters": {"shared_memory_region": "r"}}]), "shared memory is not"),
]  # fmt: skip


def _ids(cases: list[tuple[str, Any, str]]) -> Any:
    return pytest.mark.parametrize(
        ("body", "message"), [pytest.param(*case[1:], id=case[0]) for case in cases]
    )


def refused(server: Running, body: Any, message: str, headers: dict[str, str] | None = None) -> None:
    answer = server.infer(body if isinstance(body, bytes) else json.dumps(body).encode(), headers)
    assert answer.status == 400, answer.body
    assert message in answer.error
    assert "\n" not in answer.error
    assert len(answer.error) < 1000


@_ids(WRONG_JSON)
def test_json(server: Running, body: Any, message: str) -> None:
    refused(server, body, message)


@_ids(WRONG_REQUESTS)
def test_request(server: Running, body: Any, message: str) -> None:
    refused(server, body, message)


@_ids(WRONG_DATATYPES)
def test_datatype(server: Running, body: Any, message: str) -> None:
    refused(server, body, message)


@_ids(WRONG_SHAPES)
def test_shape(server: Running, body: Any, message: str) -> None:
    refused(server, body, message)


@_ids(WRONG_DATA)
def test_data(server: Running, body: Any, message: str) -> None:
    refused(server, body, message)


@_ids(WRONG_OUTPUTS)
def test_outputs(server: Running, body: Any, message: str) -> None:
    refused(server, body, message)


def test_the_unchanged_request_is_good(server: Running) -> None:
    assert server.infer(request()).status == 200


# ---- numbers of each datatype ----

INTEGERS = sorted(name for name in NUMPY_DTYPES if "INT" in name)


def one(datatype: str, data: str) -> bytes:
    inputs = [
        {"name": f"in_{other}", "datatype": other, "shape": [0], "data": []}
        for other in NUMPY_DTYPES
        if other != datatype
    ]
    body = orjson.dumps(
        {"inputs": [*inputs, {"name": f"in_{datatype}", "datatype": datatype, "shape": [1], "data": ["?"]}]}
    )
    return body.replace(b'["?"]', data.encode())


def limits_of(datatype: str) -> tuple[int, int]:
    info = np.iinfo(NUMPY_DTYPES[datatype])
    return int(info.min), int(info.max)


@pytest.mark.parametrize("datatype", INTEGERS)
def test_integers_end_where_their_datatype_does(echo: Running, datatype: str) -> None:
    least, most = limits_of(datatype)
    for value in (least, most):
        answer = echo.infer(one(datatype, f"[{value}]"))
        assert answer.status == 200, answer.body
        found = next(output for output in answer.json["outputs"] if output["name"] == f"out_{datatype}")
        assert found["data"] == [value]
    for value in (least - 1, most + 1):
        refused(echo, one(datatype, f"[{value}]"), f'input "in_{datatype}": data[0] is ')


@pytest.mark.parametrize("datatype", INTEGERS)
@pytest.mark.parametrize("value", ["0.5", "-0.1", "1e-3", '"1"', "true", "false", "null", "[]", "{}", "1e25"])
def test_integers_take_nothing_else(echo: Running, datatype: str, value: str) -> None:
    refused(echo, one(datatype, f"[{value}]"), f'input "in_{datatype}": data')


@pytest.mark.parametrize("datatype", INTEGERS)
def test_a_whole_number_may_be_written_with_a_point(echo: Running, datatype: str) -> None:
    answer = echo.infer(one(datatype, "[7.0]"))
    assert answer.status == 200, answer.body


@pytest.mark.parametrize(
    ("datatype", "good", "bad"),
    [
        ("FP16", "65504", "65520"),
        ("FP16", "-65504", "-1e6"),
        ("BF16", "3.3e38", "3.4e38"),
        ("BF16", "-3.3e38", "-1e39"),
        ("FP32", "3.4028234e38", "3.4028236e38"),
        ("FP32", "-3.4028234e38", "-1e300"),
        ("FP64", "1.7976931348623157e308", "1.8e308"),
    ],
)
def test_floats_end_where_their_datatype_does(echo: Running, datatype: str, good: str, bad: str) -> None:
    assert echo.infer(one(datatype, f"[{good}]")).status == 200
    refused(echo, one(datatype, f"[{bad}]"), "")


@pytest.mark.parametrize("datatype", ["FP16", "BF16", "FP32", "FP64"])
@pytest.mark.parametrize("value", ['"1"', "true", "null", "[]", "{}", "NaN", "-Infinity"])
def test_floats_take_nothing_else(echo: Running, datatype: str, value: str) -> None:
    refused(echo, one(datatype, f"[{value}]"), "")


@pytest.mark.parametrize("value", ["2", "-1", "256", "0.5", "1.0", '"true"', "null", "[]"])
def test_booleans_take_nothing_else(echo: Running, value: str) -> None:
    refused(echo, one("BOOL", f"[{value}]"), 'input "in_BOOL": data')


@pytest.mark.parametrize("value", ["1", "1.5", "true", "null", "{}"])
def test_bytes_take_nothing_else(echo: Running, value: str) -> None:
    refused(
        echo, one("BYTES", f"[{value}]"), f'input "in_BYTES": data[0] is {value}, but BYTES takes strings'
    )


def test_the_first_wrong_element_is_named(echo: Running) -> None:
    body = one("INT8", "[1]").replace(b'"shape":[1]', b'"shape":[4]').replace(b"[1]}", b"[1,2,300,400]}")
    refused(echo, body, 'input "in_INT8": data[2] is 300, but that is out of range for INT8 (-128 to 127)')


# ---- the binary extension ----


def binary(header: dict[str, Any], raw: bytes, *, length: str | None = None) -> tuple[bytes, dict[str, str]]:
    text = orjson.dumps(header)
    return text + raw, {"Inference-Header-Content-Length": str(len(text)) if length is None else length}


RAW_A = {"name": "a", "datatype": "FP32", "shape": [1, 2], "parameters": {"binary_data_size": 8}}
RAW_B = {"name": "b", "datatype": "INT64", "shape": [1, 2], "parameters": {"binary_data_size": 16}}


def sized(base: dict[str, Any], size: Any) -> dict[str, Any]:
    return changed(base, parameters={"binary_data_size": size})


@pytest.mark.parametrize(
    ("inputs", "raw", "message"),
    [
        pytest.param([RAW_A, RAW_B], 23, 'input "b": binary_data_size is 16, but only 15 bytes', id="a byte missing"),
        pytest.param([RAW_A, RAW_B], 0, 'input "a": binary_data_size is 8, but only 0 bytes', id="all missing"),
        pytest.param([RAW_A, RAW_B], 25, "1 bytes of the body are left over", id="a byte too many"),
        pytest.param([RAW_B, RAW_A], 20, 'input "a": binary_data_size is 8, but only 4', id="in the order of the request"),
        pytest.param([A, B], 1, "1 bytes of the body are left over", id="none expected"),
        pytest.param([sized(RAW_A, 4), RAW_B], 20, 'input "a": 4 bytes of binary data, but FP32 of shape [1, 2] takes 8', id="too few for the shape"),
        pytest.param([sized(RAW_A, 12), RAW_B], 28, 'input "a": 12 bytes of binary data', id="too many for the shape"),
        pytest.param([sized(RAW_A, 0), RAW_B], 16, 'input "a": 0 bytes of binary data', id="empty"),
        pytest.param([sized(RAW_A, -8), RAW_B], 16, 'input "a": binary_data_size must be a number of bytes', id="negative"),
        pytest.param([sized(RAW_A, 8.0), RAW_B], 24, 'input "a": binary_data_size must be', id="fraction"),
        pytest.param([sized(RAW_A, "8"), RAW_B], 24, 'input "a": binary_data_size must be', id="string"),
        pytest.param([sized(RAW_A, True), RAW_B], 24, 'input "a": binary_data_size must be', id="boolean"),
        pytest.param([sized(RAW_A, 2**62), RAW_B], 24, 'input "a": binary_data_size is', id="huge"),
        pytest.param([changed(RAW_A, data=[1, 2]), RAW_B], 24, 'input "a" has both data and binary_data_size', id="data too"),
        pytest.param([changed(RAW_A, data=[]), RAW_B], 24, 'input "a" has both data and binary_data_size', id="empty data too"),
        pytest.param([RAW_A], 8, 'input "b" is missing', id="missing"),
        pytest.param([RAW_A, RAW_A, RAW_B], 32, 'input "a" is given twice', id="repeated"),
        pytest.param([changed(RAW_A, shape=[1, 3]), RAW_B], 24, 'input "a": shape [1, 3] doesn\'t fit', id="shape"),
        pytest.param([changed(RAW_A, datatype="INT32"), RAW_B], 24, 'input "a": datatype is "INT32"', id="datatype"),
        pytest.param([RAW_A, changed(RAW_B, shape=[1, 2**40])], 24, 'input "b": 16 bytes of binary data', id="shape far too large"),
        pytest.param([RAW_A, changed(RAW_B, shape=[3, 2**31])], 24, 'input "b": 16 bytes of binary data', id="shape too large"),
    ],
)  # fmt: skip
def test_binary(server: Running, inputs: list[Any], raw: int, message: str) -> None:
    body, headers = binary({"inputs": inputs}, bytes(raw))
    refused(server, body, message, headers)


@pytest.mark.parametrize("length", ["", "x", "-1", "1.5", "0x10", "1e2", "+10", "10, 12", "9" * 30, "99999"])
def test_wrong_header_length(server: Running, length: str) -> None:
    body, headers = binary({"inputs": [RAW_A, RAW_B]}, bytes(24), length=length)
    refused(server, body, "Inference-Header-Content-Length", headers)


@pytest.mark.parametrize("length", ["0", "5", "1"])
def test_header_length_that_cuts_the_json(server: Running, length: str) -> None:
    body, headers = binary({"inputs": [RAW_A, RAW_B]}, bytes(24), length=length)
    refused(server, body, "", headers)


def test_binary_data_without_header_length(server: Running) -> None:
    refused(
        server,
        {"inputs": [RAW_A, RAW_B]},
        'input "a" has binary_data_size, but the request no Inference-Header',
    )


def test_booleans_are_zero_or_one_in_binary_too(echo: Running) -> None:
    header = orjson.loads(one("BOOL", "[true]"))
    item = header["inputs"][-1]
    del item["data"]
    item["parameters"] = {"binary_data_size": 1}
    body, headers = binary(header, b"\x02")
    refused(echo, body, 'input "in_BOOL": the bytes of a BOOL are 0 or 1', headers)
    body, headers = binary(header, b"\x01")
    assert echo.infer(body, headers).status == 200


@pytest.mark.parametrize(
    ("shape", "raw", "message"),
    [
        (1, b"", "too few for 1 BYTES elements"),
        (1, b"\x01\0\0", "too few for 1 BYTES elements"),
        (1, b"\x02\0\0\0a", "element 0 is said to be 2 bytes long, but 1 are left"),
        (1, b"\xff\xff\xff\xffab", "element 0 is said to be 4294967295 bytes long"),
        (1, b"\x01\0\0\0ab", "1 bytes of binary data are left over after 1 elements"),
        (2, b"\x01\0\0\0abcd", "ends before element 1 of 2"),
        (2**31, b"\0\0\0\0", "too few for 2147483648 BYTES elements"),
        (0, b"\0\0\0\0", "4 bytes of binary data are left over after 0 elements"),
    ],
)
def test_lengths_of_bytes(echo: Running, shape: int, raw: bytes, message: str) -> None:
    header = orjson.loads(one("BYTES", '["a"]'))
    item = header["inputs"][-1]
    del item["data"]
    item["shape"] = [shape]
    item["parameters"] = {"binary_data_size": len(raw)}
    body, headers = binary(header, raw)
    refused(echo, body, 'input "in_BYTES": ', headers)
    refused(echo, body, message, headers)


def test_bytes_that_are_no_text_need_binary_output(echo: Running) -> None:
    header = orjson.loads(one("BYTES", '["a"]'))
    item = header["inputs"][-1]
    del item["data"]
    item["parameters"] = {"binary_data_size": 5}
    body, headers = binary(header, b"\x01\0\0\0\xff")
    refused(
        echo,
        body,
        'output "out_BYTES": holds bytes that are not UTF-8; ask for it with "binary_data": true',
        headers,
    )
    header["parameters"] = {"binary_data_output": True}
    body, headers = binary(header, b"\x01\0\0\0\xff")
    answer = echo.infer(body, headers)
    assert answer.status == 200
    assert answer.body.endswith(b"\x01\0\0\0\xff")
