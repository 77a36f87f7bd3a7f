"""Inputs and outputs of a compiled model as clients see them: datatypes, shapes, bounds."""

from collections.abc import Sequence
from typing import Any, Final

from vinoserve_api.conditions import FailureReason
from vinoserve_runtime.errors import StartupError
from vinoserve_runtime.tensors import TensorInfo

#: OpenVINO's element types that the protocol has a datatype for.
DATATYPES: Final = {
    "boolean": "BOOL",
    "u8": "UINT8",
    "u16": "UINT16",
    "u32": "UINT32",
    "u64": "UINT64",
    "i8": "INT8",
    "i16": "INT16",
    "i32": "INT32",
    "i64": "INT64",
    "f16": "FP16",
    "bf16": "BF16",
    "f32": "FP32",
    "f64": "FP64",
    "string": "BYTES",
}


def check_ports(ports: Sequence[Any], names: Sequence[str], side: str) -> None:
    """Refuses, before anything is compiled, what no client could send or get. `side`: `inputs` or `outputs`.

    Raises ModelInvalid for an element type that the protocol lacks, InvalidShape for an input without a rank.
    """
    for port, name in zip(ports, names, strict=True):
        element_type = port.get_element_type().get_type_name()
        if element_type not in DATATYPES:
            remedy = "client.elementType" if side == "inputs" else "elementType"
            raise StartupError(
                FailureReason.MODEL_INVALID,
                f"{side[:-1]} {name!r} has element type {element_type}, which no client can carry; convert it with "
                f"{remedy} in an entry of spec.model.{side} for it, such as u8 or f32",
            )
        if side == "inputs" and port.get_partial_shape().rank.is_dynamic:
            raise StartupError(
                FailureReason.INVALID_SHAPE,
                f"spec.model.inputs: input {name!r} has no rank in the model; give it a shape, such as "
                f"{{name: {name}, shape: [1, 3, 224, 224]}}",
            )


def make_tensor_infos(ports: Sequence[Any], names: Sequence[str]) -> tuple[TensorInfo, ...]:
    """What clients may send to (or get from) compiled ports; an output without a rank is said to be a vector."""
    return tuple(_make_tensor_info(port, name) for port, name in zip(ports, names, strict=True))


def _make_tensor_info(port: Any, name: str) -> TensorInfo:
    datatype = DATATYPES[port.get_element_type().get_type_name()]
    shape = port.get_partial_shape()
    if shape.rank.is_dynamic:
        return TensorInfo(name, datatype, (-1,), ((0, None),))
    return TensorInfo(
        name,
        datatype,
        tuple(dim.get_length() if dim.is_static else -1 for dim in shape),
        tuple((dim.get_min_length(), _upper(dim)) for dim in shape),
    )


def _upper(dimension: Any) -> int | None:
    """The largest size; OpenVINO says -1 for none."""
    upper = int(dimension.get_max_length())
    return None if upper < 0 or upper >= 2**31 - 1 else upper
