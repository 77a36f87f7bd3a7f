"""Objects as they come from a file or from the cluster: read, or refused with everything that is wrong with them."""

import re
from collections.abc import Callable, Iterator, Mapping
from difflib import get_close_matches
from typing import Any, Final, TypeVar

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from vinoserve_api.base import Document, document_in, wire_default, wire_fields
from vinoserve_api.fields import quoted
from vinoserve_api.problem import InvalidObject, Problem, path_of
from vinoserve_api.rules import check_class, check_service
from vinoserve_api.v1alpha1 import AcceleratorClass, InferenceService

_Object = TypeVar("_Object", InferenceService, AcceleratorClass)


def read_service(document: Mapping[str, Any]) -> InferenceService:
    """The InferenceService, without its status. Raises InvalidObject with all its problems."""
    return _read(InferenceService, document, check_service)


def read_class(document: Mapping[str, Any]) -> AcceleratorClass:
    """The AcceleratorClass, without its status. Raises InvalidObject with all its problems."""
    return _read(AcceleratorClass, document, check_class)


def _read(
    model: type[_Object], document: Mapping[str, Any], check: Callable[[_Object], tuple[Problem, ...]]
) -> _Object:
    """What relates fields to each other is checked once each of them is sound: before that it would mislead."""
    wire = {key: value for key, value in document.items() if key != "status"}
    problems: list[Problem] = []
    wire = _without_nulls(wire, model, (), problems)
    if problems:
        raise InvalidObject(problems)
    try:
        found = model.load(wire)
    except ValidationError as error:
        raise InvalidObject(_translate(model, e) for e in error.errors(include_url=False)) from None
    problems.extend(check(found))
    if problems:
        raise InvalidObject(problems)
    return found


def _without_nulls(
    wire: dict[str, Any], model: type[Document], at: tuple[str | int, ...], problems: list[Problem]
) -> dict[str, Any]:
    """As the API server has it: null takes the default where there is one, and is no value elsewhere."""
    fields = wire_fields(model)
    kept: dict[str, Any] = {}
    for name, value in wire.items():
        field = fields.get(name)
        path = (*at, name)
        part = document_in(field.annotation) if field else None
        if value is None and field is not None:
            if wire_default(field) is None and not _is_metadata(path):
                problems.append(Problem(path_of(path), "is null; write a value, or leave the field out"))
        elif part and isinstance(value, dict):
            kept[name] = _without_nulls(value, part, path, problems)
        elif part and isinstance(value, list):
            kept[name] = [
                _without_nulls(item, part, (*path, i), problems) if isinstance(item, dict) else item
                for i, item in enumerate(value)
            ]
        else:
            kept[name] = value
    return kept


def _is_metadata(path: tuple[str | int, ...]) -> bool:
    """Serialized metadata may hold nulls (creationTimestamp)."""
    return path[0] == "metadata" and len(path) > 1


# --- pydantic's findings in plain English

_NAMES: Final[dict[type, str]] = {
    bool: "true or false", int: "a number", float: "a number", str: "a text", list: "a list", dict: "a map",
}  # fmt: skip
_WANTED: Final = {
    "string_type": "a text", "int_type": "a whole number", "int_from_float": "a whole number", "float_type": "a number",
    "bool_type": "true or false", "tuple_type": "a list", "dict_type": "a map of names to values",
    "model_type": "a map of fields", "model_attributes_type": "a map of fields", "finite_number": "a finite number",
}  # fmt: skip


def _translate(model: type[Document], error: ErrorDetails) -> Problem:
    location = [part for part in error["loc"] if part != "[key]"]
    return Problem(path_of(location), _explain(model, error, location))


def _explain(model: type[Document], error: ErrorDetails, location: list[int | str]) -> str:
    kind, value, context = error["type"], error["input"], error.get("ctx", {})
    if kind == "refused":
        return error["msg"]
    if kind == "missing":
        return "is missing" + _describe(model, location)
    if kind == "extra_forbidden":
        return _explain_unknown(model, location)
    if kind == "literal_error":
        return _explain_choice(value, re.findall(r"'([^']*)'", context["expected"]))
    if kind in _WANTED:
        return _explain_type(value, _WANTED[kind])
    if kind in ("string_too_long", "too_long"):
        unit = "characters" if kind.startswith("string") else "entries"
        return f"has more than {context['max_length']} {unit}; write at most that many"
    if kind in ("string_too_short", "too_short"):
        return "is empty; write a value, or leave the field out"
    if kind in ("greater_than_equal", "less_than_equal"):
        bound, word = (context["ge"], "least") if "ge" in context else (context["le"], "most")
        return f"{quoted(value)} is out of bounds; write at {word} {bound}"
    return error["msg"]


def _explain_type(value: object, wanted: str) -> str:
    found = _NAMES.get(type(value), "no value")
    hint = ""
    if wanted == "a text" and isinstance(value, (bool, int, float)):
        hint = f'; write it in quotes: "{quoted(value)}"'
    elif (
        isinstance(value, str)
        and wanted in ("a number", "a whole number")
        and re.fullmatch(r"-?[0-9.]+", value)
    ):
        hint = "; write it without quotes"
    elif isinstance(value, str) and wanted == "true or false":
        hint = {
            "true": "; write true",
            "yes": "; write true",
            "false": "; write false",
            "no": "; write false",
        }.get(value.lower(), "")
    elif wanted == "a list" and not isinstance(value, (list, dict)):
        hint = "; write it in brackets"
    return f"{quoted(value)} is {found}; {wanted} belongs here{hint}"


def _explain_choice(value: object, choices: list[str]) -> str:
    allowed = choices[0] if len(choices) == 1 else f"one of {', '.join(choices)}"
    by_name = {choice.lower(): choice for choice in choices}
    close = get_close_matches(str(value).lower(), by_name, n=1) if len(choices) > 1 else []
    return f"{quoted(value)} is not {allowed}" + (f"; did you mean {by_name[close[0]]}?" if close else "")


def _explain_unknown(model: type[Document], location: list[int | str]) -> str:
    name = str(location[-1])
    owner = _document_at(model, location[:-1])
    siblings = list(wire_fields(owner)) if owner else []
    by_name = {sibling.lower(): sibling for sibling in siblings}
    plain = name.lower().replace("_", "").replace("-", "")
    homes = [path for path in _paths(model) if path.rpartition(".")[2] == name]
    close = get_close_matches(plain, by_name, n=1, cutoff=0.9 if homes else 0.7)
    if close:
        return f"unknown field; did you mean {by_name[close[0]]}?"
    if homes:
        return f"unknown field here; it belongs at {' or '.join(homes[:2])}"
    return f"unknown field; the fields here are {', '.join(siblings)}"


def _document_at(model: type[Document], location: list[int | str]) -> type[Document] | None:
    found: type[Document] | None = model
    for part in location:
        if isinstance(part, str) and found is not None:
            field = wire_fields(found).get(part)
            found = document_in(field.annotation) if field else None
    return found


def _describe(model: type[Document], location: list[int | str]) -> str:
    owner = _document_at(model, location[:-1])
    field = wire_fields(owner).get(str(location[-1])) if owner else None
    return f": {field.description}" if field and field.description else "; write it"


def _paths(model: type[Document], at: str = "") -> Iterator[str]:
    """Every field that users write, `[]` for the items of a list."""
    for name, field in wire_fields(model).items():
        if not at and name != "spec":
            continue
        path = f"{at}.{name}" if at else name
        yield path
        part = document_in(field.annotation)
        if part:
            is_list = "tuple" in str(field.annotation)
            yield from _paths(part, path + ("[]" if is_list else ""))
