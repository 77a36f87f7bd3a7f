"""Sizes of dimensions: what they allow, in Python and in CEL."""

from vinoserve_api.v1alpha1 import MAX_SIZE, Dimension


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


# --- the same in CEL

#: Where the rules on an input are.
ITEM = "spec.model.inputs[]"
#: The layout of what clients send.
CLIENT_LAYOUT = "(has(self.client.layout) ? self.client.layout : self.layout)"
_FIXED = "(type({0}) == int ? int({0}) > 0 : string({0}).split('..')[0] == string({0}).split('..')[1])"
_LOWER = "(type({0}) == int ? string({0}) : string({0}).split('..')[0])"


def fixed(dimension: str) -> str:
    """CEL: whether the dimension that the expression names is fixed."""
    return _FIXED.format(dimension)


def lower(dimension: str) -> str:
    """CEL: the smallest size of a dimension, as text."""
    return _LOWER.format(dimension)
