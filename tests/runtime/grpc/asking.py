"""Requests by bare stubs, and what is said of those that fail."""

from typing import Any

import grpc
import pytest
from tritonclient.grpc.service_pb2 import InferTensorContents, ModelInferRequest

from tests.runtime.grpc.serving import Running

METHOD = "/inference.GRPCInferenceService/ModelInfer"
X = ModelInferRequest.InferInputTensor(
    name="x", datatype="FP32", shape=[1], contents=InferTensorContents(fp32_contents=[7])
)
REQUEST = ModelInferRequest(model_name="m", inputs=[X])


def infer_error(server: Running, request: ModelInferRequest = REQUEST, **call: Any) -> tuple[str, str]:
    with pytest.raises(grpc.RpcError) as caught:
        server.stub.ModelInfer(request, timeout=60, **call)
    return caught.value.code().name, caught.value.details()
