"""ONNX's own tests of its operators: a small model each, with inputs and the outputs that are right."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

from vinoserve_runtime.tensors import Array

NODES = Path(onnx.__file__).parent / "backend" / "test" / "data" / "node"


@dataclass(frozen=True)
class NodeTest:
    name: str
    model: Path
    inputs: list[Array]
    expected: list[Array]


def list_nodes() -> list[str]:
    return sorted(path.parent.name for path in NODES.glob("*/model.onnx"))


def read_node(name: str) -> NodeTest | None:
    """None where it has anything but tensors, or tensors of types that numpy doesn't have."""
    folder = NODES / name
    try:
        inputs = list(_read_tensors(folder, "input"))
        expected = list(_read_tensors(folder, "output"))
    except (TypeError, ValueError, NotImplementedError):
        return None
    plain = all(array.dtype.kind in "biufO" for array in (*inputs, *expected))
    return NodeTest(name, folder / "model.onnx", inputs, expected) if plain and expected else None


def _read_tensors(folder: Path, kind: str) -> Iterator[Array]:
    data = folder / "test_data_set_0"
    for index in range(len(list(data.glob(f"{kind}_*.pb")))):
        proto = onnx.TensorProto()
        content = (data / f"{kind}_{index}.pb").read_bytes()
        proto.ParseFromString(content)
        if proto.SerializeToString() != content or not proto.HasField("data_type"):
            raise ValueError(f"{kind}_{index} is no tensor")
        values = numpy_helper.to_array(proto)
        yield np.vectorize(_to_bytes, otypes=[object])(values) if values.dtype.kind in "OUS" else values


def _to_bytes(value: Any) -> bytes:
    return value.encode() if isinstance(value, str) else bytes(value)


def is_close(actual: Array, expected: Array) -> bool:
    """As onnx's own backend test compares."""
    if actual.shape != expected.shape:
        return False
    if expected.dtype.kind in "fc":
        return bool(
            np.allclose(actual.astype(np.float64), expected.astype(np.float64), 1e-3, 1e-5, equal_nan=True)
        )
    return bool(np.array_equal(actual, expected))
