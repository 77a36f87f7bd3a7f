"""Objects as they come from a file or from the cluster: read, or refused with everything that is wrong with them."""

import re
from collections.abc import Callable, Iterator, Mapping
from difflib import get_close_matches
from typing import Any, Final, TypeVar

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from vinoserve_api.base import Document, document_in, walk_fields, wire_fields
from vinoserve_api.fields import quoted
from vinoserve_api.problem import InvalidObject, Problem, path_of
from vinoserve_api.rules import check_class, check_service
from vinoserve_api.v1alpha1 import AcceleratorClass, InferenceService, ResourceList

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
    wire = _without_nulls({key: value for key, value in document.items() if key != "status"})
    try:
        found = model.load(wire)
    except ValidationError as error:
        raise InvalidObject(_translate_all(model, error)) from None
    problems = check(found)
    if problems:
        raise InvalidObject(problems)
    return found


def _without_nulls(value: Any) -> Any:
    """As the API server has it: what is null in a map is left out. In a list null stays, and is refused."""
    if isinstance(value, dict):
        return {key: _without_nulls(part) for key, part in value.items() if part is not None}
    return [_without_nulls(item) for item in value] if isinstance(value, list) else value


# --- pydantic's findings in plain English

_NAMES: Final[dict[type, str]] = {
    bool: "true or false", int: "a number", float: "a number", str: "a text", list: "a list", dict: "a map",
}  # fmt: skip
_WANTED: Final = {
    "string_type": "a text", "int_type": "a whole number", "int_from_float": "a whole number", "float_type": "a number",
    "bool_type": "true or false", "tuple_type": "a list", "dict_type": "a map of names to values",
    "model_type": "a map of fields", "model_attributes_type": "a map of fields", "finite_number": "a finite number",
}  # fmt: skip


def _translate_all(model: type[Document], error: ValidationError) -> Iterator[Problem]:
    found = error.errors(include_url=False)
    for one in found:
        # A list whose items are wrong is not short of items, as pydantic has it.
        items_wrong = any(o["loc"][: len(one["loc"])] == one["loc"] != o["loc"] for o in found)
        if one["type"] != "too_short" or not items_wrong:
            yield _translate(model, one)


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


#: What other programs call OpenVINO's element types and filters.
_SYNONYMS: Final = {
    "bool": "boolean", "half": "f16", "float16": "f16", "fp16": "f16", "bfloat16": "bf16", "float": "f32", "float32": "f32",
    "fp32": "f32", "double": "f64", "float64": "f64", "fp64": "f64", "int8": "i8", "int16": "i16", "int": "i32", "int32": "i32",
    "long": "i64", "int64": "i64", "byte": "u8", "uint8": "u8", "uint16": "u16", "uint32": "u32", "uint64": "u64",
    "bilinear": "linear", "bicubic": "cubic", "grey": "GRAY", "rgba": "RGBX", "bgra": "BGRX",
}  # fmt: skip


def _explain_choice(value: object, choices: list[str]) -> str:
    allowed = choices[0] if len(choices) == 1 else f"one of {', '.join(choices)}"
    by_name = {choice.lower(): choice for choice in choices}
    by_name |= {name: choice for name, choice in _SYNONYMS.items() if choice in choices}
    close = get_close_matches(str(value).lower(), by_name, n=1) if len(choices) > 1 else []
    return f"{quoted(value)} is not {allowed}" + (f"; did you mean {by_name[close[0]]}?" if close else "")


def _explain_unknown(model: type[Document], location: list[int | str]) -> str:
    name = str(location[-1])
    owner = _document_at(model, location[:-1])
    siblings = list(wire_fields(owner)) if owner else []
    by_name = {sibling.lower(): sibling for sibling in siblings}
    plain = name.lower().replace("_", "").replace("-", "")
    homes = [
        path for path, _ in walk_fields(model) if path.startswith("spec.") and path.rpartition(".")[2] == name
    ]
    if "/" in name and owner is ResourceList:
        return "accelerators are not asked for here; write spec.accelerators, or leave it to targetDevice"
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
