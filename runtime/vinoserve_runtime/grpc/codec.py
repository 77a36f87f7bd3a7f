"""The protocol's messages to numpy and back. Results are always raw, as Triton's are."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, Final

import numpy as np

from vinoserve_runtime.grpc import open_inference_grpc_pb2 as pb
from vinoserve_runtime.grpc.methods import read
from vinoserve_runtime.grpc.wire import split_raw
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


@dataclass(frozen=True, slots=True)
class Envelope:
    """What a request says beside its tensors."""

    id: str
    outputs: Sequence[int]
    """Their indices in the signature, in the order in which they were asked for."""


@dataclass(frozen=True, slots=True)
class Request:
    message: pb.ModelInferRequest
    raws: Sequence[bytes | memoryview]
    """Its raw_input_contents, which `message` may be without."""


def read_request(message: bytes) -> Request:
    """Raises InvalidRequestError where it is none."""
    rest, raws = split_raw(message)
    request = read(pb.ModelInferRequest, rest)
    return Request(request, raws or request.raw_input_contents)


def decode(signature: Signature, given: Request) -> tuple[Envelope, list[Array]]:
    """The arrays are in the model's order. Raises InvalidRequestError naming what is wrong."""
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
    return Envelope(request.id, _read_outputs(signature, request.outputs)), signature.in_order(tensors)


def encode(
    name: str, version: str, signature: Signature, envelope: Envelope, results: Sequence[Array]
) -> pb.ModelInferResponse:
    """The response to a request; `results` has an array per output of the model, in the model's order."""
    response = pb.ModelInferResponse(model_name=name, model_version=version, id=envelope.id)
    for index in envelope.outputs:
        info, values = signature.outputs[index], results[index]
        response.outputs.add(name=info.name, datatype=info.datatype, shape=values.shape)
        response.raw_output_contents.append(bytes(raw_from_array(info.datatype, values)))
    return response


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
) -> Sequence[int]:
    wanted: dict[int, None] = {}
    for output in outputs:
        index = signature.output_index(output.name)
        where = label("output", output.name)
        if index in wanted:
            raise InvalidRequestError(f"{where} is asked for twice")
        _check_parameters(where, output.parameters)
        wanted[index] = None
    return list(wanted) or range(len(signature.outputs))


def _check_parameters(where: str, parameters: Mapping[str, pb.InferParameter]) -> None:
    for key, why in UNSUPPORTED_PARAMETERS.items():
        if key in parameters:
            raise InvalidRequestError(f'{where}: parameter "{key}": {why}')
