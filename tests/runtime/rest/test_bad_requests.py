"""Whatever is wrong in a request is 400, and the answer says what: `{"error": ...}` naming the tensor."""

from collections.abc import Iterator
from typing import Any

import orjson
import pytest

from tests.runtime.rest.serving import FakeEngine, Running, binary, refused, serving, tensor


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


WRONG = {
    "json": WRONG_JSON,
    "request": WRONG_REQUESTS,
    "datatype": WRONG_DATATYPES,
    "shape": WRONG_SHAPES,
    "data": WRONG_DATA,
    "outputs": WRONG_OUTPUTS,
}


@pytest.mark.parametrize(
    ("body", "message"),
    [pytest.param(*case, id=f"{part}: {name}") for part, cases in WRONG.items() for name, *case in cases],
)
def test_what_is_wrong_is_named(server: Running, body: Any, message: str) -> None:
    refused(server, body, message)


def test_the_unchanged_request_is_good(server: Running) -> None:
    assert server.infer(request()).status == 200


# ---- the binary extension ----


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
