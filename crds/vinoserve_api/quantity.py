"""Kubernetes quantities (`64Mi`, `1500m`, `2`)."""

import re
from decimal import ROUND_CEILING, Decimal

QUANTITY_PATTERN = r"^[0-9]+(\.[0-9]{1,9})?(m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei|e[0-9]{1,2})?$"

_DECIMAL = {"": 0, "m": -3, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BINARY = {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50, "Ei": 60}


def parse_quantity(text: str | int) -> int:
    """A quantity as a whole number of its unit (bytes, requests), rounded up as Kubernetes does.

    Raises ValueError that says what a quantity looks like.
    """
    found = re.fullmatch(r"([0-9]+(?:\.[0-9]{1,9})?)([a-zA-Z]*|e[0-9]{1,2})", str(text))
    if not found:
        raise ValueError(f"not a quantity: {text!r}; write a number with a unit, such as 64Mi or 2Gi")
    number, unit = Decimal(found[1]), found[2]
    if unit in _BINARY:
        number *= 1 << _BINARY[unit]
    elif unit in _DECIMAL:
        number = number.scaleb(_DECIMAL[unit])
    elif unit[:1] == "e" and unit[1:].isdigit():
        number = number.scaleb(int(unit[1:]))
    else:
        raise ValueError(
            f"unknown unit {unit!r} in quantity {text!r}; units are m k M G T P E Ki Mi Gi Ti Pi Ei"
        )
    return int(number.to_integral_value(ROUND_CEILING))
