"""An inference request and its response as REST carries them: JSON, with tensors in it or as raw bytes after it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson

from vinoserve_runtime.protocol.errors import InvalidRequestError
from vinoserve_runtime.protocol.json_data import array_from_json, json_from_array
from vinoserve_runtime.protocol.raw import array_from_raw, raw_from_array
from vinoserve_runtime.protocol.signature import Signature, check_datatype, check_shape, label, shown
from vinoserve_runtime.tensors import Array

UNSUPPORTED_PARAMETERS: Final = {
    "shared_memory_region": "shared memory is not offered",
    "classification": "classification is not offered",
}
"""Parameters that change what the request means: ignoring them would answer another question."""


@dataclass(frozen=True, slots=True)
class WantedOutput:
    index: int
    binary: bool


@dataclass(frozen=True, slots=True)
class InferRequest:
    id: str | None
    tensors: list[Array]
    """One per input of the model, in the model's order."""
    outputs: Sequence[WantedOutput]
    """In the order in which they were asked for."""


@dataclass(frozen=True, slots=True)
class InferResponse:
    header: bytes
    """JSON; all of the body where there are no raw tensors."""
    raw: list[memoryview]


def decode_request(signature: Signature, body: bytes | memoryview, header_length: int | None) -> InferRequest:
    """Reads a request body; `header_length` is Inference-Header-Content-Length where it was sent.

    Binary tensors are views of `body`. Raises InvalidRequestError naming what is wrong.
    """
    text, raw = _split(body, header_length)
    request = _parse(text)
    request_id = request.get("id")
    if request_id is not None and type(request_id) is not str:
        raise InvalidRequestError(f"id must be a string, not {shown(request_id)}")
    binary_default = _flag(
        _parameters("the request", request), "binary_data_output", "the request", default=False
    )
    tensors = _decode_inputs(signature, request.get("inputs"), text, raw)
    return InferRequest(
        request_id, tensors, _wanted_outputs(signature, request.get("outputs"), binary_default)
    )


def encode_response(
    signature: Signature, name: str, version: str, request: InferRequest, results: Sequence[Array]
) -> InferResponse:
    """The response to `request`; `results` has an array per output of the model, in the model's order."""
    outputs: list[dict[str, Any]] = []
    raw: list[memoryview] = []
    for wanted in request.outputs:
        info = signature.outputs[wanted.index]
        values = results[wanted.index]
        output: dict[str, Any] = {"name": info.name, "datatype": info.datatype, "shape": values.shape}
        if wanted.binary:
            content = raw_from_array(info.datatype, values)
            output["parameters"] = {"binary_data_size": len(content)}
            raw.append(content)
        else:
            output["data"] = json_from_array(label("output", info.name), info.datatype, values)
        outputs.append(output)
    response: dict[str, Any] = {"model_name": name, "model_version": version, "outputs": outputs}
    if request.id is not None:
        response["id"] = request.id
    return InferResponse(orjson.dumps(response, option=orjson.OPT_SERIALIZE_NUMPY), raw)


class _Raw:
    """The bytes after the JSON, handed out in the order of the inputs."""

    def __init__(self, content: memoryview) -> None:
        self._content = content
        self._offset = 0

    def take(self, where: str, size: int) -> memoryview:
        start = self._offset
        self._offset += size
        if self._offset > len(self._content):
            raise InvalidRequestError(
                f"{where}: binary_data_size is {size}, but only {len(self._content) - start} bytes of the body are left"
            )
        return self._content[start : self._offset]

    def check_empty(self) -> None:
        if self._offset != len(self._content):
            raise InvalidRequestError(
                f"{len(self._content) - self._offset} bytes of the body are left over after the binary data of all inputs"
            )


def _split(body: bytes | memoryview, header_length: int | None) -> tuple[bytes | memoryview, _Raw | None]:
    if header_length is None:
        return body, None
    if header_length > len(body):
        raise InvalidRequestError(
            f"Inference-Header-Content-Length is {header_length}, but the body has {len(body)} bytes"
        )
    view = memoryview(body)
    return view[:header_length], _Raw(view[header_length:])


def _parse(text: bytes | memoryview) -> dict[str, Any]:
    try:
        request = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise InvalidRequestError(f"malformed JSON: {error}" if len(text) else "the body is empty") from None
    if not isinstance(request, dict):
        raise InvalidRequestError("the request must be a JSON object")
    return request


def _decode_inputs(
    signature: Signature, inputs: object, text: bytes | memoryview, raw: _Raw | None
) -> list[Array]:
    if not isinstance(inputs, list):
        raise InvalidRequestError("inputs must be an array of tensors")
    tensors: list[Array | None] = [None] * len(signature.inputs)
    booleans: bool | None = None
    for item in inputs:
        index = signature.input_index(_name("inputs", item))
        info = signature.inputs[index]
        where = label("input", info.name)
        if tensors[index] is not None:
            raise InvalidRequestError(f"{where} is given twice")
        check_datatype(info, item.get("datatype"))
        shape = check_shape(info, item.get("shape"))
        size = _binary_size(where, _parameters(where, item))
        if size is not None:
            if item.get("data") is not None:
                raise InvalidRequestError(f"{where} has both data and binary_data_size; send one of them")
            if raw is None:
                raise InvalidRequestError(
                    f"{where} has binary_data_size, but the request no Inference-Header-Content-Length"
                )
            tensors[index] = array_from_raw(where, info.datatype, shape, raw.take(where, size))
        elif "data" in item:
            if booleans is None:
                booleans = _holds_booleans(text)
            tensors[index] = array_from_json(
                where, info.datatype, shape, item["data"], may_hold_booleans=booleans
            )
        else:
            raise InvalidRequestError(f"{where} has neither data nor binary_data_size")
    if raw is not None:
        raw.check_empty()
    found: list[Array] = []
    for info, tensor in zip(signature.inputs, tensors, strict=True):
        if tensor is None:
            raise InvalidRequestError(f"{label('input', info.name)} is missing")
        found.append(tensor)
    return found


def _wanted_outputs(signature: Signature, outputs: object, binary_default: bool) -> Sequence[WantedOutput]:
    if outputs is None or outputs == []:
        return [WantedOutput(index, binary_default) for index in range(len(signature.outputs))]
    if not isinstance(outputs, list):
        raise InvalidRequestError("outputs must be an array")
    wanted: dict[int, WantedOutput] = {}
    for item in outputs:
        index = signature.output_index(_name("outputs", item))
        where = label("output", signature.outputs[index].name)
        if index in wanted:
            raise InvalidRequestError(f"{where} is asked for twice")
        binary = _flag(_parameters(where, item), "binary_data", where, default=binary_default)
        wanted[index] = WantedOutput(index, binary)
    return list(wanted.values())


def _name(field: str, item: object) -> str:
    if not isinstance(item, dict):
        raise InvalidRequestError(f"{field} must hold objects, not {shown(item)}")
    name = item.get("name")
    if type(name) is not str:
        raise InvalidRequestError(
            f"{field}: a tensor has no name"
            if name is None
            else f"{field}: name must be a string, not {shown(name)}"
        )
    return name


def _parameters(where: str, item: dict[str, Any]) -> dict[str, Any]:
    parameters = item.get("parameters")
    if parameters is None:
        return {}
    if not isinstance(parameters, dict):
        raise InvalidRequestError(f"{where}: parameters must be an object, not {shown(parameters)}")
    for key, value in parameters.items():
        if type(value) not in {str, int, float, bool}:
            raise InvalidRequestError(
                f'{where}: parameter "{key}" must be a string, a number or a boolean, not {shown(value)}'
            )
        if key in UNSUPPORTED_PARAMETERS:
            raise InvalidRequestError(f'{where}: parameter "{key}": {UNSUPPORTED_PARAMETERS[key]}')
    return parameters


def _flag(parameters: dict[str, Any], key: str, where: str, *, default: bool) -> bool:
    value = parameters.get(key, default)
    if not isinstance(value, bool):
        raise InvalidRequestError(f"{where}: {key} must be true or false, not {shown(value)}")
    return value


def _binary_size(where: str, parameters: dict[str, Any]) -> int | None:
    size = parameters.get("binary_data_size")
    if size is None:
        return None
    if type(size) is not int or size < 0:
        raise InvalidRequestError(f"{where}: binary_data_size must be a number of bytes, not {shown(size)}")
    return size


def _holds_booleans(text: bytes | memoryview) -> bool:
    plain = bytes(text)
    return b"true" in plain or b"false" in plain
