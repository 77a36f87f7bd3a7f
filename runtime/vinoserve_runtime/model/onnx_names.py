"""The names of an ONNX graph's inputs and outputs, from the file itself.

OpenVINO's reader renames: where an input goes through a Dropout first, it answers with the name of what comes out. Clients
know the graph's names. Only the few fields that hold them are read (onnx.proto: ModelProto.graph = 7; GraphProto.initializer
= 5, input = 11, output = 12, sparse_initializer = 15; TensorProto.name = 8; ValueInfoProto.name = 1), weights are skipped.
"""

import mmap
from pathlib import Path
from typing import Final

from vinoserve_runtime.model.protobuf import fields

_GRAPH: Final = 7
_INITIALIZER, _INPUT, _OUTPUT = 5, 11, 12
_TENSOR_NAME, _VALUE_NAME = 8, 1


def read_graph_names(path: Path) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Inputs (without those that have a default, as OpenVINO has it) and outputs, in order; nothing if it is no protobuf."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        try:
            return _read_graph(data)
        except (IndexError, UnicodeDecodeError, ValueError):
            return (), ()


def _read_graph(data: mmap.mmap) -> tuple[tuple[str, ...], tuple[str, ...]]:
    inputs: list[str] = []
    outputs: list[str] = []
    defaults: set[str] = set()
    for _, graph in fields(data, (0, len(data)), _GRAPH):
        for number, part in fields(data, graph, _INITIALIZER, _INPUT, _OUTPUT):
            wanted = _TENSOR_NAME if number == _INITIALIZER else _VALUE_NAME
            name = next((bytes(data[a:b]).decode() for _, (a, b) in fields(data, part, wanted)), "")
            if number == _INITIALIZER:
                defaults.add(name)
            else:
                (inputs if number == _INPUT else outputs).append(name)
    return tuple(name for name in inputs if name not in defaults), tuple(outputs)
