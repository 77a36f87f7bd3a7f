"""Quantities that are more than nothing."""

from collections.abc import Iterator
from typing import Final

from vinoserve_api.fields import quoted
from vinoserve_api.problem import Problem
from vinoserve_api.quantity import quantity_value
from vinoserve_api.rules.cel import CelRule

POSITIVE: Final = "must be more than 0"
MILLI_BYTES: Final = "thousandths of a byte (m); write Mi for mebibytes"

QUANTITY: Final = "(isQuantity(string({0})) ? quantity(string({0})) : quantity('1Ki'))"
"""CEL of a quantity, {0}; what is none is refused elsewhere."""


def check_amount(path: str, quantity: str | int | None, *, in_bytes: bool) -> Iterator[Problem]:
    if quantity is None:
        return
    if quantity_value(quantity) <= 0:
        yield Problem(path, f"{quoted(quantity)} {POSITIVE}")
    elif in_bytes and str(quantity).endswith("m"):
        yield Problem(path, f"{quoted(quantity)} is {MILLI_BYTES}")


def make_amount_rules(at: str, *, in_bytes: bool) -> Iterator[CelRule]:
    """The same in CEL."""
    yield CelRule(at, f"{QUANTITY.format('self')}.isGreaterThan(quantity('0'))", POSITIVE)
    if in_bytes:
        yield CelRule(at, "!string(self).endsWith('m')", f"is {MILLI_BYTES}")
