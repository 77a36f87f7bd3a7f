"""Pictures that don't come as plain tensors: in planes (NV12, I420), or encoded as JPEG and PNG files."""

from collections.abc import Iterator

from vinoserve_api.fields import quoted
from vinoserve_api.problem import Problem
from vinoserve_api.rules.cel import CelRule
from vinoserve_api.rules.shapes import (
    ITEM,
    PICTURE_LAYOUT,
    bounds,
    fixed,
    has_planes,
    is_encoded,
    is_fixed,
    lower,
    may_be,
)
from vinoserve_api.v1alpha1 import ClientTensor, Input

ENCODED_TYPES = ("u8",)
ENCODED_COLOURS = ("RGB", "BGR", "GRAY")
PLANE_TYPES = ("u8", "f16", "f32")

MODEL_LAYOUT = "pictures in planes or files become N, C, H and W of the model: set layout to its order of them, such as NCHW"
PICTURES_LAYOUT = f"pictures in planes or files are {PICTURE_LAYOUT}; write that, or leave it out"
ENCODED_TYPE = "decoded pictures are u8; write that, or leave it out"
ENCODED_SHAPE = "files say their pictures' sizes, and clients send one BYTES element a picture; leave it out"
ENCODED_COLOUR = "decoded pictures are RGB, BGR or GRAY; write one of them"
ENCODED_CHANNELS = "pictures are decoded to RGB, of 3 channels, where no colour is said; set client.colorFormat and model.colorFormat"
PLANE_TYPE = "planes are u8, f16 or f32; write one of them, u8 for what cameras send"
SINGLE_PLANE_SIZE = "a single plane has H * 3/2 rows of an even H, and an even width; write such sizes"
PLANES_SIZE = "pictures in planes have an even height and width; write even sizes"
SINGLE_PLANE_ROWS = "a single plane has 3/2 of the model's rows; write H * 3/2, or set resize"
EVEN_MODEL = "pictures in planes have an even height and width; write even sizes, or set resize"


def check_pictures(tensor: Input) -> Iterator[Problem]:
    client = tensor.client
    if client is None or not (is_encoded(tensor) or has_planes(tensor)):
        return
    if tensor.layout is None or sorted(tensor.layout) != sorted(PICTURE_LAYOUT):
        yield Problem("layout", MODEL_LAYOUT)
        return
    if client.layout not in (None, PICTURE_LAYOUT):
        yield Problem("client.layout", f"{quoted(client.layout)}: {PICTURES_LAYOUT}")
        return
    if is_encoded(tensor):
        yield from _check_encoded(tensor, client)
    else:
        yield from _check_planes(tensor, client)


def _check_encoded(tensor: Input, client: ClientTensor) -> Iterator[Problem]:
    if client.element_type not in (None, *ENCODED_TYPES):
        yield Problem("client.elementType", ENCODED_TYPE)
    if client.shape is not None:
        yield Problem("client.shape", ENCODED_SHAPE)
    if client.color_format not in (None, *ENCODED_COLOURS):
        yield Problem("client.colorFormat", f"{client.color_format}: {ENCODED_COLOUR}")
    if client.color_format is None and tensor.shape is not None and tensor.layout:
        at = tensor.layout.index("C")
        if not may_be(tensor.shape[at], 3):
            yield Problem(f"shape[{at}]", f"{quoted(tensor.shape[at])}: {ENCODED_CHANNELS}")


def _check_planes(tensor: Input, client: ClientTensor) -> Iterator[Problem]:
    if client.element_type not in (None, *PLANE_TYPES):
        yield Problem("client.elementType", PLANE_TYPE)
    single = is_single_plane(tensor)
    if client.shape is not None:
        for at, divisor in ((1, 3 if single else 2), (2, 2)):
            if is_fixed(client.shape[at]) and bounds(client.shape[at])[0] % divisor:
                yield Problem(
                    f"client.shape[{at}]",
                    f"{quoted(client.shape[at])}: {SINGLE_PLANE_SIZE if single else PLANES_SIZE}",
                )
    if tensor.resize is not None or tensor.shape is None or tensor.layout is None:
        return
    for letter in "HW":
        at = tensor.layout.index(letter)
        if is_fixed(tensor.shape[at]) and bounds(tensor.shape[at])[0] % 2:
            yield Problem(f"shape[{at}]", f"{quoted(tensor.shape[at])}: {EVEN_MODEL}")
    rows = tensor.shape[tensor.layout.index("H")]
    if single and client.shape is not None and is_fixed(rows):
        sent = client.shape[1]
        if not is_fixed(sent) or bounds(sent)[0] * 2 != bounds(rows)[0] * 3:
            yield Problem("client.shape[1]", f"{quoted(sent)}: {SINGLE_PLANE_ROWS}")


def is_single_plane(tensor: Input) -> bool:
    return has_planes(tensor) and "SINGLE" in str(tensor.client and tensor.client.color_format)


# --- the same in CEL

_ENCODED = "has(self.client) && has(self.client.encoding) && self.client.encoding == 'image'"
_PLANES = "has(self.client) && has(self.client.colorFormat) && self.client.colorFormat.contains('PLANE')"
_SINGLE = "self.client.colorFormat.contains('SINGLE')"
_MODEL_H = "self.shape[self.layout.indexOf('H')]"


def _unless(condition: str, rule: str) -> str:
    return f"!({condition}) || {rule}"


def _one_of(field: str, words: tuple[str, ...]) -> str:
    return f"!has({field}) || {field} in [{', '.join(map(repr, words))}]"


def _divisible(dimension: str, divisor: str) -> str:
    return f"(!{fixed(dimension)} || int({lower(dimension)}) % {divisor} == 0)"


CEL = (
    CelRule(
        ITEM,
        _unless(
            f"{_ENCODED} || {_PLANES}",
            "has(self.layout) && size(self.layout) == 4 && ['N', 'C', 'H', 'W'].all(l, self.layout.contains(l))",
        ),
        MODEL_LAYOUT,
        ".layout",
    ),
    CelRule(
        ITEM,
        _unless(f"{_ENCODED} || {_PLANES}", _one_of("self.client.layout", (PICTURE_LAYOUT,))),
        PICTURES_LAYOUT,
        ".client.layout",
    ),
    CelRule(
        ITEM,
        _unless(_ENCODED, _one_of("self.client.elementType", ENCODED_TYPES)),
        ENCODED_TYPE,
        ".client.elementType",
    ),
    CelRule(ITEM, _unless(_ENCODED, "!has(self.client.shape)"), ENCODED_SHAPE, ".client.shape"),
    CelRule(
        ITEM,
        _unless(_ENCODED, _one_of("self.client.colorFormat", ENCODED_COLOURS)),
        ENCODED_COLOUR,
        ".client.colorFormat",
    ),
    CelRule(
        ITEM,
        _unless(
            _ENCODED,
            "has(self.client.colorFormat) || !has(self.shape) || !has(self.layout) || size(self.shape) != size(self.layout)"
            " || !self.layout.contains('C')"
            f" || [self.shape[self.layout.indexOf('C')]].all(c, !{fixed('c')} || {lower('c')} == '3')",
        ),
        ENCODED_CHANNELS,
        ".shape",
    ),
    CelRule(
        ITEM,
        _unless(_PLANES, _one_of("self.client.elementType", PLANE_TYPES)),
        PLANE_TYPE,
        ".client.elementType",
    ),
    CelRule(
        ITEM,
        _unless(
            f"{_PLANES} && {_SINGLE}",
            "!has(self.client.shape) || size(self.client.shape) != 4"
            f" || {_divisible('self.client.shape[1]', '3')} && {_divisible('self.client.shape[2]', '2')}",
        ),
        SINGLE_PLANE_SIZE,
        ".client.shape",
    ),
    CelRule(
        ITEM,
        _unless(
            f"{_PLANES} && !{_SINGLE}",
            "!has(self.client.shape) || size(self.client.shape) != 4"
            f" || {_divisible('self.client.shape[1]', '2')} && {_divisible('self.client.shape[2]', '2')}",
        ),
        PLANES_SIZE,
        ".client.shape",
    ),
    CelRule(
        ITEM,
        _unless(
            f"{_PLANES} && !has(self.resize)",
            "!has(self.shape) || !has(self.layout) || size(self.shape) != size(self.layout)"
            " || ['H', 'W'].all(l, !self.layout.contains(l) || [self.shape[self.layout.indexOf(l)]].all(d, "
            + _divisible("d", "2")
            + "))",
        ),
        EVEN_MODEL,
        ".shape",
    ),
    CelRule(
        ITEM,
        _unless(
            f"{_PLANES} && {_SINGLE} && !has(self.resize)",
            "!has(self.client.shape) || size(self.client.shape) != 4 || !has(self.shape) || size(self.shape) != 4"
            " || !has(self.layout) || size(self.layout) != 4 || !self.layout.contains('H')"
            f" || !{fixed(_MODEL_H)} || {fixed('self.client.shape[1]')}"
            f" && int({lower('self.client.shape[1]')}) * 2 == int({lower(_MODEL_H)}) * 3",
        ),
        SINGLE_PLANE_ROWS,
        ".client.shape",
    ),
)
