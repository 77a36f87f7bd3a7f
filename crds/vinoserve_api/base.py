"""What every document of the API has in common: frozen, strict, camelCase on the wire."""

import json
from typing import Any, Self

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel


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
