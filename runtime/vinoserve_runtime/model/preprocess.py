"""Build what clients send into the graph: element type, colour, size, mean, scale, layout.

The order is the one of any picture pipeline: convert to f32, colour, resize, mean, scale, the model's layout, the model's type.
"""

from collections.abc import Sequence
from typing import Any, Final

from vinoserve_api.conditions import FailureReason
from vinoserve_api.v1alpha1 import CHANNELS, ClientTensor, Input, Output
from vinoserve_runtime.errors import StartupError
from vinoserve_runtime.model.reshape import make_partial_shape, show_shape
from vinoserve_runtime.ov import ov, unwrap_model, wrap_model
from vinoserve_runtime.ov_errors import explain

#: What converts to what, by way of which formats; OpenVINO has the single steps only.
_COLOR_STEPS: Final[dict[tuple[str, str], tuple[str, ...]]] = {
    ("RGB", "BGR"): ("BGR",),
    ("RGB", "GRAY"): ("GRAY",),
    ("BGR", "RGB"): ("RGB",),
    ("BGR", "GRAY"): ("GRAY",),
    ("RGBX", "RGB"): ("RGB",),
    ("RGBX", "BGR"): ("BGR",),
    ("RGBX", "GRAY"): ("RGB", "GRAY"),
    ("BGRX", "RGB"): ("RGB",),
    ("BGRX", "BGR"): ("BGR",),
    ("BGRX", "GRAY"): ("BGR", "GRAY"),
}
_RESIZE: Final = {"linear": "RESIZE_LINEAR", "cubic": "RESIZE_CUBIC", "nearest": "RESIZE_NEAREST"}


def add_processing(
    model: Any,
    inputs: Sequence[Input],
    in_at: Sequence[int],
    outputs: Sequence[Output],
    out_at: Sequence[int],
) -> Any:
    """The model with every entry's processing in it. Raises InvalidInput or InvalidShape that name the field."""
    steps = [
        _Entry(number, entry, model.inputs[at])
        for number, (entry, at) in enumerate(zip(inputs, in_at, strict=True))
    ]
    busy = [(at, step) for at, step in zip(in_at, steps, strict=True) if step.is_needed]
    converted = [
        (number, at, out.element_type)
        for number, (out, at) in enumerate(zip(outputs, out_at, strict=True))
        if out.element_type is not None
    ]
    if not busy and not converted:
        return model
    processor = ov.preprocess.PrePostProcessor(wrap_model(model))
    for at, step in busy:
        step.add_to(processor.input(at))
    for _, at, element_type in converted:
        processor.output(at).tensor().set_element_type(getattr(ov.Type, element_type))
    try:
        return unwrap_model(processor.build())
    except RuntimeError as error:
        fields = [f"spec.model.inputs[{step.number}]" for _, step in busy]
        fields += [f"spec.model.outputs[{number}]" for number, _, _ in converted]
        raise StartupError(
            FailureReason.INVALID_INPUT,
            f"{', '.join(fields)}: can't be built into the model: {explain(error)}",
        ) from error


class _Entry:
    """One entry of spec.model.inputs beside the input that it is about."""

    def __init__(self, number: int, entry: Input, port: Any) -> None:
        self.number = number
        self.entry = entry
        self.client = entry.client or ClientTensor()
        self.shape = port.get_partial_shape()
        own = port.get_node().get_layout()
        self.layout = entry.layout or _layout_text(own)
        self.client_layout = self.client.layout or self.layout
        self.from_color = self.client.color_format
        self.to_color = (entry.model and entry.model.color_format) or self.from_color

    @property
    def is_needed(self) -> bool:
        entry = self.entry
        return any(part is not None for part in (entry.client, entry.resize, entry.mean, entry.scale))

    def add_to(self, info: Any) -> None:
        self._check()
        client, entry = self.client, self.entry
        if self.layout:
            info.model().set_layout(ov.Layout(self.layout))
        tensor, steps = info.tensor(), info.preprocess()
        if client.element_type:
            tensor.set_element_type(getattr(ov.Type, client.element_type))
        if self.client_layout:
            tensor.set_layout(ov.Layout(self.client_layout))
        if client.shape is not None:
            tensor.set_shape(make_partial_shape(client.shape))
        elif entry.resize:
            tensor.set_spatial_dynamic_shape()
        converts = self.from_color != self.to_color
        if self.from_color and converts:
            tensor.set_color_format(getattr(ov.preprocess.ColorFormat, self.from_color))
        if converts or entry.resize or entry.mean or entry.scale:
            steps.convert_element_type(ov.Type.f32)
        for color in self._color_steps():
            steps.convert_color(getattr(ov.preprocess.ColorFormat, color))
        if entry.resize:
            steps.resize(getattr(ov.preprocess.ResizeAlgorithm, _RESIZE[entry.resize]))
        if entry.mean:
            steps.mean(list(entry.mean))
        if entry.scale:
            steps.scale(list(entry.scale))

    def _color_steps(self) -> tuple[str, ...]:
        if self.from_color is None or self.to_color is None or self.from_color == self.to_color:
            return ()
        return _COLOR_STEPS[self.from_color, self.to_color]

    def _check(self) -> None:
        entry, client = self.entry, self.client
        if entry.layout and self.shape.rank.is_static and self.shape.rank.get_length() != len(entry.layout):
            self._refuse(
                "layout",
                f"{entry.layout} has {len(entry.layout)} letters, the model's input has {show_shape(self.shape)}",
                shape=True,
            )
        if client.layout and not self.layout:
            self._refuse("layout", f"missing: say the model's layout, as client.layout is {client.layout}")
        for letter in ("H", "W"):
            if entry.resize and letter not in self.client_layout:
                self._refuse(
                    "resize",
                    f"needs layouts with H and W, not {self.client_layout or 'none'}: say layout, such as NCHW",
                )
        for field, values in (("mean", entry.mean), ("scale", entry.scale)):
            self._check_channels(field, values)
        if entry.model and entry.model.color_format and self.from_color is None:
            self._refuse(
                "client.colorFormat",
                f"missing: the model wants {self.to_color}; say what clients send, such as RGB",
            )
        self._check_color()
        self._check_client_shape()
        if entry.resize:
            self._check_resize()

    def _check_channels(self, field: str, values: Sequence[float] | None) -> None:
        if not values or len(values) == 1:
            return
        if "C" not in self.client_layout:
            self._refuse(
                field,
                f"{len(values)} numbers need a layout with C; say layout, such as NCHW, or write one number",
            )
        channels = self._size_of("C")
        if channels is not None and channels != len(values):
            self._refuse(
                field,
                f"{len(values)} numbers, but the model has {channels} channels; write {channels} numbers, or one",
            )

    def _check_color(self) -> None:
        if self.from_color is None or self.to_color is None:
            return
        if "C" not in self.client_layout:
            self._refuse("client.layout", "missing: a colour format needs a layout with C, such as NHWC")
        if self.from_color != self.to_color and (self.from_color, self.to_color) not in _COLOR_STEPS:
            possible = ", ".join(to for source, to in _COLOR_STEPS if source == self.from_color) or "nothing"
            self._refuse(
                "model.colorFormat",
                f"{self.from_color} can't be converted to {self.to_color}, only to {possible}",
            )
        channels = self._size_of("C")
        if channels is not None and channels != CHANNELS[self.to_color]:
            self._refuse(
                "model.colorFormat",
                f"{self.to_color} has {CHANNELS[self.to_color]} channels, the model's input has {channels}: {show_shape(self.shape)} ({self.layout})",
            )

    def _check_client_shape(self) -> None:
        shape = self.client.shape
        if shape is None:
            return
        if self.client_layout and len(shape) != len(self.client_layout):
            self._refuse(
                "client.shape",
                f"{len(shape)} dimensions, but the layout {self.client_layout} has {len(self.client_layout)}",
                shape=True,
            )
        if (
            not self.client_layout
            and self.shape.rank.is_static
            and len(shape) != self.shape.rank.get_length()
        ):
            self._refuse(
                "client.shape",
                f"{len(shape)} dimensions, but the model's input has {show_shape(self.shape)}",
                shape=True,
            )
        sent = make_partial_shape(shape)
        for at, letter in enumerate(self.client_layout):
            own = self._size_of(letter)
            if letter == "C" and self.from_color:
                own = CHANNELS[self.from_color]
            if own is None or (self.entry.resize and letter in "HW"):
                continue
            if not sent[at].compatible(ov.Dimension(own)):
                hint = "; say resize where it shall be resized" if letter in "HW" else ""
                self._refuse(
                    "client.shape",
                    f"{letter} is {shape[at]}, the model takes {own}: {show_shape(self.shape)} ({self.layout}){hint}",
                    shape=True,
                )
            if letter not in "HW" and sent[at].is_dynamic:
                self._refuse(
                    "client.shape",
                    f"{letter} is {shape[at]}, but the model takes {own} alone: write {own}, or give the model that shape too",
                    shape=True,
                )

    def _check_resize(self) -> None:
        for letter in "HW":
            if self._size_of(letter) is None:
                self._refuse(
                    "resize",
                    f"the model's {letter} is not fixed: {show_shape(self.shape)}; give it a shape, such as [1, 3, 224, 224]",
                )

    def _size_of(self, letter: str) -> int | None:
        """The model's size of a dimension, None where it isn't fixed or not named."""
        if (
            letter not in self.layout
            or self.shape.rank.is_dynamic
            or self.shape.rank.get_length() != len(self.layout)
        ):
            return None
        dimension = self.shape[self.layout.index(letter)]
        return int(dimension.get_length()) if dimension.is_static else None

    def _refuse(self, field: str, why: str, *, shape: bool = False) -> None:
        reason = FailureReason.INVALID_SHAPE if shape else FailureReason.INVALID_INPUT
        raise StartupError(reason, f"spec.model.inputs[{self.number}].{field}: {why}")


def _layout_text(layout: Any) -> str:
    """A layout that a model file carries, as `NCHW`; empty where it carries none or one with `...`."""
    text = str(layout).strip("[]").replace(",", "")
    return text if text and "." not in text and layout != ov.Layout() else ""
