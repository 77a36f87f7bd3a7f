"""The protocol's messages to numpy and back. Results are always raw, as Triton's are."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, Final

import numpy as np

from vinoserve_runtime.grpc import open_inference_grpc_pb2 as pb
from vinoserve_runtime.grpc.messages import Message
from vinoserve_runtime.grpc.methods import read
from vinoserve_runtime.grpc.wire import make_field, split_raw
from vinoserve_runtime.http2.outlet import Buffer
from vinoserve_runtime.protocol.errors import InvalidRequestError
from vinoserve_runtime.protocol.infer import UNSUPPORTED_PARAMETERS
from vinoserve_runtime.protocol.raw import array_from_raw, raw_from_array
from vinoserve_runtime.protocol.signature import Signature, check_datatype, check_shape, label
from vinoserve_runtime.tensors import NUMPY_DTYPES, Array

CONTENTS: Final[dict[str, tuple[str, np.dtype[Any]]]] = {
    "BOOL": ("bool_contents", np.dtype(np.bool_)),
    "INT8": ("int_contents", np.dtype(np.int32)),
    "INT16": ("int_contents", np.dtype(np.int32)),
    "INT32": ("int_contents", np.dtype(np.int32)),
    "INT64": ("int64_contents", np.dtype(np.int64)),
    "UINT8": ("uint_contents", np.dtype(np.uint32)),
    "UINT16": ("uint_contents", np.dtype(np.uint32)),
    "UINT32": ("uint_contents", np.dtype(np.uint32)),
    "UINT64": ("uint64_contents", np.dtype(np.uint64)),
    "FP32": ("fp32_contents", np.dtype(np.float32)),
    "FP64": ("fp64_contents", np.dtype(np.float64)),
    "BYTES": ("bytes_contents", np.dtype(np.object_)),
}
"""The field of InferTensorContents that a datatype travels in, and what it holds. FP16 and BF16 have none."""

MAX_KNOWN: Final = 64
"""Shapes of responses."""
SMALL_BYTES: Final = 16 << 10
"""So little is copied sooner than it is looked at where it is."""
_RAW_OUTPUT_CONTENTS: Final = 6
"""ModelInferResponse.raw_output_contents"""


@dataclass(frozen=True, slots=True)
class Envelope:
    """What a request says beside its tensors."""

    id: str
    outputs: tuple[int, ...]
    """Their indices in the signature, in the order in which they were asked for."""


@dataclass(frozen=True, slots=True)
class Request:
    message: pb.ModelInferRequest
    raws: Sequence[bytes | memoryview]
    """Its raw_input_contents, which `message` may be without."""


def read_request(message: Message) -> Request:
    """Raises InvalidRequestError where it is none."""
    rest, raws = split_raw(message)
    request = read(pb.ModelInferRequest, rest)
    return Request(request, raws or request.raw_input_contents)


def decode(signature: Signature, given: Request) -> tuple[Envelope, list[int], list[Array]]:
    """Beside the envelope: which of the model's inputs came in which order, and arrays in the model's order. Raises InvalidRequestError naming what is wrong."""
    request, raws = given.message, given.raws
    _check_parameters("the request", request.parameters)
    if raws and len(raws) != len(request.inputs):
        raise InvalidRequestError(
            f"raw_input_contents has {len(raws)} tensors, but inputs has {len(request.inputs)}; "
            "there must be one for each"
        )
    tensors: dict[int, Array] = {}
    for position, tensor in enumerate(request.inputs):
        index = signature.input_index(tensor.name)
        info = signature.inputs[index]
        where = label("input", info.name)
        if index in tensors:
            raise InvalidRequestError(f"{where} is given twice")
        check_datatype(info, tensor.datatype)
        shape = check_shape(info, list(tensor.shape))
        _check_parameters(where, tensor.parameters)
        if not raws:
            tensors[index] = array_from_contents(where, info.datatype, shape, tensor.contents)
        elif tensor.contents.ListFields():
            raise InvalidRequestError(f"{where} has contents beside raw_input_contents; send one of them")
        else:
            tensors[index] = array_from_raw(where, info.datatype, shape, memoryview(raws[position]))
    envelope = Envelope(request.id, _read_outputs(signature, request.outputs))
    return envelope, list(tensors), signature.in_order(tensors)


class Encoder:
    """Of one model's responses. What comes before a response's tensors is worked out once for each of their shapes."""

    def __init__(self, name: str, version: str, signature: Signature) -> None:
        self._name = name
        self._version = version
        self._signature = signature
        self._has_strings = any(info.datatype == "BYTES" for info in signature.outputs)
        self._known: dict[Any, list[bytes]] = {}

    def encode(self, envelope: Envelope, results: Sequence[Array]) -> list[Buffer]:
        """The response to a request; `results` has an array per output of the model, in the model's order."""
        if envelope.id or self._has_strings:
            raws = [
                raw_from_array(self._signature.outputs[index].datatype, results[index])
                for index in envelope.outputs
            ]
            starts = self._make_starts(envelope, results, list(map(len, raws)))
            return [piece for pair in zip(starts, raws, strict=True) for piece in pair]
        key = (envelope.outputs, *[results[index].shape for index in envelope.outputs])
        known = self._known.get(key)
        if known is None:
            sizes = [results[index].nbytes for index in envelope.outputs]
            known = self._make_starts(envelope, results, sizes)
            if len(self._known) >= MAX_KNOWN:
                self._known.clear()
            self._known[key] = known
        pieces: list[Buffer] = []
        for start, index in zip(known, envelope.outputs, strict=True):
            values = results[index]
            small = values.nbytes <= SMALL_BYTES
            pieces += (start, values.tobytes() if small else raw_from_array("", values))
        return pieces

    def _make_starts(self, envelope: Envelope, results: Sequence[Array], sizes: Sequence[int]) -> list[bytes]:
        """What comes before each tensor's bytes; all the rest of the response before the first's."""
        response = pb.ModelInferResponse(model_name=self._name, model_version=self._version, id=envelope.id)
        for index in envelope.outputs:
            info = self._signature.outputs[index]
            response.outputs.add(name=info.name, datatype=info.datatype, shape=results[index].shape)
        starts = [make_field(_RAW_OUTPUT_CONTENTS, size) for size in sizes]
        return [response.SerializeToString() + starts[0], *starts[1:]]


def array_from_contents(
    where: str, datatype: str, shape: tuple[int, ...], contents: pb.InferTensorContents
) -> Array:
    """A C-contiguous array of `shape`. Raises InvalidRequestError, headed by `where`, unless `contents` has just that."""
    if datatype not in CONTENTS:
        raise InvalidRequestError(f"{where}: {datatype} can only be sent in raw_input_contents")
    field, wire = CONTENTS[datatype]
    for descriptor, _ in contents.ListFields():
        if descriptor.name != field:
            raise InvalidRequestError(f"{where}: {datatype} is sent in {field}, not in {descriptor.name}")
    elements = getattr(contents, field)
    count = prod(shape)
    if len(elements) != count:
        raise InvalidRequestError(
            f"{where}: {field} has {len(elements)} elements, but shape {list(shape)} takes {count}"
        )
    sent: Array = np.fromiter(elements, wire, count)
    dtype = NUMPY_DTYPES[datatype]
    if dtype == wire:
        return sent.reshape(shape)
    values = sent.astype(dtype)
    wrong = np.flatnonzero(values != sent)
    if len(wrong):
        limits = np.iinfo(dtype)
        raise InvalidRequestError(
            f"{where}: {field}[{wrong[0]}] is {sent[wrong[0]]}, but that is out of range for {datatype} "
            f"({limits.min} to {limits.max})"
        )
    return values.reshape(shape)


def _read_outputs(
    signature: Signature, outputs: Iterable[pb.ModelInferRequest.InferRequestedOutputTensor]
) -> tuple[int, ...]:
    wanted: dict[int, None] = {}
    for output in outputs:
        index = signature.output_index(output.name)
        where = label("output", output.name)
        if index in wanted:
            raise InvalidRequestError(f"{where} is asked for twice")
        _check_parameters(where, output.parameters)
        wanted[index] = None
    return tuple(wanted) or tuple(range(len(signature.outputs)))


def _check_parameters(where: str, parameters: Mapping[str, pb.InferParameter]) -> None:
    for key, why in UNSUPPORTED_PARAMETERS.items():
        if key in parameters:
            raise InvalidRequestError(f'{where}: parameter "{key}": {why}')
