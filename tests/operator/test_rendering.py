"""What a template may do."""

import jinja2
import pytest

from vinoserve_operator.desired import rendering
from vinoserve_operator.desired.rendering import render

HEAD = "metadata: {name: x}\n"


@pytest.fixture
def templates(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Texts by name."""
    texts: dict[str, str] = {}
    monkeypatch.setattr(rendering._templates, "loader", jinja2.DictLoader(texts))
    return texts


def test_a_value_is_what_it_was_whatever_yaml_would_make_of_it(templates: dict[str, str]) -> None:
    templates["a"] = HEAD + "spec: {{ spec }}\n"
    spec = {"a": "{b: !!x", "n": "1e-05", "t": ["yes", None, True, 1.0], "m": "__value_0__", "u": "\u2028😀"}
    assert render("a", spec=spec)["spec"] == spec


def test_text_around_a_value_is_a_mistake(templates: dict[str, str]) -> None:
    templates["a"] = HEAD + "spec: {{ name }}-suffix\n"
    with pytest.raises(ValueError, match="text around a value"):
        render("a", name="x")


def test_a_value_that_is_missing_is_a_mistake(templates: dict[str, str]) -> None:
    templates["a"] = HEAD + "spec: {{ nmae }}\n"
    with pytest.raises(jinja2.UndefinedError, match="nmae"):
        render("a", name="x")
