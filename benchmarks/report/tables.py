"""Markdown tables and numbers as people read them. Pure."""

import math
from collections.abc import Sequence

from benchmarks.figures import Figure

NONE = "-"


def make_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """The first column to the left, the others to the right."""
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def show_number(value: float | None, unit: str = "") -> str:
    """Three digits, or all before the point: 0.123, 1.23, 12.3, 1,234. Infinite is what a server that falls behind is."""
    if value is None:
        return NONE
    if math.isinf(value):
        return "fell behind"
    if abs(value) >= 100:
        return f"{value:,.0f}{unit}"
    return f"{value:.{1 if abs(value) >= 10 else 2 if abs(value) >= 1 else 3}f}{unit}"


def show_figure(figure: Figure | None, unit: str = "") -> str:
    """With the spread, where it is a percent or more: `1,234 ± 5%`."""
    if figure is None:
        return NONE
    spread = round(figure.spread * 100)
    return show_number(figure.value, unit) + (f" ± {spread}%" if spread else "")


def show_ratio(value: float | None) -> str:
    return NONE if value is None else f"{value:.2f}x" if value < 10 else f"{value:.0f}x"
