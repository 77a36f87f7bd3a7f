"""What every document of the API has in common: frozen, strict, camelCase on the wire."""

import json
from typing import Any, Self, get_args

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel
from pydantic.fields import FieldInfo


class Document(BaseModel):
    """A part of an object as users write it.

    Strict, as the API server is: a string is never taken for a number. Unknown fields are refused, because a
    field that is silently dropped is a promise that is silently broken.
    """

    model_config = ConfigDict(
        frozen=True, strict=True, extra="forbid", alias_generator=to_camel, use_enum_values=False
    )

    @classmethod
    def load(cls, wire: object) -> Self:
        """Read what came over the wire (camelCase, JSON types).

        By way of JSON, where pydantic's strictness means JSON's types (a list for a tuple, a string for an
        enum). Raises pydantic.ValidationError.
        """
        return cls.model_validate_json(json.dumps(wire))

    def dump(self) -> dict[str, Any]:
        """The wire form: camelCase, JSON types, without what is unset (None)."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


def wire_fields(model: type[Document]) -> dict[str, FieldInfo]:
    """The fields of a document by their names on the wire."""
    return {field.alias or name: field for name, field in model.model_fields.items()}


def wire_default(field: FieldInfo) -> Any | None:
    """What the API server fills in for the field (the schema's `default`), or None.

    A part whose own fields have defaults is `{}`, which they then fill. Empty lists and maps are no defaults: they would
    only make every stored object longer.
    """
    default = field.default
    if field.is_required() or default is None:
        return None
    if isinstance(default, Document):
        return {} if any(wire_default(f) is not None for f in wire_fields(type(default)).values()) else None
    return None if default in ((), {}) else default


def document_in(annotation: Any) -> type[Document] | None:
    """The document that a field holds, by itself, in a list or optionally; None where it holds values."""
    if isinstance(annotation, type) and issubclass(annotation, Document):
        return annotation
    return next((found for arg in get_args(annotation) if (found := document_in(arg))), None)
