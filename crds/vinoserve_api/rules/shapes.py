"""Sizes of dimensions and their layouts: what they allow, in Python and in CEL."""

from vinoserve_api.v1alpha1 import MAX_SIZE, YUV_FORMATS, Dimension, Input

PICTURE_LAYOUT = "NHWC"
"""Of pictures that don't come as plain tensors."""
REPEATED = "a letter of a layout stands for one dimension; use each once (? as often as needed)"


def bounds(dimension: Dimension) -> tuple[int, int]:
    """The smallest and the largest size, both included."""
    if isinstance(dimension, str):
        low, _, high = dimension.partition("..")
        return int(low), int(high)
    return (0, MAX_SIZE) if dimension == -1 else (dimension, dimension)


def is_fixed(dimension: Dimension) -> bool:
    low, high = bounds(dimension)
    return low == high


def may_be(dimension: Dimension, size: int) -> bool:
    low, high = bounds(dimension)
    return low <= size <= high


def is_repeated(layout: str | None) -> bool:
    letters = [letter for letter in layout or "" if letter != "?"]
    return len(set(letters)) < len(letters)


def has_planes(tensor: Input) -> bool:
    """Whether clients send pictures in NV12 or I420."""
    return tensor.client is not None and tensor.client.color_format in YUV_FORMATS


def is_encoded(tensor: Input) -> bool:
    """Whether clients send files."""
    return tensor.client is not None and tensor.client.encoding == "image"


def client_layout(tensor: Input) -> str | None:
    """The layout of what clients send; None where nobody says it."""
    said = tensor.client.layout if tensor.client else None
    return said or (PICTURE_LAYOUT if has_planes(tensor) or is_encoded(tensor) else tensor.layout)


# --- the same in CEL

#: Where the rules on an input are.
ITEM = "spec.model.inputs[]"
#: The layout of what clients send.
CLIENT_LAYOUT = (
    "(has(self.client.layout) ? self.client.layout"
    " : has(self.client.colorFormat) && self.client.colorFormat.contains('PLANE')"
    f" || has(self.client.encoding) && self.client.encoding == 'image' ? '{PICTURE_LAYOUT}' : self.layout)"
)
_FIXED = "(type({0}) == int ? int({0}) > 0 : string({0}).split('..')[0] == string({0}).split('..')[1])"
_LOWER = "(type({0}) == int ? string({0}) : string({0}).split('..')[0])"


def fixed(dimension: str) -> str:
    """CEL: whether the dimension that the expression names is fixed."""
    return _FIXED.format(dimension)


def lower(dimension: str) -> str:
    """CEL: the smallest size of a dimension, as text."""
    return _LOWER.format(dimension)
