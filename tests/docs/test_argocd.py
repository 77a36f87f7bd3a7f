"""Argo CD's health script on statuses of a real cluster, in the layout of Argo CD's own resource_customizations."""

from pathlib import Path

import pytest
import yaml

from tests.kstatus import HEALTH, check_status, read_argo

FOLDER = HEALTH.parent
CASES = yaml.safe_load((FOLDER / "health_test.yaml").read_text())["tests"]


@pytest.mark.parametrize("case", CASES, ids=lambda case: Path(case["inputPath"]).stem)
def test_health(case: dict[str, object]) -> None:
    found = yaml.safe_load((FOLDER / str(case["inputPath"])).read_text())
    assert read_argo(found) == case["healthStatus"]
    if found.get("status", {}).get("observedGeneration") == found["metadata"]["generation"]:
        check_status(found)


def test_every_status_of_argo_and_every_fixture_is_there() -> None:
    assert {case["healthStatus"]["status"] for case in CASES} == {
        "Healthy", "Progressing", "Degraded", "Suspended",
    }  # fmt: skip
    assert {case["inputPath"] for case in CASES} == {
        str(path.relative_to(FOLDER)) for path in (FOLDER / "testdata").iterdir()
    }


def test_the_documentation_names_the_script_as_argo_wants_it() -> None:
    text = (HEALTH.parents[3] / "observability.md").read_text()
    assert f"resource.customizations.health.{FOLDER.parent.name}_{FOLDER.name}" in text
    assert str(HEALTH.relative_to(HEALTH.parents[3])) in text
