"""A model to compile, and the folder that keeps what is compiled."""

from pathlib import Path

import pytest

from tests.models import write_classifier


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_classifier(tmp_path / "m.xml")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "cache"
