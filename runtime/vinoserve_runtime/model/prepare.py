"""From a file to the graph that is compiled: read, reshaped, with pre- and postprocessing built in."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import Any, Final

from vinoserve_api.contract import RuntimeConfig
from vinoserve_api.v1alpha1 import Output
from vinoserve_runtime.model.names import find_ports, make_names
from vinoserve_runtime.model.onnx_names import read_graph_names
from vinoserve_runtime.model.planes import Planes
from vinoserve_runtime.model.preprocess import Encoded, add_processing
from vinoserve_runtime.model.read import read_model
from vinoserve_runtime.model.reshape import count_buckets, reshape_inputs

_ARITHMETIC: Final = frozenset(
    {"Add", "Subtract", "Multiply", "Divide", "Power", "Mod", "FloorMod", "ReduceSum", "ReduceProd"}
)


_LONG: Final = ("i64", "u64")


@dataclass(frozen=True)
class PreparedModel:
    """A graph, and the names of its inputs and outputs, in order."""

    model: Any
    input_names: tuple[str, ...]
    output_names: tuple[str, ...]
    warnings: tuple[str, ...] = ()
    buckets: tuple[Any, ...] = ()
    """The graph with the shapes of each bucket, the smallest first; `model` then takes any shape and isn't compiled."""
    pad_values: Mapping[str, float] = field(default_factory=dict)
    """By the name of each input that has buckets."""
    input_layouts: Mapping[str, str] = field(default_factory=dict)
    """What the dimensions mean to clients, by the name of each input of which the spec says it."""
    output_layouts: Mapping[str, str] = field(default_factory=dict)
    planes: tuple[Planes, ...] = ()
    """Inputs that together are pictures."""
    encoded: tuple[Encoded, ...] = ()
    """Inputs for which clients send files."""

    @property
    def variants(self) -> tuple[Any, ...]:
        """What is compiled, at least one."""
        return self.buckets or (self.model,)


def prepare_model(core: Any, path: Path, config: RuntimeConfig) -> PreparedModel:
    """Blocks while OpenVINO reads. Raises StartupError: ModelInvalid, InvalidInput, InvalidShape."""
    model = read_model(core, path, config.model.format)
    graph_inputs, graph_outputs = read_graph_names(path) if path.suffix == ".onnx" else ((), ())
    input_names = make_names(model.inputs, graph_inputs)
    output_names = make_names(model.outputs, graph_outputs)
    inputs = find_ports("inputs", [entry.name for entry in config.inputs], input_names)
    outputs = find_ports("outputs", [entry.name for entry in config.outputs], output_names)
    in_entries = dict(zip(inputs, config.inputs, strict=True))
    out_entries = dict(zip(outputs, config.outputs, strict=True))
    buckets: list[Any] = []
    for bucket in range(count_buckets(config.inputs)):
        clone = model.clone()
        reshape_inputs(clone, config.inputs, inputs, bucket)
        buckets.append(add_processing(clone, input_names, in_entries, out_entries).model)
    reshape_inputs(model, config.inputs, inputs)
    processed = add_processing(model, input_names, in_entries, out_entries)
    return PreparedModel(
        processed.model,
        processed.input_names,
        output_names,
        tuple(_find_narrowed(processed.model, processed.input_names)),
        buckets=tuple(sorted(buckets, key=_count_elements)),
        pad_values={
            input_names[at]: entry.pad_value for at, entry in in_entries.items() if entry.buckets is not None
        },
        input_layouts=processed.input_layouts,
        output_layouts={
            output_names[at]: layout for at, entry in out_entries.items() if (layout := _output_layout(entry))
        },
        planes=processed.planes,
        encoded=processed.encoded,
    )


def _output_layout(entry: Output) -> str | None:
    return entry.layout or (entry.model.layout if entry.model else None)


def _count_elements(model: Any) -> int:
    """Of all inputs with fixed shapes; one with another counts for nothing."""
    return sum(
        prod(port.get_partial_shape().to_shape())
        for port in model.inputs
        if port.get_partial_shape().is_static
    )


def _find_narrowed(model: Any, names: Sequence[str]) -> Iterator[str]:
    """Inputs of 64 bits that the plugins calculate with in 32; integers that are indices and tokens never get large."""
    for port, name in zip(model.inputs, names, strict=True):
        element_type = port.get_element_type().get_type_name()
        consumers = {target.get_node().get_type_name() for target in port.get_target_inputs()}
        if element_type in _LONG and (consumers & _ARITHMETIC or _comes_out(port)):
            yield (
                f"input {name!r} is {element_type} and calculated with, which OpenVINO does in 32 bits: values beyond "
                "2147483647 come out wrong"
            )
        if element_type == "f64" and consumers - {"Convert", "Result"}:
            yield f"input {name!r} is f64, which OpenVINO calculates with in f32: about 7 digits are right, up to 3.4e38"


def _comes_out(port: Any) -> bool:
    """Whether values of 64 bits go from an input to an output; an input that is an output itself is not touched."""
    ahead: list[Any] = [target.get_node() for target in port.get_target_inputs()]
    ahead = [node for node in ahead if node.get_type_name() != "Result"]
    seen: set[str] = set()
    while ahead:
        node = ahead.pop()
        if node.get_type_name() == "Result":
            return True
        for output in node.outputs():
            if output.get_element_type().get_type_name() in _LONG:
                nodes = {t.get_node().get_friendly_name(): t.get_node() for t in output.get_target_inputs()}
                ahead += [node for name, node in nodes.items() if name not in seen]
                seen |= nodes.keys()
    return False
