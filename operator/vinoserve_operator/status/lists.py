"""Lists as messages and statuses have them."""

from collections.abc import Iterable, Sequence


def name_some(items: Sequence[str], most: int, of: str = "") -> str:
    """The first `most` of them, and how many `of` that kind there are more: "a, b and 3 more nodes"."""
    more = f" and {len(items) - most} more{of}" if len(items) > most else ""
    return ", ".join(items[:most]) + more


def unite(lists: Iterable[Iterable[str]]) -> tuple[str, ...]:
    """All that is in any of the lists, once, in the order of the first that has it."""
    return tuple(dict.fromkeys(item for items in lists for item in items))
