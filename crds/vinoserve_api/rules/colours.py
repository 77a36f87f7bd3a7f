"""Colour formats: what can be converted to what."""

from collections.abc import Iterator, Sequence

from vinoserve_api.fields import quoted
from vinoserve_api.problem import Problem
from vinoserve_api.rules.cel import CelRule
from vinoserve_api.rules.shapes import CLIENT_LAYOUT, ITEM, client_layout, fixed, lower, may_be
from vinoserve_api.v1alpha1 import CHANNELS, YUV_FORMATS, Input

#: From what clients send to what the model takes: what PrePostProcessor converts in a step or two (OpenVINO 2026.4.1, measured).
CONVERSIONS = {
    "RGB": ("RGB", "BGR", "GRAY"),
    "BGR": ("RGB", "BGR", "GRAY"),
    "RGBX": ("RGB", "BGR", "GRAY"),
    "BGRX": ("RGB", "BGR", "GRAY"),
    "GRAY": ("GRAY",),
    **dict.fromkeys(YUV_FORMATS, ("RGB", "BGR", "GRAY")),
}

COLOUR_ALONE = "colours are converted from client.colorFormat to model.colorFormat: set both"
COLOUR_LAYOUT = "colours need a layout that says which dimension is C; set layout, such as NCHW"
PADDED_LAYOUT = "RGBX and BGRX come with the channels last in four dimensions: set client.layout: NHWC"
GRAY_LAYOUT = "to become GRAY, pictures need a layout of four dimensions, such as NHWC"


def check_colours(tensor: Input) -> Iterator[Problem]:
    sent, taken = client_colour(tensor), _model_colour(tensor)
    if sent is None and taken is None:
        return
    if sent is None or taken is None:
        yield Problem("model.colorFormat" if sent is None else "client.colorFormat", COLOUR_ALONE)
        return
    if taken not in CONVERSIONS[sent]:
        from_these = [colour for colour, to in CONVERSIONS.items() if taken in to]
        yield Problem(
            "client.colorFormat",
            f"{sent} can't be converted to {taken}; {sent} becomes {_either(CONVERSIONS[sent])}, "
            f"and {taken} comes from {_either(from_these)}",
        )
        return
    layout = client_layout(tensor)
    if layout is None or "C" not in layout:
        yield Problem("layout", COLOUR_LAYOUT)
        return
    if sent in ("RGBX", "BGRX") and (len(layout) != 4 or layout[-1] != "C"):
        yield Problem("client.layout", PADDED_LAYOUT)
    elif sent != taken == "GRAY" and len(layout) != 4:
        yield Problem("client.layout", GRAY_LAYOUT)
    for path, shape, names, colour in (
        ("client.shape", tensor.client.shape if tensor.client else None, layout, sent),
        ("shape", tensor.shape, tensor.layout, taken),
    ):
        at = names.find("C") if names else -1
        if shape is not None and at >= 0 and not may_be(shape[at], CHANNELS[colour]):
            yield Problem(
                f"{path}[{at}]", f"{quoted(shape[at])}, but {colour} has {CHANNELS[colour]} channels"
            )


def client_colour(tensor: Input) -> str | None:
    return tensor.client.color_format if tensor.client else None


def _model_colour(tensor: Input) -> str | None:
    return tensor.model.color_format if tensor.model else None


def _either(words: Sequence[str]) -> str:
    return " or ".join((", ".join(words[:-1]), words[-1])) if len(words) > 1 else words[0]


# --- the same in CEL

_HAS_COLOURS = (
    "has(self.client) && has(self.client.colorFormat) && has(self.model) && has(self.model.colorFormat)"
)
_COUNTS = "{" + ", ".join(f"'{colour}': {count}" for colour, count in CHANNELS.items()) + "}"

CEL = (
    CelRule(
        ITEM,
        "(has(self.client) && has(self.client.colorFormat)) == (has(self.model) && has(self.model.colorFormat))",
        COLOUR_ALONE,
    ),
    CelRule(
        ITEM,
        f"!({_HAS_COLOURS}) || self.model.colorFormat in {{"
        + ", ".join(f"'{sent}': [{', '.join(repr(t) for t in taken)}]" for sent, taken in CONVERSIONS.items())
        + "}[self.client.colorFormat]",
        "GRAY stays GRAY; write model.colorFormat: GRAY, or send a colour",
        ".client.colorFormat",
    ),
    CelRule(
        ITEM,
        f"!({_HAS_COLOURS}) || has(self.layout) && self.layout.contains('C')",
        COLOUR_LAYOUT,
    ),
    CelRule(
        ITEM,
        f"!({_HAS_COLOURS}) || !(self.client.colorFormat in ['RGBX', 'BGRX']) || !has(self.layout)"
        f" || {CLIENT_LAYOUT}.matches('^...C$')",
        PADDED_LAYOUT,
        ".client.layout",
    ),
    CelRule(
        ITEM,
        f"!({_HAS_COLOURS}) || self.client.colorFormat == self.model.colorFormat || self.model.colorFormat != 'GRAY'"
        f" || !has(self.layout) || size({CLIENT_LAYOUT}) == 4",
        GRAY_LAYOUT,
        ".client.layout",
    ),
    *(
        CelRule(
            ITEM,
            f"!({_HAS_COLOURS}) || !has({shape}) || !has(self.layout) || size({shape}) != size({layout})"
            f" || !{layout}.contains('C') || [{shape}[{layout}.indexOf('C')]].all(c, !{fixed('c')}"
            f" || {lower('c')} == string({_COUNTS}[{colour}]))",
            "RGB and BGR have 3 channels, RGBX and BGRX 4, GRAY and the first of planes 1; write that number for C",
            shape.removeprefix("self"),
        )
        for shape, layout, colour in (
            ("self.shape", "self.layout", "self.model.colorFormat"),
            ("self.client.shape", CLIENT_LAYOUT, "self.client.colorFormat"),
        )
    ),
)
