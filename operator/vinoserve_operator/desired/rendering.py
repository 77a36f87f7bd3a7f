"""Templates to objects: jinja2 with StrictUndefined decides on the fields, and the values never become text.

What an expression gives takes the place of a mark after the YAML is read: so no value can be read as anything else, and the
YAML is read once for all objects that have the same fields.
"""

import hashlib
import json
import re
from functools import lru_cache
from typing import Any, Final, cast

import jinja2
import yaml

from vinoserve_operator.desired.names import RENDERED_ANNOTATION

_MARK: Final = re.compile(r"__value_(\d+)__")
_VALUES: Final = "__values__"


@jinja2.pass_context
def _mark(context: jinja2.runtime.Context, value: object) -> str:
    """What stands in the YAML for an expression's value."""
    if isinstance(value, jinja2.Undefined):
        str(value)  # raises where it is a mistake in the template
    values = cast("list[object]", context[_VALUES])
    values.append(value)
    return f"__value_{len(values) - 1}__"


_templates: Final = jinja2.Environment(
    loader=jinja2.PackageLoader("vinoserve_operator.desired"),
    undefined=jinja2.StrictUndefined,
    autoescape=False,  # noqa: S701  # no value gets into the text
    finalize=_mark,
    auto_reload=False,
    trim_blocks=True,
    lstrip_blocks=True,
)


def render(template: str, **values: object) -> dict[str, Any]:
    """The object that the template makes, sealed."""
    marked: list[object] = []
    text = _templates.get_template(template).render(values, **{_VALUES: marked})
    return seal(_fill(_read(text), marked))


@lru_cache(256)
def _read(text: str) -> Any:
    """There are as many texts as ways through the templates' conditions, and lengths of their loops."""
    return yaml.safe_load(text)


def _fill(part: Any, values: list[object]) -> Any:
    """A copy with the values in the places of their marks."""
    if isinstance(part, dict):
        return {_fill(key, values): _fill(value, values) for key, value in part.items()}
    if isinstance(part, list):
        return [_fill(item, values) for item in part]
    found = _MARK.search(part) if isinstance(part, str) else None
    if found is None:
        return part
    if found[0] != part:
        raise ValueError(f"a template puts text around a value: {part}")
    return _copy(values[int(found[1])])


def _copy(value: Any) -> Any:
    """As JSON would bring it back, its fields always in the same order."""
    if isinstance(value, dict):
        return {key: _copy(item) for key, item in sorted(value.items())}
    if isinstance(value, list | tuple):
        return [_copy(item) for item in value]
    return value


def seal(made: dict[str, Any]) -> dict[str, Any]:
    """The object with the digest of itself as an annotation."""
    metadata = {k: v for k, v in made["metadata"].items() if k != "annotations"}
    digest = make_digest(json.dumps({**made, "metadata": metadata}, allow_nan=False, sort_keys=True))
    return {**made, "metadata": {**metadata, "annotations": {RENDERED_ANNOTATION: digest}}}


def annotate(made: dict[str, Any], annotations: dict[str, str]) -> dict[str, Any]:
    """The sealed object with annotations beside its seal, which says nothing of them."""
    metadata = made["metadata"]
    return {**made, "metadata": {**metadata, "annotations": metadata["annotations"] | annotations}}


def make_json(value: object) -> str:
    """A document that people read in a ConfigMap: ASCII, always in the same order."""
    return json.dumps(value, allow_nan=False, sort_keys=True, indent=2) + "\n"


def make_digest(text: str) -> str:
    """12 hexadecimal digits of SHA-256: enough to tell the versions of one object from each other."""
    return hashlib.sha256(text.encode()).hexdigest()[:12]
