"""Kubernetes quantities (`64Mi`, `1500m`, `2`)."""

import re
from decimal import ROUND_CEILING, Decimal

QUANTITY_PATTERN = r"^[0-9]{1,15}(\.[0-9]{1,9})?(m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei|[eE][0-9]{1,2})?$"

_DECIMAL = {"": 0, "m": -3, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BINARY = {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50, "Ei": 60}


def quantity_value(text: str | int) -> Decimal:
    """The exact number that a quantity stands for.

    Raises ValueError that says what a quantity looks like.
    """
    found = re.fullmatch(r"([0-9]{1,15}(?:\.[0-9]{1,9})?)([a-zA-Z]*|[eE][0-9]{1,2})", str(text))
    if not found:
        raise ValueError(f"not a quantity: {text!r}; write a number with a unit, such as 64Mi or 2Gi")
    number, unit = Decimal(found[1]), found[2]
    if unit in _BINARY:
        return number * (1 << _BINARY[unit])
    if unit in _DECIMAL:
        return number.scaleb(_DECIMAL[unit])
    if unit[1:].isdigit():
        return number.scaleb(int(unit[1:]))
    raise ValueError(f"unknown unit {unit!r} in quantity {text!r}; units are m k M G T P E Ki Mi Gi Ti Pi Ei")


def parse_quantity(text: str | int) -> int:
    """A quantity as a whole number of its unit (bytes, requests), rounded up as Kubernetes does.

    Raises ValueError that says what a quantity looks like.
    """
    return int(quantity_value(text).to_integral_value(ROUND_CEILING))
