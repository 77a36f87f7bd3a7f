"""The operator's own settings, from the environment."""

import re
from pathlib import Path

import pytest

from vinoserve_operator.errors import SettingsError
from vinoserve_operator.settings import Settings

CHART = Path(__file__).parents[2] / "charts/vinoserve/templates/deployment.yaml"


def test_the_environment_is_read_and_empty_variables_are_defaults() -> None:
    settings = Settings.load(
        {"VINOSERVE_NAMESPACES": "a, b", "VINOSERVE_WORKERS": "4", "VINOSERVE_IMAGE": "", "PATH": "/bin"}
    )
    assert (settings.namespaces, settings.workers) == (("a", "b"), 4)
    assert settings.image == Settings().image


def test_every_wrong_variable_is_named() -> None:
    with pytest.raises(SettingsError, match=r"VINOSERVE_LOG_LEVEL: .*VINOSERVE_WORKERS: "):
        Settings.load({"VINOSERVE_LOG_LEVEL": "loud", "VINOSERVE_WORKERS": "0"})


def test_what_the_chart_sets_is_a_setting() -> None:
    variables = set(re.findall(r"name: VINOSERVE_([A-Z_]+)", CHART.read_text()))
    assert variables
    assert {name.lower() for name in variables} <= set(Settings.model_fields)
