"""A pydantic model as a structural OpenAPI schema, the dialect of CustomResourceDefinitions.

Structural means: every node has a type, no $ref, no nullable, no anyOf (but int-or-string's). Bounds everywhere, or the API
server reckons the CEL rules too costly.
"""

import copy
from collections.abc import Iterator
from typing import Any

from vinoserve_api.base import Document

Schema = dict[str, Any]

#: What a structural schema may say, in the order in which people read it.
_ORDER = (
    "type", "x-kubernetes-int-or-string", "anyOf", "description", "default", "enum", "format", "pattern", "minimum", "maximum",
    "minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties", "x-kubernetes-list-type",
    "x-kubernetes-list-map-keys", "required", "properties", "items", "additionalProperties", "x-kubernetes-validations",
)  # fmt: skip


def make_schema(model: type[Document]) -> Schema:
    generated = model.model_json_schema(by_alias=True)
    return _structural(generated, generated.get("$defs", {}))


def _structural(node: Schema, definitions: dict[str, Schema]) -> Schema:
    while "$ref" in node or "anyOf" in node:
        if "$ref" in node:
            target = definitions[node["$ref"].rpartition("/")[2]]
        elif "x-kubernetes-int-or-string" in node:
            break
        else:
            target = next(choice for choice in node["anyOf"] if choice.get("type") != "null")
        node = {**target, **{key: value for key, value in node.items() if key not in ("$ref", "anyOf")}}
    schema = {key: copy.deepcopy(node[key]) for key in _ORDER if key in node}
    if "const" in node:
        schema["enum"] = [node["const"]]
    if schema.get("additionalProperties") is False:
        del schema["additionalProperties"]  # the API server refuses unknown fields by itself
    key_rules = node.get("propertyNames", {}).get("x-kubernetes-validations", [])
    if key_rules:
        schema["x-kubernetes-validations"] = [
            {
                "rule": rule["rule"].replace("self.", "k.").join(("self.all(k, ", ")")),
                "message": f"a key in it {rule['message']}",
            }
            for rule in key_rules
        ]
    default = _default(schema.pop("default", None))
    if default is not None:
        schema["default"] = default
    if "description" in schema:
        schema["description"] = " ".join(schema["description"].split())
    if "items" in schema:
        schema["items"] = _structural(schema["items"], definitions)
    if isinstance(schema.get("additionalProperties"), dict):
        schema["additionalProperties"] = _structural(schema["additionalProperties"], definitions)
    if "properties" in schema:
        schema["properties"] = {
            name: _structural(part, definitions) for name, part in schema["properties"].items()
        }
    return schema


def _default(value: Any) -> Any:
    """`{}` stands for a part whose own fields have defaults; what is empty is no default: that would only make every stored object longer."""
    if isinstance(value, dict):
        return {} if any(_default(part) is not None for part in value.values()) else None
    return None if value == [] else value


def at(schema: Schema, path: str) -> Schema:
    """The node at `spec.model.inputs[].shape[]`. Raises KeyError."""
    for step in path.split(".") if path else ():
        schema = schema["properties"][step.rstrip("[]")]
        for _ in range(step.count("[]")):
            schema = schema["items"]
    return schema


def in_order(schema: Schema) -> Schema:
    """The same schema, its keys in the order of `_ORDER` all through."""
    ordered = {key: schema[key] for key in _ORDER if key in schema}
    if "properties" in ordered:
        ordered["properties"] = {name: in_order(part) for name, part in ordered["properties"].items()}
    for key in ("items", "additionalProperties"):
        if isinstance(ordered.get(key), dict):
            ordered[key] = in_order(ordered[key])
    return ordered


def walk(schema: Schema, path: str = "") -> Iterator[tuple[str, Schema]]:
    """Every node with its path, parents first."""
    yield path, schema
    for name, part in schema.get("properties", {}).items():
        yield from walk(part, f"{path}.{name}" if path else name)
    if "items" in schema:
        yield from walk(schema["items"], f"{path}[]")
    if isinstance(schema.get("additionalProperties"), dict):
        yield from walk(schema["additionalProperties"], f"{path}.*")
