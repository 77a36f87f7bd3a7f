"""Whether a property may be set as it is written; where not, one sentence that says what to write."""

import math
import re
from collections.abc import Collection
from difflib import get_close_matches
from typing import Final

from vinoserve_api.device import DEVICE_PATTERN
from vinoserve_api.properties.catalogue import CATALOGUE
from vinoserve_api.properties.legacy import VALUES, explain_legacy
from vinoserve_api.properties.spec import BLOCKS, CURVE_DEVICES, MAX_INTEGER, MAX_TEXT, PropertySpec

_BY_BLOCK: Final[dict[tuple[str, str], PropertySpec]] = {
    (block, spec.key): spec for spec in CATALOGUE for block in spec.blocks
}
_KEYS: Final = frozenset(spec.key for spec in CATALOGUE)
_PERCENT: Final = re.compile(r"100|[1-9]?[0-9]")

#: The hints that say what these properties say, where it is more than their own: a mode chooses the streams.
_HINTS_BESIDE: Final = {
    "NUM_STREAMS": ("numStreams", "performanceMode"),
    "PERFORMANCE_HINT": ("performanceMode", "numStreams"),
}


def lookup(block: str, key: str) -> PropertySpec | None:
    """The property `key` of a device or mode; MULTI knows fewer than AUTO, whose block configures it."""
    return _BY_BLOCK.get((block, key))


def devices_with(key: str) -> tuple[str, ...]:
    """The blocks where `key` can be set."""
    return tuple(b for b in BLOCKS if (spec := lookup(b, key)) is not None and spec.settable)


def check_property(block: str, key: str, value: object) -> str | None:
    """None where OpenVINO would take the property and understand it, else what to write instead."""
    spec = lookup(block, key)
    if spec is None:
        return _explain_key(block, key, value)
    return _refuse_unsettable(spec) or _check_value(spec, value)


def check_unchecked(block: str, key: str) -> str | None:
    """`uncheckedProperties` is for what the catalogue doesn't know: None there, else what to write instead."""
    known = lookup(block, key) or lookup(block, _modern(key))
    if known is None:
        return explain_legacy(key, "")
    return _refuse_unsettable(known) or f"a known property; write {known.key} under spec.properties.{block}"


def check_beside_hints(key: str, hints: Collection[str]) -> str | None:
    """`hints` are the names of the fields that spec.hints sets. None where none of them says what `key` says."""
    hint = next((s.hint_field for s in CATALOGUE if s.key == key), None)
    for field in _HINTS_BESIDE.get(key, (hint,)):
        if field in hints:
            return f"spec.hints.{field} says it already; remove one of them"
    return None


def to_openvino(key: str, value: object) -> object:
    """The value as compile_model takes it from Python.

    NUM_STREAMS goes as text, because the GPU plugin refuses a Python int there (measured), and a whole number is a float
    where OpenVINO wants one. Keys that the catalogue doesn't know pass unchanged.
    """
    kind = next((s.type for s in CATALOGUE if s.key == key), None)
    match kind, value:
        case "streams", int():
            return str(value)
        case "float", int():
            return float(value)
        case "curves", dict():
            return {
                device: {int(at): float(score) for at, score in curve.items()}
                for device, curve in value.items()
            }
        case _:
            return value


def _modern(key: str) -> str:
    """The key as today's OpenVINO would spell it."""
    return key.upper().strip().replace("-", "_").removeprefix("KEY_")


def _refuse_unsettable(spec: PropertySpec) -> str | None:
    if spec.read_only:
        return "read-only: OpenVINO reports it and nothing sets it; delete it"
    if spec.managed_by:
        return f"set by vinoserve; write {spec.managed_by}"
    return None


def _explain_key(block: str, key: str, value: object) -> str:
    settable = devices_with(key)
    if settable:
        return f"not a property of {block}, but of {', '.join(settable)}" + (
            f"; write it under spec.properties.{settable[0]}" if len(settable) == 1 else ""
        )
    elsewhere = next((s for s in CATALOGUE if s.key == key), None)
    if elsewhere is not None:
        return _refuse_unsettable(elsewhere) or "unknown property"
    legacy = explain_legacy(key, value)
    if legacy is not None:
        return legacy
    here = [k for b, k in _BY_BLOCK if b == block]
    modern = _modern(key)
    if modern in _KEYS:
        unsettable = next((_refuse_unsettable(s) for s in CATALOGUE if s.key == modern), None)
        heading = "legacy name" if key.startswith("KEY_") else "unknown property"
        return f"{heading}; {unsettable or f'write {modern}'}"
    close = get_close_matches(modern, here, n=1, cutoff=0.7) or get_close_matches(
        modern, sorted(_KEYS), n=1, cutoff=0.8
    )
    if close:
        return f"unknown property; did you mean {close[0]}?"
    return f"unknown property of {block}; for an OpenVINO newer than this vinoserve write it under spec.uncheckedProperties"


def _check_value(spec: PropertySpec, value: object) -> str | None:
    match spec.type:
        case "bool":
            return _check_bool(value)
        case "enum":
            return _check_keyword(spec, value)
        case "int" | "float":
            return _check_number(spec, value)
        case "streams":
            return _check_keyword(spec, value) if isinstance(value, str) else _check_number(spec, value)
        case "utilization":
            return _check_utilization(value)
        case "curves":
            return _check_curves(value)
        case "device" if not isinstance(value, str) or not re.fullmatch(DEVICE_PATTERN, value):
            return f"must be a device, such as CPU, GPU.1 or NPU, not {_show(value)}"
        case _:
            return _check_text(value)


def _check_bool(value: object) -> str | None:
    if isinstance(value, bool):
        return None
    text = str(value).upper()
    for spelled, words in (("true", ("TRUE", "YES", "ON", "1")), ("false", ("FALSE", "NO", "OFF", "0"))):
        if text in words:
            return f"must be true or false, not {_show(value)}; write {spelled}"
    return f"must be true or false, not {_show(value)}"


def _check_keyword(spec: PropertySpec, value: object) -> str | None:
    if isinstance(value, str) and value in spec.values:
        return None
    allowed = _one_of(spec)
    text = str(value).strip()
    if spec.type == "streams" and re.fullmatch(r"[0-9]+", text):
        return f"must be {allowed}, not {_show(value)}; write the number without quotes"
    wanted = VALUES.get(text.upper(), text.upper())
    by_name = {v.upper(): v for v in spec.values}
    close = [v for name, v in by_name.items() if wanted.upper() == name or wanted.endswith(f"_{name}")]
    close = close or [by_name[n] for n in get_close_matches(wanted.upper(), by_name, n=1, cutoff=0.7)]
    return f"must be {allowed}, not {_show(value)}" + (f"; did you mean {close[0]}?" if close else "")


def _check_number(spec: PropertySpec, value: object) -> str | None:
    wanted = (int, float) if spec.type == "float" else (int,)
    if (
        isinstance(value, wanted)
        and not isinstance(value, bool)
        and (spec.minimum or 0) <= value <= (spec.maximum or 0)
    ):
        return None
    quoted = isinstance(value, str) and re.fullmatch(r"-?[0-9]+(\.[0-9]+)?", value)
    hint = "; write the number without quotes" if quoted else ""
    if spec.type == "streams" and value == -1:
        hint = "; write AUTO"
    return f"must be {_one_of(spec)}, not {_show(value)}{hint}"


def _check_text(value: object) -> str | None:
    if not isinstance(value, str) or not value:
        return f"must be a text, not {_show(value)}"
    if len(value) > MAX_TEXT:
        return f"must have at most {MAX_TEXT} characters, not {len(value)}"
    if any(ord(c) < 32 for c in value):
        return "must have no control characters in it"
    return None


def _check_utilization(value: object) -> str | None:
    rule = "must map devices to busy percentages, such as {GPU: 80}"
    if not isinstance(value, dict) or not value:
        return f"{rule}, not {_show(value)}"
    for device, percent in value.items():
        if not re.fullmatch(DEVICE_PATTERN, str(device)):
            return f"{rule}; not a device: {_show(device)}"
        if isinstance(percent, bool) or not isinstance(percent, int) or not 0 <= percent <= 100:
            return f"{rule}; {device}: a whole number from 0 to 100, not {_show(percent)}"
    return None


def _check_curves(value: object) -> str | None:
    rule = "must map CPU, iGPU, dGPU or NPU to scores by busy percentage, such as {NPU: {'0': 1, '100': 3.5}}"
    if not isinstance(value, dict) or not value:
        return f"{rule}, not {_show(value)}"
    for device, curve in value.items():
        if device not in CURVE_DEVICES:
            return f"{rule}; unknown: {_show(device)}"
        if not isinstance(curve, dict) or not curve:
            return f"{rule}; {device}: not {_show(curve)}"
        for at, score in curve.items():
            if not _PERCENT.fullmatch(str(at)):
                return f"{rule}; {device}: not a percentage: {_show(at)}"
            if isinstance(score, bool) or not isinstance(score, (int, float)) or not math.isfinite(score):
                return f"{rule}; {device}: not a score: {_show(score)}"
    return None


def _one_of(spec: PropertySpec) -> str:
    """The allowed values in words."""
    choices = list(spec.values)
    if spec.minimum is not None and spec.maximum is not None:
        kind = "a number" if spec.type == "float" else "a whole number"
        bounds = f"from {spec.minimum:.0f} to {spec.maximum:.0f}"
        choices.append(
            f"{kind} {bounds if spec.maximum < MAX_INTEGER else f'of at least {spec.minimum:.0f}'}"
        )
    return choices[0] if len(choices) == 1 else f"{', '.join(choices[:-1])} or {choices[-1]}"


def _show(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:79] + "…"
