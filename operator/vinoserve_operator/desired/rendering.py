"""Templates to objects: jinja2 with StrictUndefined, and every value goes through `tojson`.

JSON within YAML is almost always the same value. The three places where it isn't are mended here: escapes of
characters beyond 16 bits, floats without a dot (YAML 1.1 reads 1e-05 as text), and what is no JSON at all.
"""

import hashlib
import json
import re
from typing import Any, Final, cast

import jinja2
import yaml

from vinoserve_operator.desired.names import RENDERED_ANNOTATION


def _dumps(value: object, **_: object) -> str:
    """JSON that YAML reads as the same value: non-ASCII characters by YAML's own escape."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, sort_keys=True)
    return re.sub(r"[^\x20-\x7e]", lambda found: f"\\U{ord(found[0]):08x}", text)


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]  # libyaml where it is there
    """YAML with JSON's floats."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^-?[0-9]+(\.[0-9]+)?[eE][-+]?[0-9]+$"), list("-0123456789")
)

_templates: Final = jinja2.Environment(
    loader=jinja2.PackageLoader("vinoserve_operator.desired"),
    undefined=jinja2.StrictUndefined,
    autoescape=False,  # noqa: S701  # tojson is the escape; this is YAML
    trim_blocks=True,
    lstrip_blocks=True,
)
_templates.policies["json.dumps_function"] = _dumps
_templates.policies["json.dumps_kwargs"] = {}


def render(template: str, **values: object) -> dict[str, Any]:
    """The object that the template makes, sealed."""
    text = _templates.get_template(template).render(values)
    return seal(cast("dict[str, Any]", yaml.load(text, _Loader)))  # noqa: S506  # a safe loader


def seal(made: dict[str, Any]) -> dict[str, Any]:
    """The object with the digest of itself as an annotation."""
    metadata = {k: v for k, v in made["metadata"].items() if k != "annotations"}
    digest = make_digest(_dumps({**made, "metadata": metadata}))
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
