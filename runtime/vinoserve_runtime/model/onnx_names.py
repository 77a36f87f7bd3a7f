"""The names of an ONNX graph's inputs and outputs, from the file itself.

OpenVINO's reader renames: where an input goes through a Dropout first, it answers with the name of what comes out. Clients
know the graph's names. Only the few fields that hold them are read (onnx.proto: ModelProto.graph = 7; GraphProto.initializer
= 5, input = 11, output = 12, sparse_initializer = 15; TensorProto.name = 8; ValueInfoProto.name = 1), weights are skipped.
"""

import mmap
from collections.abc import Iterator
from pathlib import Path
from typing import Final

_GRAPH: Final = 7
_INITIALIZER, _INPUT, _OUTPUT = 5, 11, 12
_TENSOR_NAME, _VALUE_NAME = 8, 1
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


def read_graph_names(path: Path) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Inputs (without those that have a default, as OpenVINO has it) and outputs, in order; nothing if it is no protobuf."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        try:
            return _read_graph(data)
        except (IndexError, UnicodeDecodeError, ValueError):
            return (), ()


def has_graph(path: Path) -> bool:
    """Whether the file is the protobuf message of a model; it must not be empty."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        try:
            return any(_fields(data, (0, len(data)), _GRAPH))
        except (IndexError, ValueError):
            return False


def _read_graph(data: mmap.mmap) -> tuple[tuple[str, ...], tuple[str, ...]]:
    inputs: list[str] = []
    outputs: list[str] = []
    defaults: set[str] = set()
    for _, graph in _fields(data, (0, len(data)), _GRAPH):
        for number, part in _fields(data, graph, _INITIALIZER, _INPUT, _OUTPUT):
            wanted = _TENSOR_NAME if number == _INITIALIZER else _VALUE_NAME
            name = next((bytes(data[a:b]).decode() for _, (a, b) in _fields(data, part, wanted)), "")
            if number == _INITIALIZER:
                defaults.add(name)
            else:
                (inputs if number == _INPUT else outputs).append(name)
    return tuple(name for name in inputs if name not in defaults), tuple(outputs)


def _fields(data: mmap.mmap, span: tuple[int, int], *wanted: int) -> Iterator[tuple[int, tuple[int, int]]]:
    """(number, span) of the wanted length-delimited fields of the message at `span`; the others are stepped over."""
    at, end = span
    while at < end:
        tag, at = _varint(data, at)
        number, kind = tag >> 3, tag & 7
        if kind == _BYTES:
            size, at = _varint(data, at)
            if at + size > end:
                raise ValueError("a field that ends after its message")
            if number in wanted:
                yield number, (at, at + size)
            at += size
        elif kind == _VARINT:
            _, at = _varint(data, at)
        elif kind in (_FIXED64, _FIXED32):
            at += 8 if kind == _FIXED64 else 4
        else:
            raise ValueError(f"wire type {kind}")


def _varint(data: mmap.mmap, at: int) -> tuple[int, int]:
    value = shift = 0
    while shift < 70:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
    raise ValueError("a varint without an end")
