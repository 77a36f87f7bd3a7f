from decimal import Decimal

import pytest

from vinoserve_api.quantity import parse_quantity, quantity_value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("64Mi", 64 * 2**20), ("2Gi", 2**31), ("1k", 1000), ("1500m", Decimal("1.5")), (7, 7), ("0.5Ki", 512), ("1e3", 1000),
        ("1E3", 1000), ("1E", 10**18), ("2", 2),
    ],
)  # fmt: skip
def test_value(text: str | int, value: int | Decimal) -> None:
    assert quantity_value(text) == value


def test_whole_numbers_are_rounded_up() -> None:
    """As Kubernetes does: 1500m of memory are 2 bytes."""
    assert parse_quantity("1500m") == 2


@pytest.mark.parametrize("text", ["", "Gi", "1 Gi", "2GB", "2gb", "-1", "1e", "1.5.2", "٣"])
def test_not_a_quantity(text: str) -> None:
    with pytest.raises(ValueError, match="quantity"):
        quantity_value(text)
