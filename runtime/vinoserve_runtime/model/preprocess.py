"""Build what clients send into the graph: element type, colour, size, mean, scale, layout; and what they get likewise.

The order is the one of any picture pipeline: convert to f32, colour, resize, mean, scale, the model's layout, the model's type.
NV12 and I420 of u8 become a colour before they become f32, as cameras' drivers do it. Encoded pictures are decoded and
resized before they come to the graph, which a client's size would make dynamic.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from vinoserve_api.conditions import FailureReason
from vinoserve_api.v1alpha1 import Input, Output
from vinoserve_runtime.errors import StartupError
from vinoserve_runtime.model.entry import Entry, make_dimension_of
from vinoserve_runtime.model.planes import Planes, make_names, plane_shapes
from vinoserve_runtime.model.postprocess import OutputEntry
from vinoserve_runtime.ov import ov, unwrap_model, wrap_model
from vinoserve_runtime.ov_errors import explain

_RESIZE: Final = {"linear": "RESIZE_LINEAR", "cubic": "RESIZE_CUBIC", "nearest": "RESIZE_NEAREST"}


@dataclass(frozen=True)
class Encoded:
    """An input that takes pictures of u8, or of f32 where they are resized, NHWC, and gets them as JPEG and PNG files."""

    index: int
    color_format: str
    resize: str | None


@dataclass(frozen=True)
class Processed:
    """A graph with its processing in it, and the names of its inputs: a plane is an input of its own."""

    model: Any
    input_names: tuple[str, ...]
    input_layouts: Mapping[str, str]
    """What the dimensions mean to clients, by the name of each input of which that is said."""
    planes: tuple[Planes, ...] = ()
    encoded: tuple[Encoded, ...] = ()


def add_processing(
    model: Any, names: Sequence[str], inputs: Mapping[int, Input], outputs: Mapping[int, Output]
) -> Processed:
    """The model with every entry's processing in it. Raises InvalidInput or InvalidShape that name the field.

    `names`: of the model's inputs. `inputs` and `outputs`: the entries of the spec in its order, each by the index of what it
    is about.
    """
    entries = {
        at: Entry(number, entry, model.inputs[at]) for number, (at, entry) in enumerate(inputs.items())
    }
    busy = {at: entry for at, entry in entries.items() if entry.is_needed}
    results = {
        at: OutputEntry(number, entry, model.outputs[at])
        for number, (at, entry) in enumerate(outputs.items())
        if entry.element_type or entry.layout
    }
    if not busy and not results:
        return _name_inputs(model, names, entries)
    processor = ov.preprocess.PrePostProcessor(wrap_model(model))
    for at, entry in busy.items():
        entry.check()
        _add_input(entry, processor.input(at))
    for at, result in results.items():
        result.check()
        result.add_to(processor.output(at))
    try:
        built = unwrap_model(processor.build())
        return _name_inputs(built, names, entries)
    except RuntimeError as error:
        fields = [f"spec.model.inputs[{entry.number}]" for entry in busy.values()]
        fields += [f"spec.model.outputs[{result.number}]" for result in results.values()]
        raise StartupError(
            FailureReason.INVALID_INPUT,
            f"{', '.join(fields)}: can't be built into the model: {explain(error)}",
        ) from error


def _add_input(this: Entry, info: Any) -> None:
    client, entry = this.client, this.entry
    if this.layout:
        info.model().set_layout(ov.Layout(this.layout))
    tensor, steps = info.tensor(), info.preprocess()
    resizes = entry.resize is not None and not this.is_encoded
    if this.is_encoded:
        tensor.set_element_type(ov.Type.f32 if entry.resize else ov.Type.u8)
    elif client.element_type:
        tensor.set_element_type(getattr(ov.Type, client.element_type))
    if this.client_layout:
        tensor.set_layout(ov.Layout(this.client_layout))
    if this.has_planes:
        picture = [make_dimension_of(sizes) for sizes in this.picture_shape()]
        tensor.set_shape(ov.PartialShape([*picture, ov.Dimension(1)]))
    elif client.shape is not None:
        tensor.set_shape(this.sent_shape())
    elif resizes:
        tensor.set_spatial_dynamic_shape()
    colors = this.color_steps
    if this.from_color and colors:
        tensor.set_color_format(getattr(ov.preprocess.ColorFormat, this.from_color))
    is_early = this.has_planes and client.element_type == "u8"
    if not is_early and (colors or entry.resize or entry.mean or entry.scale):
        steps.convert_element_type(ov.Type.f32)
    for color in colors:
        steps.convert_color(getattr(ov.preprocess.ColorFormat, color))
    if is_early:
        steps.convert_element_type(ov.Type.f32)
    if resizes and entry.resize:
        steps.resize(getattr(ov.preprocess.ResizeAlgorithm, _RESIZE[entry.resize]))
    if entry.mean:
        steps.mean(list(entry.mean))
    if entry.scale:
        steps.scale(list(entry.scale))


def _name_inputs(model: Any, names: Sequence[str], entries: Mapping[int, Entry]) -> Processed:
    """OpenVINO puts planes where their input was, in order (measured); their sizes are narrowed to those that fit."""
    own: list[str] = []
    layouts: dict[str, str] = {}
    planes: list[Planes] = []
    encoded: list[Encoded] = []
    narrowed: dict[int, Any] = {}
    for at, name in enumerate(names):
        entry, first = entries.get(at), len(own)
        if entry is not None and entry.has_planes:
            color_format = str(entry.from_color)
            planes.append(Planes(first, color_format))
            own += make_names(name, color_format)
            for number, shape in enumerate(plane_shapes(color_format, *entry.picture_shape()), start=first):
                narrowed[number] = ov.PartialShape([make_dimension_of(sizes) for sizes in shape])
        else:
            own.append(name)
        if entry is not None and entry.is_encoded:
            encoded.append(Encoded(first, str(entry.from_color), entry.entry.resize))
        if entry is not None and entry.client_layout:
            layouts |= dict.fromkeys(own[first:], entry.client_layout)
    if twice := [name for name in own if own.count(name) > 1]:
        raise StartupError(
            FailureReason.INVALID_INPUT,
            f"spec.model.inputs: the planes of one input have the name of another, {twice[0]!r}; send it in a single plane",
        )
    if narrowed:
        model.reshape(narrowed)
    return Processed(model, tuple(own), layouts, tuple(planes), tuple(encoded))
