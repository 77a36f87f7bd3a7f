"""Tensors over gRPC: each datatype there and back, in both ways of sending it, and what is wrong with a request."""

import contextlib
from collections.abc import Iterator
from typing import Any

import grpc
import ml_dtypes
import numpy as np
import pytest
from tritonclient.grpc import InferInput, InferRequestedOutput, service_pb2
from tritonclient.grpc.service_pb2 import InferTensorContents, ModelInferRequest

from tests.runtime.grpc.serving import Running, serving
from tests.runtime.rest.serving import FakeEngine, make_echo, tensor
from vinoserve_runtime.grpc import open_inference_grpc_pb2
from vinoserve_runtime.grpc.codec import CONTENTS
from vinoserve_runtime.tensors import NUMPY_DTYPES

Input = ModelInferRequest.InferInputTensor
Output = ModelInferRequest.InferRequestedOutputTensor

CLIENT_DTYPES = {**NUMPY_DTYPES, "BF16": np.dtype(ml_dtypes.bfloat16)}
VALUES: dict[str, list[Any]] = {
    "BOOL": [True, False],
    "BF16": [1.5, -2],
    "FP16": [0.5, -65504],
    "FP32": [0.1, float("-inf")],
    "FP64": [0.1, float("nan")],
    "BYTES": [b"", b"\x00\xff long enough"],
}


def values(datatype: str) -> Any:
    """Two of each; of integers the smallest and the largest."""
    dtype = CLIENT_DTYPES[datatype]
    found = VALUES.get(datatype) or [np.iinfo(dtype).min, np.iinfo(dtype).max]
    return np.array(found, dtype)


@pytest.fixture(scope="module", params=sorted(NUMPY_DTYPES))
def datatype(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def one() -> Iterator[dict[str, Running]]:
    """A server for each datatype, started when it is asked for: `y` = `x` of any length."""
    with contextlib.ExitStack() as stack:

        class Servers(dict[str, Running]):
            def __missing__(self, key: str) -> Running:
                engine = FakeEngine([tensor("x", key, -1)], [tensor("y", key, -1)], list)
                self[key] = stack.enter_context(serving(engine))
                return self[key]

        yield Servers()


@pytest.fixture(scope="module")
def echo() -> Iterator[Running]:
    with serving(make_echo()) as running:
        yield running


@pytest.fixture(scope="module")
def pair() -> Iterator[Running]:
    """`sum` = `a` + `b`, FP32 and UINT8 of [2]; `a` and `b` come back too."""
    engine = FakeEngine(
        [tensor("a", "FP32", 2), tensor("b", "UINT8", 2)],
        [tensor("sum", "FP32", 2), tensor("a", "FP32", 2), tensor("b", "UINT8", 2)],
        lambda given: [given[0] + given[1], *given],
    )
    with serving(engine) as running:
        yield running


def request_for(*inputs: Any, raw: Any = (), **fields: Any) -> ModelInferRequest:
    return ModelInferRequest(model_name="m", inputs=inputs, raw_input_contents=raw, **fields)


A = Input(name="a", datatype="FP32", shape=[2], contents=InferTensorContents(fp32_contents=[1, 2]))
B = Input(name="b", datatype="UINT8", shape=[2], contents=InferTensorContents(uint_contents=[3, 255]))
BARE_A = Input(name="a", datatype="FP32", shape=[2])
BARE_B = Input(name="b", datatype="UINT8", shape=[2])


def test_the_messages_are_those_of_tritons_client() -> None:
    """But for what Triton adds to the protocol."""
    theirs = service_pb2.DESCRIPTOR.message_types_by_name
    for name, ours in open_inference_grpc_pb2.DESCRIPTOR.message_types_by_name.items():
        assert same(ours, theirs[name]), name
    service = open_inference_grpc_pb2.DESCRIPTOR.services_by_name["GRPCInferenceService"]
    known = service_pb2._GRPCINFERENCESERVICE.methods_by_name
    for method in service.methods:
        assert method.input_type.full_name == known[method.name].input_type.full_name
        assert method.output_type.full_name == known[method.name].output_type.full_name


def same(ours: Any, theirs: Any) -> bool:
    def facts(message: Any) -> Any:
        return [
            (f.name, f.number, f.type, f.is_repeated, f.message_type and f.message_type.full_name)
            for f in message.fields
        ]

    nested = theirs.nested_types_by_name
    return facts(ours) == facts(theirs) and all(same(n, nested[n.name]) for n in ours.nested_types)


def test_every_datatype_raw(echo: Running) -> None:
    inputs = []
    for datatype in NUMPY_DTYPES:
        given = InferInput(f"in_{datatype}", [2], datatype)
        given.set_data_from_numpy(values(datatype))
        inputs.append(given)
    result = echo.triton.infer("m", inputs, request_id="seven")
    assert result.get_response().id == "seven"
    assert (result.get_response().model_name, result.get_response().model_version) == ("m", "1")
    for datatype in NUMPY_DTYPES:
        answer = result.as_numpy(f"out_{datatype}")
        np.testing.assert_array_equal(answer, values(datatype))
        assert answer.dtype == values(datatype).dtype
    assert {output.datatype for output in result.get_response().outputs} == set(NUMPY_DTYPES)


def test_every_datatype_typed(one: dict[str, Running], datatype: str) -> None:
    server = one[datatype]
    given = Input(name="x", datatype=datatype, shape=[2])
    if datatype in {"FP16", "BF16"}:
        with pytest.raises(grpc.RpcError) as caught:
            server.stub.ModelInfer(request_for(given))
        assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
        assert f'input "x": {datatype} can only be sent in raw_input_contents' in caught.value.details()
        return
    field, _ = CONTENTS[datatype]
    getattr(given.contents, field).extend(values(datatype).tolist())
    response = server.stub.ModelInfer(request_for(given))
    assert (response.outputs[0].datatype, response.outputs[0].shape) == (datatype, [2])
    (raw,) = response.raw_output_contents
    if datatype == "BYTES":
        assert raw == b"".join(len(value).to_bytes(4, "little") + value for value in values(datatype))
    else:
        np.testing.assert_array_equal(np.frombuffer(raw, NUMPY_DTYPES[datatype]), values(datatype))


def test_nothing_in_it(one: dict[str, Running]) -> None:
    for raw in ((), (b"",)):
        response = one["INT64"].stub.ModelInfer(
            request_for(Input(name="x", datatype="INT64", shape=[0]), raw=raw)
        )
        assert (response.outputs[0].shape, response.raw_output_contents) == ([0], [b""])


def test_inputs_in_any_order_and_only_the_outputs_asked_for(pair: Running) -> None:
    response = pair.stub.ModelInfer(request_for(B, A, outputs=[Output(name="b"), Output(name="sum")]))
    assert [output.name for output in response.outputs] == ["b", "sum"]
    assert np.frombuffer(response.raw_output_contents[1], np.float32).tolist() == [4, 257]
    response = pair.stub.ModelInfer(
        request_for(BARE_B, BARE_A, raw=[bytes([3, 255]), np.float32([1, 2]).tobytes()], id="x")
    )
    assert [output.name for output in response.outputs] == ["sum", "a", "b"]
    assert np.frombuffer(response.raw_output_contents[0], np.float32).tolist() == [4, 257]
    assert response.id == "x"


def test_tritons_client_asks_for_outputs(pair: Running) -> None:
    a = InferInput("a", [2], "FP32").set_data_from_numpy(np.float32([1, 2]))
    b = InferInput("b", [2], "UINT8").set_data_from_numpy(np.uint8([3, 4]))
    result = pair.triton.infer(
        "m", [a, b], "1", outputs=[InferRequestedOutput("b")], compression_algorithm="gzip"
    )
    assert result.as_numpy("b").tolist() == [3, 4]
    assert result.as_numpy("sum") is None


def changed(message: Any, **fields: Any) -> Any:
    copy = type(message)()
    copy.CopyFrom(message)
    for name in fields:
        copy.ClearField(name)
    copy.MergeFrom(type(message)(**fields))
    return copy


WRONG: dict[str, tuple[ModelInferRequest, str]] = {
    "missing": (request_for(A), 'input "b" is missing'),
    "twice": (request_for(A, B, A), 'input "a" is given twice'),
    "unknown": (request_for(A, B, changed(A, name="c")), 'input "c": the model has no such input'),
    "datatype": (request_for(changed(A, datatype="FP64"), B), 'input "a": datatype is "FP64", but'),
    "rank": (request_for(changed(A, shape=[1, 2]), B), 'input "a": shape [1, 2] has rank 2'),
    "size": (request_for(changed(A, shape=[3]), B), 'input "a": shape [3] doesn\'t fit'),
    "negative": (request_for(changed(A, shape=[-1]), B), 'input "a": shape [-1] must be'),
    "too few": (
        request_for(changed(A, contents=InferTensorContents(fp32_contents=[1])), B),
        'input "a": fp32_contents has 1 elements, but shape [2] takes 2',
    ),
    "none": (request_for(BARE_A, B), 'input "a": fp32_contents has 0 elements'),
    "other field": (
        request_for(changed(A, contents=InferTensorContents(fp64_contents=[1, 2])), B),
        'input "a": FP32 is sent in fp32_contents, not in fp64_contents',
    ),
    "two fields": (
        request_for(changed(A, contents=InferTensorContents(fp32_contents=[1, 2], int_contents=[1])), B),
        'input "a": FP32 is sent in fp32_contents, not in int_contents',
    ),
    "out of range": (
        request_for(A, changed(B, contents=InferTensorContents(uint_contents=[3, 256]))),
        'input "b": uint_contents[1] is 256, but that is out of range for UINT8 (0 to 255)',
    ),
    "raw and typed": (request_for(A, BARE_B, raw=[bytes(8), bytes(2)]), 'input "a" has contents beside raw'),
    "too few raw": (
        request_for(BARE_A, BARE_B, raw=[bytes(8)]),
        "raw_input_contents has 1 tensors, but inputs has 2",
    ),
    "too many raw": (request_for(BARE_A, BARE_B, raw=[bytes(8)] * 3), "raw_input_contents has 3 tensors"),
    "raw length": (
        request_for(BARE_A, BARE_B, raw=[bytes(7), bytes(2)]),
        'input "a": 7 bytes of binary data, but FP32 of shape [2] takes 8',
    ),
    "output": (request_for(A, B, outputs=[Output(name="z")]), 'output "z": the model has no such output'),
    "output twice": (
        request_for(A, B, outputs=[Output(name="a"), Output(name="a")]),
        'output "a" is asked for twice',
    ),
    "shared memory": (
        request_for(
            changed(BARE_A, parameters={"shared_memory_region": {"string_param": "r"}}),
            BARE_B,
            raw=[bytes(8), bytes(2)],
        ),
        'input "a": parameter "shared_memory_region": shared memory is not offered',
    ),
    "classification": (
        request_for(A, B, outputs=[Output(name="a", parameters={"classification": {"int64_param": 3}})]),
        'output "a": parameter "classification": classification is not offered',
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_said(pair: Running, name: str) -> None:
    request, message = WRONG[name]
    with pytest.raises(grpc.RpcError) as caught:
        pair.stub.ModelInfer(request)
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert message in caught.value.details()


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"\x01\0\0\0a", "too few for 2 BYTES elements"),
        (b"\x05\0\0\0aaaa", "element 0 is said to be 5 bytes long, but 4 are left"),
        (b"\0\0\0\0\0\0\0\0x", "1 bytes of binary data are left over after 2 elements"),
    ],
)
def test_lengths_of_raw_strings(one: dict[str, Running], raw: bytes, message: str) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        one["BYTES"].stub.ModelInfer(request_for(Input(name="x", datatype="BYTES", shape=[2]), raw=[raw]))
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert 'input "x": ' in caught.value.details()
    assert message in caught.value.details()


def test_a_raw_bool_is_0_or_1(one: dict[str, Running]) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        one["BOOL"].stub.ModelInfer(request_for(Input(name="x", datatype="BOOL", shape=[1]), raw=[b"\x02"]))
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert 'input "x": the bytes of a BOOL are 0 or 1' in caught.value.details()
