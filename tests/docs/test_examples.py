"""The examples are valid, by the command that their readers have."""

from pathlib import Path

import pytest

from vinoserve_cli.__main__ import main

FOLDER = Path(__file__).parents[2] / "examples"
EXAMPLES = sorted(FOLDER.rglob("*.yaml"))


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: str(file.relative_to(FOLDER)))
def test_example_is_valid(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["validate", str(file)]) == 0
    assert capsys.readouterr().out == f"{file}: valid\n"
