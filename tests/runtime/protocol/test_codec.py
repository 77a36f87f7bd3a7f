"""Tensors to the wire and back: what a client sends is what the model gets, whichever way it is sent."""

from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from vinoserve_runtime.protocol.errors import InvalidRequestError
from vinoserve_runtime.protocol.infer import Codec
from vinoserve_runtime.protocol.json_data import array_from_json, bfloat16_bits
from vinoserve_runtime.protocol.raw import array_from_raw, raw_from_array
from vinoserve_runtime.protocol.signature import Signature
from vinoserve_runtime.tensors import NUMPY_DTYPES, Array, TensorInfo

SHAPES = hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4)
FLOATS = {"FP16", "FP32", "FP64"}


def any_shape(name: str, datatype: str, rank: int) -> TensorInfo:
    return TensorInfo(name, datatype, (-1,) * rank, ((0, None),) * rank)


@st.composite
def tensors(draw: st.DrawFn, *, finite: bool) -> tuple[str, Array]:
    datatype = draw(st.sampled_from(sorted(NUMPY_DTYPES)))
    if datatype == "BYTES":
        elements: Any = st.text().map(str.encode) if finite else st.binary()
        shape = draw(SHAPES)
        values = np.empty(shape, np.object_)
        flat = draw(st.lists(elements, min_size=values.size, max_size=values.size))
        values.reshape(-1)[:] = np.fromiter(flat, np.object_, values.size)
        return datatype, values
    if datatype == "BF16":
        values = draw(hnp.arrays(np.uint16, SHAPES))
        if finite:
            values[(values & 0x7F80) == 0x7F80] = 0x3F80
        return datatype, values
    dtype = NUMPY_DTYPES[datatype]
    options = {"allow_nan": not finite, "allow_infinity": not finite} if datatype in FLOATS else {}
    return datatype, draw(hnp.arrays(dtype, SHAPES, elements=hnp.from_dtype(dtype, **options)))


def same(datatype: str, left: Array, right: Array) -> bool:
    return (
        left.dtype == right.dtype
        and left.shape == right.shape
        and raw_from_array(datatype, left).tobytes() == raw_from_array(datatype, right).tobytes()
    )


def as_json(datatype: str, values: Array) -> Any:
    """As a client would: nested lists of plain numbers and strings."""
    if datatype == "BYTES":
        return (
            np.vectorize(bytes.decode, otypes=[object])(values).tolist() if values.size else values.tolist()
        )
    if datatype == "BF16":
        return (values.astype(np.uint32) << 16).view(np.float32).astype(float).tolist()
    return values.tolist()


@given(tensors(finite=False), st.integers(0, 7))
def test_raw_round_trip(tensor: tuple[str, Array], offset: int) -> None:
    datatype, values = tensor
    raw = raw_from_array(datatype, values).tobytes()
    buffer = memoryview(b"." * offset + raw)[offset:]
    back = array_from_raw("input", datatype, values.shape, buffer)
    assert same(datatype, back, values)
    assert back.flags.aligned
    assert back.flags.c_contiguous


@given(tensors(finite=True), st.booleans())
def test_json_round_trip(tensor: tuple[str, Array], flat: bool) -> None:
    datatype, values = tensor
    data = as_json(datatype, values.reshape(-1) if flat or values.ndim == 0 else values)
    if values.size == 0:
        data = []
    body = orjson.loads(orjson.dumps(data))
    back = array_from_json("input", datatype, values.shape, body, may_hold_booleans=True)
    assert (
        back.dtype.num == NUMPY_DTYPES[datatype].num
    )  # the very type: OpenVINO knows int64, but no long long
    assert back.flags.c_contiguous
    if datatype in {"BF16", "FP16", "FP32", "FP64"}:
        np.testing.assert_array_equal(back, values)
    else:
        assert same(datatype, back, values)


@given(st.lists(tensors(finite=True), min_size=1, max_size=4), st.data())
def test_request_and_response_carry_the_same_tensors(
    given_tensors: list[tuple[str, Array]], data: st.DataObject
) -> None:
    infos = [
        any_shape(f"t{index}", datatype, values.ndim)
        for index, (datatype, values) in enumerate(given_tensors)
    ]
    codec = Codec("m", "1", Signature(infos, infos))
    order = data.draw(st.permutations(range(len(infos))))
    inputs: list[dict[str, Any]] = []
    raw = b""
    for index in order:
        datatype, values = given_tensors[index]
        item: dict[str, Any] = {"name": f"t{index}", "datatype": datatype, "shape": values.shape}
        if data.draw(st.booleans()):
            content = raw_from_array(datatype, values).tobytes()
            item["parameters"] = {"binary_data_size": len(content)}
            raw += content
        else:
            item["data"] = as_json(datatype, values.reshape(-1))
        inputs.append(item)
    outputs = [
        {"name": f"t{index}", "parameters": {"binary_data": data.draw(st.booleans())}} for index in order
    ]
    header = orjson.dumps({"inputs": inputs, "outputs": outputs})

    for _ in range(2):  # the second time it may come from what the codec remembers
        envelope, arrays = codec.decode(header + raw, len(header))
        for (datatype, values), array in zip(given_tensors, arrays, strict=True):
            if datatype in FLOATS:
                np.testing.assert_array_equal(array, values)
            else:
                assert same(datatype, array, values)
        response = codec.encode(envelope, arrays)
        answer = orjson.loads(response.header)
        contents = iter(response.raw)
        for index, output in zip(order, answer["outputs"], strict=True):
            datatype, values = given_tensors[index]
            assert (output["name"], output["datatype"], tuple(output["shape"])) == (
                f"t{index}",
                datatype,
                values.shape,
            )
            if "data" in output:
                back = array_from_json(
                    "output", datatype, values.shape, output["data"], may_hold_booleans=True
                )
                np.testing.assert_array_equal(back, values)
            else:
                content = next(contents)
                assert output["parameters"] == {"binary_data_size": len(content)}
                back = array_from_raw("output", datatype, values.shape, content)
                np.testing.assert_array_equal(back, values)


@given(
    hnp.arrays(
        np.float32, st.integers(1, 50), elements=st.floats(width=32, allow_nan=False, allow_infinity=False)
    )
)
def test_bfloat16_is_rounded_to_the_nearest(values: Array) -> None:
    ml_dtypes = pytest.importorskip("ml_dtypes")
    with np.errstate(over="ignore"):
        expected = values.astype(ml_dtypes.bfloat16).view(np.uint16)
    np.testing.assert_array_equal(bfloat16_bits(values), expected)


def test_raw_tensors_are_views_of_the_body() -> None:
    codec = Codec("m", "1", Signature([any_shape("x", "FP32", 1)], [any_shape("x", "FP32", 1)]))
    header = b'{"inputs":[{"name":"x","shape":[4],"datatype":"FP32","parameters":{"binary_data_size":16}}]}'
    header += b" " * (-len(header) % 4)
    body = np.frombuffer(header + np.arange(4, dtype=np.float32).tobytes(), np.uint8).copy()
    _, (array,) = codec.decode(body.data, len(header))
    assert np.shares_memory(array, body)


def test_what_is_remembered_of_a_header_does_not_hide_a_wrong_body() -> None:
    codec = Codec("m", "1", Signature([any_shape("x", "INT8", 1)], [any_shape("x", "INT8", 1)]))
    header = b'{"inputs":[{"name":"x","shape":[2],"datatype":"INT8","parameters":{"binary_data_size":2}}]}'
    _, (first,) = codec.decode(header + b"\x01\x02", len(header))
    assert first.tolist() == [1, 2]
    with pytest.raises(InvalidRequestError, match="1 bytes of the body are left over"):
        codec.decode(header + b"\x01\x02\x03", len(header))
    with pytest.raises(InvalidRequestError, match='input "x": binary_data_size is 2, but only 1'):
        codec.decode(header + b"\x01", len(header))
    _, (second,) = codec.decode(header + b"\x03\x04", len(header))
    assert second.tolist() == [3, 4]


def test_answers_differ_where_the_results_do() -> None:
    infos = [any_shape("x", "BYTES", 1)]
    codec = Codec("m", "1", Signature(infos, infos))
    header = (
        b'{"inputs":[{"name":"x","shape":[1],"datatype":"BYTES","parameters":{"binary_data_size":5}}],'
        b'"parameters":{"binary_data_output":true}}'
    )
    envelope, arrays = codec.decode(header + b"\x01\0\0\0a", len(header))
    longer = np.array([b"abc"], np.object_)
    for result, size in ((arrays[0], 5), (longer, 7)):
        output = orjson.loads(codec.encode(envelope, [result]).header)["outputs"][0]
        assert output["parameters"] == {"binary_data_size": size}


def test_non_finite_results_are_null_in_json() -> None:
    infos = [any_shape("x", "FP32", 1)]
    codec = Codec("m", "1", Signature(infos, infos))
    envelope, _ = codec.decode(b'{"inputs":[{"name":"x","shape":[0],"datatype":"FP32","data":[]}]}', None)
    values = np.array([np.nan, np.inf, -np.inf, 0.1], np.float32)
    assert orjson.loads(codec.encode(envelope, [values]).header)["outputs"][0]["data"] == [
        None,
        None,
        None,
        0.1,
    ]


@given(st.binary(max_size=300), st.one_of(st.none(), st.integers(0, 400)))
def test_garbage_is_refused(body: bytes, header_length: int | None) -> None:
    codec = Codec("m", "1", Signature([any_shape("x", "FP32", 1)], []))
    with pytest.raises(InvalidRequestError):
        codec.decode(body, header_length)
