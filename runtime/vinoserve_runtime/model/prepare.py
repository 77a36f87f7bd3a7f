"""From a file to the graph that is compiled: read, reshaped, with pre- and postprocessing built in."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from vinoserve_api.contract import RuntimeConfig
from vinoserve_runtime.model.names import find_ports, make_names
from vinoserve_runtime.model.onnx_names import read_graph_names
from vinoserve_runtime.model.preprocess import add_processing
from vinoserve_runtime.model.read import read_model
from vinoserve_runtime.model.reshape import reshape_inputs

_ARITHMETIC: Final = frozenset(
    {"Add", "Subtract", "Multiply", "Divide", "Power", "Mod", "FloorMod", "ReduceSum", "ReduceProd"}
)


@dataclass(frozen=True)
class PreparedModel:
    """A graph, and the names of its inputs and outputs, in order."""

    model: Any
    input_names: tuple[str, ...]
    output_names: tuple[str, ...]
    warnings: tuple[str, ...] = ()


def prepare_model(core: Any, path: Path, config: RuntimeConfig) -> PreparedModel:
    """Blocks while OpenVINO reads. Raises StartupError: ModelInvalid, InvalidInput, InvalidShape."""
    model = read_model(core, path)
    graph_inputs, graph_outputs = read_graph_names(path) if path.suffix == ".onnx" else ((), ())
    input_names = make_names(model.inputs, graph_inputs)
    output_names = make_names(model.outputs, graph_outputs)
    inputs = find_ports("inputs", [entry.name for entry in config.inputs], input_names)
    outputs = find_ports("outputs", [entry.name for entry in config.outputs], output_names)
    reshape_inputs(model, config.inputs, inputs)
    model = add_processing(model, config.inputs, inputs, config.outputs, outputs)
    return PreparedModel(model, input_names, output_names, tuple(_find_narrowed(model, input_names)))


def _find_narrowed(model: Any, names: Sequence[str]) -> Iterator[str]:
    """Inputs of 64-bit integers that the model calculates with; as indices and tokens they never get large."""
    for port, name in zip(model.inputs, names, strict=True):
        element_type = port.get_element_type().get_type_name()
        consumers = {target.get_node().get_type_name() for target in port.get_target_inputs()}
        if element_type in ("i64", "u64") and consumers & _ARITHMETIC:
            yield (
                f"input {name!r} is {element_type} and calculated with, which OpenVINO does in 32 bits: values beyond "
                "2147483647 come out wrong"
            )
