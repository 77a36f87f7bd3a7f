"""Kinds of value that pydantic has no word for, each with the sentence that a user gets where a value is refused.

The same markers make the CRD's validation rules, so patterns are in RE2's dialect (no lookaround) and anchored.
"""

import json
import re
from dataclasses import dataclass
from typing import Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError, core_schema


def quoted(value: object) -> str:
    """A value as a message shows it: as JSON, and never longer than a line bears."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 80 else text[:76] + "…" + text[-1]


def _refusal(value: object, says: str) -> PydanticCustomError:
    # Braces would be taken for placeholders of pydantic's template.
    return PydanticCustomError("refused", "{text}", {"text": f"{quoted(value)} {says}"})


@dataclass(frozen=True)
class Matches:
    """A text that `pattern` matches whole. `says` goes on after the value: "is not …; write …".

    `frugal`: the API server checks it as a plain pattern, without the sentence. That costs nothing of the budget for CEL
    rules, which texts in lists in lists would use up.
    """

    pattern: str
    says: str
    frugal: bool = False

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self._check, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return handler(schema) | (
            {"pattern": self.pattern} if self.frugal else _validations(self.cel, self.says)
        )

    def _check(self, value: str) -> str:
        if not re.fullmatch(self.pattern, value):
            raise _refusal(value, self.says)
        return value

    @property
    def cel(self) -> str:
        return f"self.matches({cel_text(self.pattern)})"


@dataclass(frozen=True)
class IntOrText:
    """Kubernetes' int-or-string: a whole number within bounds, or a text that `pattern` matches whole."""

    minimum: int
    maximum: int
    pattern: str
    max_length: int
    says: str
    without: int | None = None

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(self._check)

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return {
            "x-kubernetes-int-or-string": True,
            "anyOf": [{"type": "integer"}, {"type": "string"}],
            "maxLength": self.max_length,
        } | _validations(self.cel, self.says)

    def _check(self, value: object) -> object:
        if isinstance(value, int) and not isinstance(value, bool):
            accepted = self.minimum <= value <= self.maximum and value != self.without
        elif isinstance(value, str):
            accepted = len(value) <= self.max_length and re.fullmatch(self.pattern, value) is not None
        else:
            accepted = False
        if not accepted:
            raise _refusal(value, self.says)
        return value

    @property
    def cel(self) -> str:
        number = f"self >= {self.minimum} && self <= {self.maximum}"
        if self.without is not None:
            number += f" && self != {self.without}"
        return (
            f"type(self) == int ? {number} : type(self) == string && self.matches({cel_text(self.pattern)})"
        )


def _validations(rule: str, says: str) -> JsonSchemaValue:
    return {"x-kubernetes-validations": [{"rule": rule, "message": says}]}


def cel_text(text: str) -> str:
    """A CEL string literal."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n")
    return f"'{escaped}'"
