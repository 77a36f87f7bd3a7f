"""ONNX's node tests, served: what OpenVINO computes right arrives right, in JSON, in binary and over gRPC."""

import os
from functools import partial
from typing import Any

import numpy as np
import orjson
from tritonclient.grpc.service_pb2 import ModelInferRequest

from tests.runtime.configs import make_config
from tests.runtime.engine.compiling import compile_config, make_pool
from tests.runtime.grpc import serving as grpc_serving
from tests.runtime.rest.onnx_nodes import NodeTest, is_close, list_nodes, read_node
from tests.runtime.rest.serving import Running, serving
from vinoserve_api.contract import RuntimeLimits
from vinoserve_runtime.engine.compile import CompiledModel
from vinoserve_runtime.engine.ports import DATATYPES
from vinoserve_runtime.ov import ov
from vinoserve_runtime.protocol.json_data import json_from_array
from vinoserve_runtime.protocol.raw import array_from_raw, raw_from_array
from vinoserve_runtime.tensors import NUMPY_DTYPES, Array, TensorInfo

SAMPLE = 150
LIMITS = RuntimeLimits(
    max_request_bytes=64 << 20, max_queued_requests=4, request_timeout_seconds=60, max_image_pixels=64_000_000
)
CONFIG = make_config("file:model.onnx", hints={"inferencePrecision": "f32"})


def sampled() -> list[str]:
    names = list_nodes()
    return names if os.environ.get("VINOSERVE_SOAK") else names[:: len(names) // SAMPLE]


def compute_directly(node: NodeTest) -> list[Array] | None:
    """By OpenVINO alone; None where it can't, or where what it says is wrong."""
    core = ov.Core()
    try:
        compiled = core.compile_model(
            core.read_model(str(node.model)), "CPU", {"INFERENCE_PRECISION_HINT": "f32"}
        )
        if any(port.get_element_type().get_type_name() not in DATATYPES for port in compiled.outputs):
            return None  # 8-bit floats: the protocol has no datatype for them
        request = compiled.create_infer_request()
        for index, values in enumerate(node.inputs):
            content = (
                values
                if values.dtype != object
                else np.array(values.tolist(), np.bytes_).reshape(values.shape)
            )
            request.set_input_tensor(index, ov.Tensor(np.ascontiguousarray(content), shared_memory=False))
        request.infer({}, False, False)  # as the package's own `infer` calls it
        results = [_read(request.get_output_tensor(index)) for index in range(len(compiled.outputs))]
    except RuntimeError:
        return None
    right = len(results) == len(node.expected) and all(map(is_close, results, node.expected))
    return results if right else None


def _read(tensor: Any) -> Array:
    return (
        tensor.bytes_data.astype(object)
        if tensor.get_element_type() == ov.Type.string
        else tensor.data.copy()
    )


def compile_here(node: NodeTest) -> CompiledModel:
    return compile_config(node.model, CONFIG)


def ask(server: Running, model: CompiledModel, node: NodeTest, *, binary: bool) -> list[Array]:
    inputs: list[dict[str, Any]] = []
    raw = b""
    for info, values in zip(model.inputs, node.inputs, strict=True):
        item: dict[str, Any] = {"name": info.name, "datatype": info.datatype, "shape": values.shape}
        # Non-finite numbers can't be written in JSON.
        if binary or (values.dtype.kind == "f" and not np.isfinite(values).all()):
            content = raw_from_array(info.datatype, values).tobytes()
            item["parameters"] = {"binary_data_size": len(content)}
            raw += content
        else:
            item["data"] = json_from_array("input", info.datatype, values)
        inputs.append(item)
    header = orjson.dumps(
        {"inputs": inputs, "parameters": {"binary_data_output": binary}}, option=orjson.OPT_SERIALIZE_NUMPY
    )
    answer = server.infer(header + raw, {"Inference-Header-Content-Length": str(len(header))})
    assert answer.status == 200, answer.body[:500]
    split = int(answer.headers.get("inference-header-content-length", len(answer.body)))
    content = memoryview(answer.body)[split:]
    results: list[Array] = []
    for info, output in zip(model.outputs, orjson.loads(answer.body[:split])["outputs"], strict=True):
        assert (output["name"], output["datatype"]) == (info.name, info.datatype)
        if binary:
            size = output["parameters"]["binary_data_size"]
            results.append(array_from_raw("output", info.datatype, tuple(output["shape"]), content[:size]))
            content = content[size:]
        else:
            results.append(read_json(info, output))
    assert not content
    return results


def call(server: grpc_serving.Running, model: CompiledModel, node: NodeTest) -> list[Array]:
    request = ModelInferRequest(model_name="m")
    for info, values in zip(model.inputs, node.inputs, strict=True):
        request.inputs.add(name=info.name, datatype=info.datatype, shape=values.shape)
        request.raw_input_contents.append(raw_from_array(info.datatype, values).tobytes())
    response = server.stub.ModelInfer(request, timeout=60)
    assert [output.name for output in response.outputs] == [info.name for info in model.outputs]
    return [
        array_from_raw("output", output.datatype, tuple(output.shape), memoryview(raw))
        for output, raw in zip(response.outputs, response.raw_output_contents, strict=True)
    ]


def read_json(info: TensorInfo, output: dict[str, Any]) -> Array:
    if info.datatype == "BYTES":
        data = np.empty(len(output["data"]), object)
        data[:] = [text.encode() for text in output["data"]]
        return data.reshape(output["shape"])
    dtype = np.dtype(np.float32) if info.datatype == "BF16" else NUMPY_DTYPES[info.datatype]
    return np.array(output["data"], dtype).reshape(output["shape"])


def same(actual: Array, expected: Array, *, binary: bool) -> bool:
    if binary or expected.dtype.kind != "f":
        return np.array_equal(actual, expected, equal_nan=expected.dtype.kind == "f")
    return np.array_equal(actual, np.where(np.isfinite(expected), expected, np.nan), equal_nan=True)


async def attach(server: Running | grpc_serving.Running, model: CompiledModel) -> None:
    server.dataplane.attach(make_pool(model))


def test_what_openvino_computes_right_arrives_right() -> None:
    names = sampled()
    wrong: list[str] = []
    compared = 0
    with serving(None, LIMITS) as server, grpc_serving.serving(None, LIMITS) as grpc_server:
        ways = {
            "binary": partial(ask, server, binary=True),
            "JSON": partial(ask, server, binary=False),
            "gRPC": partial(call, grpc_server),
        }
        for name in names:
            node = read_node(name)
            expected = compute_directly(node) if node is not None else None
            if node is None or expected is None:
                continue
            try:
                model = compile_here(node)
                for one in (server, grpc_server):
                    one.call(partial(attach, one, model))
                for way, infer in ways.items():
                    results = infer(model, node)
                    if not all(
                        same(result, value, binary=way != "JSON")
                        for result, value in zip(results, expected, strict=True)
                    ):
                        wrong.append(f"{name}, {way}: {results} instead of {expected}"[:500])
            except Exception as error:  # noqa: BLE001 - each is listed
                wrong.append(f"{name}: {type(error).__name__}: {error}"[:500])
            compared += 1
    assert not wrong, f"{len(wrong)} of {compared}:\n" + "\n".join(wrong)
    assert compared > len(names) // 2


def test_the_servers_own_view_of_a_node_is_metadata() -> None:
    node = read_node("test_add")
    assert node is not None
    model = compile_here(node)
    with serving(None, LIMITS) as server:
        server.call(lambda: attach(server, model))
        metadata = server.get("/v2/models/m").json
    assert metadata["inputs"] == [
        {"name": name, "datatype": "FP32", "shape": [3, 4, 5]} for name in ("x", "y")
    ]
    assert metadata["outputs"] == [{"name": "sum", "datatype": "FP32", "shape": [3, 4, 5]}]
