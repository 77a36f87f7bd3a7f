"""Memory stays flat, whatever is asked: calls and streams, good and bad, raw and typed, new connections and old."""

from pathlib import Path

import grpc
import numpy as np
from tritonclient.grpc.service_pb2 import InferTensorContents, ModelInferRequest, ModelStreamInferResponse

from tests.robustness.rest.memory import REQUESTS, assert_flat
from tests.runtime.rest.process import Served, serving_process

SERVICE = "/inference.GRPCInferenceService"
TENSORS = {
    "a": np.ones((2, 4), np.float32),
    "b": np.int64([1, 2]),
    "flag": np.bool_([True] * 3),
    "half": np.float16([1, 2]),
}
DATATYPES = {"a": "FP32", "b": "INT64", "flag": "BOOL", "half": "FP16"}


def make_requests(index: int) -> list[bytes]:
    """Seven good ones and three bad ones."""
    good = ModelInferRequest(model_name="m", id=str(index))
    for name, array in TENSORS.items():
        good.inputs.add(name=name, datatype=DATATYPES[name], shape=array.shape)
        good.raw_input_contents.append(array.tobytes())
    missing = ModelInferRequest(model_name="m", id=str(index), inputs=good.inputs[1:])
    contents = InferTensorContents(fp32_contents=[index] * 9)
    typed = ModelInferRequest(
        model_name="m",
        inputs=[
            ModelInferRequest.InferInputTensor(name="a", datatype="FP32", shape=[2, 4], contents=contents)
        ],
    )
    other = ModelInferRequest(model_name=f"other{index}")
    return [*[good.SerializeToString()] * 7, *[one.SerializeToString() for one in (missing, typed, other)]]


def ask(served: Served, first: int, count: int) -> None:
    for start in range(first, first + count, 1000):
        with grpc.insecure_channel(f"127.0.0.1:{served.grpc_port}") as channel:
            infer = channel.unary_unary(f"{SERVICE}/ModelInfer")
            stream = channel.stream_stream(f"{SERVICE}/ModelStreamInfer")
            for index in range(start, start + 1000, 20):
                requests = make_requests(index)
                calls = [infer.future(request) for request in requests]
                answers = map(ModelStreamInferResponse.FromString, stream(iter(requests)))
                assert sum(not answer.error_message for answer in answers) == 7
                assert sum(call.exception() is None for call in calls) == 7


def test_memory_stays_flat(tmp_path: Path) -> None:
    with serving_process(tmp_path) as served:
        assert_flat(served, lambda first, count: ask(served, first, count), REQUESTS)
