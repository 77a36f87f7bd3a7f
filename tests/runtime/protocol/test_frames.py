"""What is known of the JSON around an array: a codec that has seen much reads and writes as one that has seen nothing."""

import json
from typing import Any

import numpy as np
import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from vinoserve_runtime.protocol.errors import InvalidRequestError
from vinoserve_runtime.protocol.infer import Codec
from vinoserve_runtime.protocol.signature import Signature
from vinoserve_runtime.tensors import TensorInfo

ANY = ((0, None),)
SIGNATURE = Signature([TensorInfo("x", "FP32", (-1,), ANY)], [TensorInfo("y", "FP32", (-1,), ANY)])
TEXTS = Signature([TensorInfo("x", "BYTES", (-1,), ANY)], [TensorInfo("y", "BYTES", (-1,), ANY)])

ELEMENTS = st.one_of(
    st.integers(-3, 3),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from([True, None, "a", "]", "[1]", '"data":[1]', 1e39]),
)
DATA = st.one_of(
    st.just([1, 2]),
    st.just([1, 2]),
    st.lists(st.integers(-9, 9), min_size=2, max_size=2),
    st.lists(st.floats(-9, 9), min_size=2, max_size=2),
    st.lists(ELEMENTS, max_size=3),
    st.lists(st.lists(st.integers(0, 9), max_size=2), max_size=2),
    st.sampled_from(["[1,2]", None, {"data": [1, 2]}]),
)
INPUTS = st.fixed_dictionaries(
    {"name": st.just("x"), "datatype": st.sampled_from(["FP32", "FP32", "BYTES"]), "data": DATA},
    optional={
        "shape": st.sampled_from([[2], [2], [3], [2.0]]),
        "parameters": st.sampled_from([{"data": "[1,2]"}, {"data": [1, 2]}, {}]),
        "note": st.sampled_from(['"data":[1,2]', {"data": [1, 2]}]),
    },
)
REQUESTS = st.fixed_dictionaries(
    {"inputs": st.lists(INPUTS, min_size=1, max_size=1)},
    optional={
        "id": st.sampled_from(["a", '"data":[', '"data":[1,2]', '"data":null']),
        "outputs": st.sampled_from(
            [[], [{"name": "y"}], [{"name": "y", "parameters": {"binary_data": True}}]]
        ),
        "data": st.just([1, 2]),
    },
)


def write(request: dict[str, Any], spaced: bool, doubled: bool) -> bytes:
    text = json.dumps(request, separators=(", ", ": ") if spaced else (",", ":"))
    return (text.replace('"data"', '"data":[1,2],"data"', 1) if doubled else text).encode()


def answer(codec: Codec, body: bytes) -> Any:
    try:
        envelope, tensors = codec.decode(body, None)
    except InvalidRequestError as error:
        return str(error)
    response = codec.encode(envelope, tensors)
    assert isinstance(orjson.loads(response.header), dict)
    return (
        response.header,
        [bytes(raw) for raw in response.raw],
        [(t.dtype, t.shape, t.tolist()) for t in tensors],
    )


@given(
    bodies=st.lists(st.builds(write, REQUESTS, st.booleans(), st.booleans()), min_size=1, max_size=4),
    data=DATA,
    signature=st.sampled_from([SIGNATURE, TEXTS]),
)
@settings(max_examples=500, deadline=None)
def test_what_was_read_before_changes_nothing(
    bodies: list[bytes], data: object, signature: Signature
) -> None:
    experienced = Codec("m", "1", signature)
    bodies += [body.replace(b"[1,2]", json.dumps(data).encode()) for body in bodies]
    for body in bodies * 3:
        assert answer(experienced, body) == answer(Codec("m", "1", signature), body)


def test_only_the_array_is_read_of_what_is_known() -> None:
    codec = Codec("m", "1", SIGNATURE)
    for number in range(4):
        body = orjson.dumps(
            {"inputs": [{"name": "x", "datatype": "FP32", "shape": [2], "data": [number, 0.5]}]}
        )
        envelope, (x,) = codec.decode(body, None)
        np.testing.assert_array_equal(x, np.array([number, 0.5], np.float32))
        said = orjson.loads(codec.encode(envelope, [x]).header)
        assert said["outputs"] == [{"name": "y", "datatype": "FP32", "shape": [2], "data": [number, 0.5]}]
    assert len(codec._frames.known) == 1


def test_ids_that_differ_are_not_kept() -> None:
    codec = Codec("m", "1", SIGNATURE)
    for number in range(300):
        body = orjson.dumps(
            {
                "id": str(number),
                "inputs": [{"name": "x", "datatype": "FP32", "shape": [1], "data": [number]}],
            }
        )
        envelope, tensors = codec.decode(body, None)
        assert orjson.loads(codec.encode(envelope, tensors).header)["id"] == str(number)
    assert not codec._frames.known
