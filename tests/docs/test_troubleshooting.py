"""Whatever reason a user meets is explained."""

import re
from pathlib import Path

import pytest

from vinoserve_api.conditions import AcceptedReason, ClassReason, ConditionType, FailureReason, ProgressReason

PAGE = (Path(__file__).parents[2] / "docs/troubleshooting.md").read_text()
EXPLAINED = set(re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE))


@pytest.mark.parametrize("kind", [AcceptedReason, FailureReason, ProgressReason, ClassReason, ConditionType])
def test_every_name_is_explained(kind: type) -> None:
    assert {member.value for member in kind} <= EXPLAINED


def test_nothing_is_explained_that_there_is_not() -> None:
    known = {
        m.value
        for kind in (AcceptedReason, FailureReason, ProgressReason, ClassReason, ConditionType)
        for m in kind
    }
    assert known >= EXPLAINED
