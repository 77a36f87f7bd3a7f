"""Raw tensors are found in a message where protobuf finds them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tritonclient.grpc.service_pb2 import InferTensorContents, ModelInferRequest

from tests.runtime.grpc.serving import serving
from tests.runtime.rest.serving import FakeEngine, tensor
from vinoserve_runtime.grpc import wire
from vinoserve_runtime.grpc.wire import MAX_FIELDS, split_raw

REQUESTS = st.builds(
    ModelInferRequest,
    model_name=st.text(max_size=5),
    id=st.text(max_size=200),
    inputs=st.lists(
        st.builds(
            ModelInferRequest.InferInputTensor,
            name=st.text(max_size=3),
            shape=st.lists(st.integers(-(2**63), 2**63 - 1), max_size=3),
            contents=st.builds(InferTensorContents, int_contents=st.lists(st.integers(-5, 300), max_size=3)),
        ),
        max_size=3,
    ),
    raw_input_contents=st.lists(st.binary(max_size=300), max_size=4),
)


@pytest.fixture(autouse=True)
def everything_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "LARGE_BYTES", 0)


@given(REQUESTS, st.sampled_from([b"", b"\x45\0\0\0\0", b"\x41" + bytes(8), b"\x40\xff\xff\x01"]))
def test_whole_messages(request: ModelInferRequest, unknown: bytes) -> None:
    """Fields that the protocol doesn't know are the rest's."""
    message = request.SerializeToString() + unknown
    rest, raws = split_raw(message)
    assert raws == list(request.raw_input_contents)
    request.MergeFromString(unknown)
    request.ClearField("raw_input_contents")
    assert ModelInferRequest.FromString(rest) == request


@given(REQUESTS, st.integers(0, 400), st.binary(max_size=4))
def test_damaged_messages(request: ModelInferRequest, place: int, junk: bytes) -> None:
    """Nothing is lost or made up: put together again it is as good, or as bad, as before."""
    message = bytearray(request.SerializeToString())
    message[place : place + 2] = junk
    rest, raws = split_raw(bytes(message))
    assert len(rest) + sum(map(len, raws)) <= len(message)
    assert raws or rest == message


def test_more_fields_than_sense_are_left_to_protobuf() -> None:
    for count, walked in ((MAX_FIELDS, True), (MAX_FIELDS + 1, False)):
        message = ModelInferRequest(raw_input_contents=[b"x"] * count).SerializeToString()
        rest, raws = split_raw(message)
        assert (len(rest), len(raws)) == ((0, count) if walked else (len(message), 0))


@pytest.mark.parametrize("shift", range(4))
def test_large_tensors_arrive_wherever_they_begin(shift: int) -> None:
    values = np.random.default_rng(shift).random(50_000, np.float32)
    engine = FakeEngine([tensor("x", "FP32", -1)], [tensor("y", "FP32", -1)], list)
    request = ModelInferRequest(model_name="m", id="i" * shift, raw_input_contents=[values.tobytes()])
    request.inputs.add(name="x", datatype="FP32", shape=values.shape)
    with serving(engine) as server:
        assert server.stub.ModelInfer(request).raw_output_contents[0] == values.tobytes()
