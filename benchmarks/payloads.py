"""Requests of the Open Inference Protocol as bytes, and answers as tensors, by the protocol's own clients."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from tritonclient.grpc import service_pb2
from tritonclient.http import InferenceServerClient, InferInput, InferRequestedOutput
from tritonclient.utils import triton_to_np_dtype

from benchmarks.models import Model

Protocol = Literal["REST binary", "REST JSON", "gRPC"]
MODEL_NAME = "m"
REST_TARGET = f"/v2/models/{MODEL_NAME}/infer"
GRPC_TARGET = "/inference.GRPCInferenceService/ModelInfer"


@dataclass(frozen=True)
class Payload:
    """What a client sends: for REST to REST_TARGET, for gRPC to GRPC_TARGET with the frame of its message before it."""

    protocol: Protocol
    headers: Mapping[str, str]
    body: bytes

    @property
    def target(self) -> str:
        return GRPC_TARGET if self.protocol == "gRPC" else REST_TARGET


def make_payload(model: Model, protocol: Protocol) -> Payload:
    if protocol == "gRPC":
        headers = {"content-type": "application/grpc", "te": "trailers"}
        return Payload(protocol, headers, make_frame(make_message(model)))
    body, json_size = make_rest_body(model, binary=protocol == "REST binary")
    headers = {"Content-Type": "application/json"}
    if json_size is not None:
        headers = {
            "Content-Type": "application/octet-stream",
            "Inference-Header-Content-Length": str(json_size),
        }
    return Payload(protocol, headers, body)


def make_rest_body(model: Model, *, binary: bool) -> tuple[bytes, int | None]:
    """The body as Triton's client makes it, and where its JSON ends if tensors follow."""
    inputs = []
    for tensor in model.inputs:
        given = InferInput(tensor.name, list(tensor.shape), tensor.datatype)
        inputs.append(given.set_data_from_numpy(model.given[tensor.name], binary_data=binary))
    outputs = [InferRequestedOutput(tensor.name, binary_data=binary) for tensor in model.outputs]
    body, size = InferenceServerClient.generate_request_body(inputs, outputs=outputs)
    return bytes(body), size


def make_message(model: Model) -> bytes:
    """A serialized ModelInferRequest with raw contents."""
    request = service_pb2.ModelInferRequest(model_name=MODEL_NAME)
    for tensor in model.inputs:
        request.inputs.add(name=tensor.name, datatype=tensor.datatype, shape=tensor.shape)
        request.raw_input_contents.append(model.given[tensor.name].tobytes())
    message: bytes = request.SerializeToString()
    return message


def make_frame(message: bytes) -> bytes:
    """A message as gRPC puts it into an HTTP/2 body: not compressed, its length, itself."""
    return b"\0" + len(message).to_bytes(4, "big") + message


def read_rest(body: bytes, header_length: str | None) -> dict[str, np.ndarray]:
    if header_length is not None:
        result = InferenceServerClient.parse_response_body(body, header_length=int(header_length))
        return {
            output["name"]: result.as_numpy(output["name"]) for output in result.get_response()["outputs"]
        }
    return {
        output["name"]: np.array(output["data"], triton_to_np_dtype(output["datatype"])).reshape(
            output["shape"]
        )
        for output in json.loads(body)["outputs"]
    }


def read_message(message: bytes) -> dict[str, np.ndarray]:
    """The outputs of a serialized ModelInferResponse, raw or typed."""
    answer = service_pb2.ModelInferResponse.FromString(message)
    found = {}
    for i, output in enumerate(answer.outputs):
        dtype = triton_to_np_dtype(output.datatype)
        if answer.raw_output_contents:
            values = np.frombuffer(answer.raw_output_contents[i], dtype)
        else:
            field = next(values for _, values in output.contents.ListFields())
            values = np.array(field, dtype)
        found[output.name] = values.reshape(tuple(output.shape))
    return found


def find_difference(found: Mapping[str, np.ndarray], expected: Mapping[str, np.ndarray]) -> str | None:
    """What is wrong with an answer, in one line; None where nothing is."""
    if found.keys() != expected.keys():
        return f"outputs {sorted(found)}, not {sorted(expected)}"
    for name, right in expected.items():
        got = found[name]
        if got.shape != right.shape:
            return f"{name} has the shape {got.shape}, not {right.shape}"
        if not np.allclose(got, right, rtol=0.02, atol=0.02 * float(np.abs(right).max(initial=1e-6))):
            return f"{name} is wrong"
    return None
