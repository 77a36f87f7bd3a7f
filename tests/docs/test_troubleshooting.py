"""Whatever reason a user meets is explained."""

import re
from enum import StrEnum
from pathlib import Path

import pytest

from vinoserve_api import conditions

PAGE = (Path(__file__).parents[2] / "docs/troubleshooting.md").read_text()
EXPLAINED = set(re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE))
KINDS = [
    kind
    for kind in vars(conditions).values()
    if isinstance(kind, type) and issubclass(kind, StrEnum) and kind is not StrEnum
]


@pytest.mark.parametrize("kind", KINDS)
def test_every_name_is_explained(kind: type[StrEnum]) -> None:
    assert {member.value for member in kind} <= EXPLAINED


def test_nothing_is_explained_that_there_is_not() -> None:
    assert {member.value for kind in KINDS for member in kind} >= EXPLAINED
