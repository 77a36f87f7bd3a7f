"""Each datatype takes the elements that it holds, and nothing else."""

import numpy as np
import orjson
import pytest

from tests.runtime.rest.serving import Running, binary, refused
from vinoserve_runtime.tensors import NUMPY_DTYPES

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
