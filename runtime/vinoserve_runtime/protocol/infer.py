"""An inference request and its response as REST carries them: JSON, with tensors in it or as raw bytes after it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from types import MappingProxyType
from typing import Any, Final

import orjson

from vinoserve_runtime.protocol.errors import InvalidRequestError
from vinoserve_runtime.protocol.frames import (
    Frames,
    Pieces,
    cut,
    is_only_input,
    make_answer_frame,
    read_array,
)
from vinoserve_runtime.protocol.json_data import array_from_json, from_base64, json_from_array
from vinoserve_runtime.protocol.raw import array_from_raw, raw_from_array
from vinoserve_runtime.protocol.signature import Signature, check_datatype, check_shape, label, shown
from vinoserve_runtime.tensors import Array

UNSUPPORTED_PARAMETERS: Final = {
    "shared_memory_region": "shared memory is not offered",
    "classification": "classification is not offered",
}
"""Parameters that change what the request means: ignoring them would answer another question."""


CACHED_ENVELOPES: Final = 64
CACHED_HEADER_BYTES: Final = 4096
CACHED_ANSWERS: Final = 16


@dataclass(frozen=True, slots=True)
class WantedOutput:
    index: int
    binary: bool


@dataclass(frozen=True, slots=True)
class RawInput:
    """Where, in the bytes after the JSON, an input is."""

    where: str
    datatype: str
    shape: tuple[int, ...]
    start: int
    end: int


@dataclass(slots=True)
class Envelope:
    """What the JSON of a request says. Not frozen: that doubles what it costs to make one."""

    id: str | None
    inputs: list[Array | RawInput]
    """In the model's order."""
    raw_bytes: int | None
    """How many bytes must follow the JSON; None where no Inference-Header-Content-Length said that any do."""
    outputs: Sequence[WantedOutput]
    """In the order in which they were asked for."""
    answers: dict[tuple[object, ...], bytes] = field(default_factory=dict)
    """JSON of the responses so far, by shape and size of their raw outputs."""
    frames: dict[tuple[int, ...], tuple[bytes, bytes]] = field(default_factory=dict)
    """The same where there is one output, in JSON: what is around its data, by its shape."""


@dataclass(frozen=True, slots=True)
class JsonInput:
    """What is known of a request before its only input's `data` is read."""

    where: str
    datatype: str
    shape: tuple[int, ...]
    envelope: Envelope


@dataclass(slots=True)
class InferResponse:
    header: bytes
    """JSON; all of the body where there are no raw tensors."""
    raw: list[memoryview]


class Codec:
    """Reads the requests of one model and writes its responses.

    Clients that send raw tensors send the same JSON before them again and again, byte for byte, and those that send numbers the same
    around them: what it says is remembered for the last few.
    """

    def __init__(self, name: str, version: str, signature: Signature) -> None:
        self._name = name
        self._version = version
        self._signature = signature
        self._envelopes: dict[bytes, Envelope] = {}
        self._frames: Frames[JsonInput] = Frames()
        self._json_labels = [label("output", info.name) for info in signature.outputs]

    def decode(self, body: bytes | memoryview, header_length: int | None) -> tuple[Envelope, list[Array]]:
        """Reads a request body; `header_length` is Inference-Header-Content-Length where it was sent.

        The arrays are in the model's order; raw ones are views of `body`. Raises InvalidRequestError naming what is wrong.
        """
        if header_length is None:
            return self._decode_json(body)
        if header_length > len(body):
            raise InvalidRequestError(
                f"Inference-Header-Content-Length is {header_length}, but the body has {len(body)} bytes"
            )
        view = memoryview(body)
        envelope = self._remember(view[:header_length])
        raw = view[header_length:]
        if len(raw) != envelope.raw_bytes:
            raise _wrong_length(envelope, len(raw))
        return envelope, [
            array_from_raw(tensor.where, tensor.datatype, tensor.shape, raw[tensor.start : tensor.end])
            if isinstance(tensor, RawInput)
            else tensor
            for tensor in envelope.inputs
        ]

    def encode(self, envelope: Envelope, results: Sequence[Array]) -> InferResponse:
        """The response to a request; `results` has an array per output of the model, in the model's order."""
        if not any(wanted.binary for wanted in envelope.outputs):
            one = len(envelope.outputs) == 1
            encode = self._answer_one if one else self._answer
            return InferResponse(encode(envelope, results), [])
        infos = self._signature.outputs
        raw = {
            wanted.index: raw_from_array(infos[wanted.index].datatype, results[wanted.index])
            for wanted in envelope.outputs
            if wanted.binary
        }
        if len(raw) != len(envelope.outputs):
            return InferResponse(self._answer(envelope, results, raw), list(raw.values()))
        key = (*[results[index].shape for index in raw], *map(len, raw.values()))
        header = envelope.answers.get(key)
        if header is None:
            header = self._answer(envelope, results, raw)
            if len(envelope.answers) < CACHED_ANSWERS:
                envelope.answers[key] = header
        return InferResponse(header, list(raw.values()))

    def _decode_json(self, body: bytes | memoryview) -> tuple[Envelope, list[Array]]:
        pieces = cut(body)
        if pieces is not None:
            known = self._frames.known.get(pieces.frame)
            data = None if known is None else read_array(pieces.data)
            if known is not None and data is not None:
                booleans = _holds_booleans(pieces.data)
                values = array_from_json(
                    known.where, known.datatype, known.shape, data, may_hold_booleans=booleans
                )
                return known.envelope, [values]
        envelope = _open(self._signature, body, has_raw=False)
        tensors = [tensor for tensor in envelope.inputs if not isinstance(tensor, RawInput)]
        if pieces is not None and len(tensors) == 1:
            self._remember_frame(pieces, envelope, tensors[0])
        return envelope, tensors

    def _remember_frame(self, pieces: Pieces, envelope: Envelope, values: Array) -> None:
        info = self._signature.inputs[0]
        if self._frames.is_worthwhile(pieces.frame) and not info.is_base64 and is_only_input(pieces):
            envelope.inputs = []
            known = JsonInput(label("input", info.name), info.datatype, values.shape, envelope)
            self._frames.remember(pieces.frame, known)

    def _remember(self, text: memoryview) -> Envelope:
        if len(text) > CACHED_HEADER_BYTES:
            return _open(self._signature, text, has_raw=True)
        key = bytes(text)
        envelope = self._envelopes.get(key)
        if envelope is None:
            envelope = _open(self._signature, key, has_raw=True)
            if all(isinstance(tensor, RawInput) for tensor in envelope.inputs):
                if len(self._envelopes) >= CACHED_ENVELOPES:
                    self._envelopes.clear()
                self._envelopes[key] = envelope
        return envelope

    def _answer_one(self, envelope: Envelope, results: Sequence[Array]) -> bytes:
        """Where an output's data are in JSON, what is around them is made once for each shape."""
        index = envelope.outputs[0].index
        info, values = self._signature.outputs[index], results[index]
        frame = envelope.frames.get(values.shape)
        if frame is None:
            output = {"name": info.name, "datatype": info.datatype, "shape": values.shape, "data": None}
            frame = make_answer_frame(self._make_response(envelope, [output]))
            if len(envelope.frames) < CACHED_ANSWERS:
                envelope.frames[values.shape] = frame
        data = json_from_array(self._json_labels[index], info.datatype, values)
        return b"".join((frame[0], orjson.dumps(data, option=orjson.OPT_SERIALIZE_NUMPY), frame[1]))

    def _answer(
        self,
        envelope: Envelope,
        results: Sequence[Array],
        raw: Mapping[int, memoryview] = MappingProxyType({}),
    ) -> bytes:
        outputs: list[dict[str, Any]] = []
        for wanted in envelope.outputs:
            info = self._signature.outputs[wanted.index]
            values = results[wanted.index]
            output: dict[str, Any] = {"name": info.name, "datatype": info.datatype, "shape": values.shape}
            if wanted.binary:
                output["parameters"] = {"binary_data_size": len(raw[wanted.index])}
            else:
                output["data"] = json_from_array(self._json_labels[wanted.index], info.datatype, values)
            outputs.append(output)
        return orjson.dumps(self._make_response(envelope, outputs), option=orjson.OPT_SERIALIZE_NUMPY)

    def _make_response(self, envelope: Envelope, outputs: list[dict[str, Any]]) -> dict[str, Any]:
        response: dict[str, Any] = {"model_name": self._name, "model_version": self._version}
        if envelope.id is not None:
            response["id"] = envelope.id
        response["outputs"] = outputs
        return response


def read_repository_filter(body: bytes | memoryview) -> bool:
    """Whether a request for the repository's index is for models that are ready only."""
    return len(body) > 0 and _flag(_parse(body), "ready", "the request", default=False)


def _open(signature: Signature, text: bytes | memoryview, *, has_raw: bool) -> Envelope:
    request = _parse(text)
    request_id = request.get("id")
    if request_id is not None and type(request_id) is not str:
        raise InvalidRequestError(f"id must be a string, not {shown(request_id)}")
    binary_default = _flag(
        _parameters("the request", request), "binary_data_output", "the request", default=False
    )
    inputs, raw_bytes = _read_inputs(signature, request.get("inputs"), text, has_raw)
    outputs = _read_outputs(signature, request.get("outputs"), binary_default)
    return Envelope(request_id, inputs, raw_bytes if has_raw else None, outputs)


def _wrong_length(envelope: Envelope, length: int) -> InvalidRequestError:
    in_body_order = sorted(
        (tensor for tensor in envelope.inputs if isinstance(tensor, RawInput)),
        key=lambda tensor: tensor.start,
    )
    for tensor in in_body_order:
        if tensor.end > length:
            return InvalidRequestError(
                f"{tensor.where}: binary_data_size is {tensor.end - tensor.start}, "
                f"but only {length - tensor.start} bytes of the body are left"
            )
    left = length - (envelope.raw_bytes or 0)
    return InvalidRequestError(f"{left} bytes of the body are left over after the binary data of all inputs")


def _parse(text: bytes | memoryview) -> dict[str, Any]:
    try:
        request = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise InvalidRequestError(f"malformed JSON: {error}" if len(text) else "the body is empty") from None
    if not isinstance(request, dict):
        raise InvalidRequestError("the request must be a JSON object")
    return request


def _read_inputs(
    signature: Signature, inputs: object, text: bytes | memoryview, has_raw: bool
) -> tuple[list[Array | RawInput], int]:
    """The inputs in the model's order, and how many bytes the raw ones take."""
    if not isinstance(inputs, list):
        raise InvalidRequestError("inputs must be an array of tensors")
    tensors: dict[int, Array | RawInput] = {}
    booleans: bool | None = None
    raw_bytes = 0
    for item in inputs:
        index = signature.input_index(_name("inputs", item))
        info = signature.inputs[index]
        where = label("input", info.name)
        if index in tensors:
            raise InvalidRequestError(f"{where} is given twice")
        check_datatype(info, item.get("datatype"))
        shape = check_shape(info, item.get("shape"))
        size = _binary_size(where, _parameters(where, item))
        if size is not None:
            if item.get("data") is not None:
                raise InvalidRequestError(f"{where} has both data and binary_data_size; send one of them")
            if not has_raw:
                raise InvalidRequestError(
                    f"{where} has binary_data_size, but the request no Inference-Header-Content-Length"
                )
            tensors[index] = RawInput(where, info.datatype, shape, raw_bytes, raw_bytes + size)
            raw_bytes += size
        elif "data" in item:
            if booleans is None:
                booleans = _holds_booleans(text)
            values = array_from_json(where, info.datatype, shape, item["data"], may_hold_booleans=booleans)
            tensors[index] = from_base64(where, values) if info.is_base64 else values
        else:
            raise InvalidRequestError(f"{where} has neither data nor binary_data_size")
    return signature.in_order(tensors), raw_bytes


def _read_outputs(signature: Signature, outputs: object, binary_default: bool) -> Sequence[WantedOutput]:
    if outputs is None or outputs == []:
        return _all_outputs(len(signature.outputs), binary_default)
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


@cache
def _all_outputs(count: int, binary: bool) -> Sequence[WantedOutput]:
    return tuple(WantedOutput(index, binary) for index in range(count))


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
