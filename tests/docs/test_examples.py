"""The examples are valid, by the command that their readers have."""

from pathlib import Path

import pytest

from vinoserve_cli.__main__ import main

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.yaml"))


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.name)
def test_example_is_valid(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["validate", str(file)]) == 0
    assert capsys.readouterr().out == f"{file}: valid\n"
