"""One entry of `spec.model.inputs` beside the input of the model that it is about: what is asked for, and whether it can be."""

from collections.abc import Sequence
from typing import Any, Final, NoReturn

from vinoserve_api.conditions import FailureReason
from vinoserve_api.v1alpha1 import CHANNELS, YUV_FORMATS, ClientTensor, Dimension, Input
from vinoserve_runtime.errors import StartupError
from vinoserve_runtime.model.planes import Range, make_even, picture_rows, plane_rows
from vinoserve_runtime.model.reshape import make_partial_shape, show_shape
from vinoserve_runtime.ov import ov

#: What converts to what, by way of which formats; OpenVINO has the single steps only. GRAY of NV12 and I420 is the plane of
#: brightness as it comes.
COLOR_STEPS: Final[dict[tuple[str, str], tuple[str, ...]]] = {
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
    **{(yuv, to): (to,) for yuv in YUV_FORMATS for to in ("RGB", "BGR", "GRAY")},
}
PICTURE_LAYOUT: Final = "NHWC"


class Entry:
    """`number`: of the entry. `shape`: the model's input, reshaped. Pure."""

    def __init__(self, number: int, entry: Input, port: Any) -> None:
        self.number = number
        self.entry = entry
        self.client = entry.client or ClientTensor()
        self.shape = port.get_partial_shape()
        self.is_text = port.get_element_type() == ov.Type.string
        self.layout = entry.layout or layout_text(port.get_node().get_layout())
        self.is_encoded = self.client.encoding == "image"
        self.from_color = self.client.color_format or ("RGB" if self.is_encoded else None)
        self.to_color = (entry.model and entry.model.color_format) or self.from_color
        self.has_planes = self.from_color in YUV_FORMATS
        self.client_layout = self.client.layout or self.layout
        if self.is_encoded or self.has_planes:
            self.client_layout = PICTURE_LAYOUT

    @property
    def is_needed(self) -> bool:
        entry = self.entry
        return any(part is not None for part in (entry.client, entry.resize, entry.mean, entry.scale))

    @property
    def color_steps(self) -> tuple[str, ...]:
        if self.from_color is None or self.to_color is None or self.from_color == self.to_color:
            return ()
        return COLOR_STEPS[self.from_color, self.to_color]

    def sent_shape(self) -> Any:
        """`client.shape`, which must be there, with the channels that the colour has."""
        shape = make_partial_shape(self.client.shape or ())
        at = self.client_layout.find("C")
        if self.from_color and at >= 0 and shape[at].compatible(ov.Dimension(CHANNELS[self.from_color])):
            shape[at] = ov.Dimension(CHANNELS[self.from_color])
        return shape

    def picture_shape(self) -> tuple[Range, Range, Range]:
        """Batch, height and width of the pictures whose planes clients send; height and width are even."""
        shape = self.client.shape
        batch, height, width = (self._range_of(letter) for letter in "NHW")
        if shape is not None:
            batch, height, width = _range(shape[0]), _range(shape[1]), _range(shape[2])
            height = picture_rows(str(self.from_color), height)
        elif self.entry.resize:
            height = width = (2, None)
        return batch, self._even("H", height), self._even("W", width)

    def check(self) -> None:
        """Raises InvalidInput or InvalidShape that name the field, what the model has, and what would be right."""
        entry, client = self.entry, self.client
        for field, value in (
            ("client", entry.client),
            ("resize", entry.resize),
            ("mean", entry.mean),
            ("scale", entry.scale),
        ):
            if self.is_text and value is not None:
                self._refuse(
                    field, "the model's input is text (BYTES), which is taken as it is; leave it out"
                )
        if entry.layout and self.shape.rank.is_static and self.shape.rank.get_length() != len(entry.layout):
            self._refuse(
                "layout",
                f"{entry.layout} has {len(entry.layout)} letters, the model's input has {show_shape(self.shape)}",
                shape=True,
            )
        if client.layout and not self.layout:
            self._refuse("layout", f"missing: say the model's layout, as client.layout is {client.layout}")
        if (self.is_encoded or self.has_planes) and sorted(self.layout) != sorted(PICTURE_LAYOUT):
            what = "client.encoding image" if self.is_encoded else self.from_color
            self._refuse(
                "layout",
                f"{self.layout or 'missing'}: {what} needs the model's layout, of the letters N, C, H and W, such as NCHW",
            )
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

    def _even(self, letter: str, sizes: Range) -> Range:
        even = make_even(sizes)
        if even is None:
            shape = self.client.shape
            self._refuse(
                "shape" if shape is None else "client.shape",
                f"{self.from_color} takes pictures of even height and width, and no {letter} is even in "
                f"{show_shape(self.shape) if shape is None else list(shape)}; write even sizes"
                + ("" if self.entry.resize else ", or say resize"),
                shape=True,
            )
        return even

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
        if self.to_color in YUV_FORMATS:
            self._refuse("model.colorFormat", f"missing: say what {self.from_color} becomes, such as RGB")
        if "C" not in self.client_layout:
            self._refuse("client.layout", "missing: a colour format needs a layout with C, such as NHWC")
        if self.from_color != self.to_color and (self.from_color, self.to_color) not in COLOR_STEPS:
            possible = ", ".join(to for source, to in COLOR_STEPS if source == self.from_color) or "nothing"
            self._refuse(
                "model.colorFormat",
                f"{self.from_color} can't be converted to {self.to_color}, only to {possible}",
            )
        channels = self._size_of("C")
        if channels is not None and channels != CHANNELS[self.to_color]:
            self._refuse(
                "model.colorFormat",
                f"{self.to_color} has {CHANNELS[self.to_color]} channels, the model's input has {channels}: "
                f"{show_shape(self.shape)} ({self.layout})",
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
        sent = self.sent_shape()
        for at, letter in enumerate(self.client_layout):
            own = self._size_of(letter)
            if letter == "C" and self.from_color:
                own = CHANNELS[self.from_color]
            if letter == "H" and self.has_planes and own is not None:
                own = plane_rows(str(self.from_color), own)
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
        low, high = self._range_of(letter)
        return low if low == high else None

    def _range_of(self, letter: str) -> Range:
        """The model's sizes of a dimension; all where it isn't named."""
        if (
            letter not in self.layout
            or self.shape.rank.is_dynamic
            or self.shape.rank.get_length() != len(self.layout)
        ):
            return 0, None
        dimension = self.shape[self.layout.index(letter)]
        high = int(dimension.get_max_length())
        return int(dimension.get_min_length()), None if high < 0 or high >= 2**31 - 1 else high

    def _refuse(self, field: str, why: str, *, shape: bool = False) -> NoReturn:
        reason = FailureReason.INVALID_SHAPE if shape else FailureReason.INVALID_INPUT
        raise StartupError(reason, f"spec.model.inputs[{self.number}].{field}: {why}")


def layout_text(layout: Any) -> str:
    """A layout that a model file carries, as `NCHW`; empty where it carries none or one with `...`."""
    text = str(layout).strip("[]").replace(",", "")
    return text if text and "." not in text and layout != ov.Layout() else ""


def make_dimension_of(sizes: Range) -> Any:
    low, high = sizes
    return ov.Dimension(low, -1 if high is None else high)


def _range(dimension: Dimension) -> Range:
    if isinstance(dimension, str):
        low, _, high = dimension.partition("..")
        return int(low), int(high)
    return (0, None) if dimension == -1 else (dimension, dimension)
