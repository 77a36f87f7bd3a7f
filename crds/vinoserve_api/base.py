"""What every document of the API has in common: frozen, strict, camelCase on the wire."""

import json
from collections.abc import Iterator
from typing import Any, Self, get_args, get_origin

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


def document_in(annotation: Any) -> type[Document] | None:
    """The document that a field holds, by itself, in a list or optionally; None where it holds values."""
    if isinstance(annotation, type) and issubclass(annotation, Document):
        return annotation
    return next((found for arg in get_args(annotation) if (found := document_in(arg))), None)


def is_list(annotation: Any) -> bool:
    return get_origin(annotation) is tuple or any(is_list(arg) for arg in get_args(annotation))


def walk_fields(model: type[Document], at: str = "") -> Iterator[tuple[str, FieldInfo]]:
    """Every field below a document, with its path; `[]` stands for the items of a list."""
    for name, field in wire_fields(model).items():
        path = f"{at}.{name}" if at else name
        yield path, field
        part = document_in(field.annotation)
        if part:
            yield from walk_fields(part, path + ("[]" if is_list(field.annotation) else ""))
