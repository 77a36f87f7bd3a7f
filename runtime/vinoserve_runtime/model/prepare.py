"""From a file to the graph that is compiled: read, reshaped, with pre- and postprocessing built in."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vinoserve_api.contract import RuntimeConfig
from vinoserve_runtime.model.names import find_ports, make_names
from vinoserve_runtime.model.preprocess import add_processing
from vinoserve_runtime.model.read import read_model
from vinoserve_runtime.model.reshape import reshape_inputs


@dataclass(frozen=True)
class PreparedModel:
    """A graph, and the names of its inputs and outputs, in order."""

    model: Any
    input_names: tuple[str, ...]
    output_names: tuple[str, ...]


def prepare_model(core: Any, path: Path, config: RuntimeConfig) -> PreparedModel:
    """Blocks while OpenVINO reads. Raises StartupError: ModelInvalid, InvalidInput, InvalidShape."""
    model = read_model(core, path)
    input_names, output_names = make_names(model.inputs), make_names(model.outputs)
    inputs = find_ports("inputs", [entry.name for entry in config.inputs], input_names)
    outputs = find_ports("outputs", [entry.name for entry in config.outputs], output_names)
    reshape_inputs(model, config.inputs, inputs)
    model = add_processing(model, config.inputs, inputs, config.outputs, outputs)
    return PreparedModel(model, input_names, output_names)
