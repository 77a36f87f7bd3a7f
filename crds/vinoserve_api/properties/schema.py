"""The catalogue as OpenAPI: what the API server checks, and what `kubectl explain` shows."""

from typing import Any, Final

from vinoserve_api.device import DEVICE_PATTERN
from vinoserve_api.properties.catalogue import CATALOGUE
from vinoserve_api.properties.check import lookup
from vinoserve_api.properties.spec import CURVE_DEVICES, MAX_TEXT, PropertySpec

_BLOCK_TEXTS: Final = {
    "CPU": "Properties of OpenVINO's CPU plugin.",
    "GPU": "Properties of OpenVINO's GPU plugin.",
    "NPU": "Properties of OpenVINO's NPU plugin.",
    "AUTO": "Properties of AUTO and MULTI.",
    "HETERO": "Properties of HETERO.",
    "BATCH": "Properties of BATCH.",
}


def json_schema(block: str) -> dict[str, Any]:
    """A structural schema of `spec.properties.<block>`: all that can be set there, in alphabetical order."""
    keys = sorted({spec.key for spec in CATALOGUE if block in spec.blocks and spec.settable})
    specs = {key: spec for key in keys if (spec := lookup(block, key)) is not None}
    return {
        "type": "object",
        "description": _BLOCK_TEXTS[block],
        "properties": {
            key: {**_value_schema(spec), "description": _describe(spec)} for key, spec in specs.items()
        },
    }


def _describe(spec: PropertySpec) -> str:
    default = f" OpenVINO's default: {spec.default}." if spec.default else ""
    return spec.description + default


def _value_schema(spec: PropertySpec) -> dict[str, Any]:
    match spec.type:
        case "bool":
            return {"type": "boolean"}
        case "enum":
            return {"type": "string", "enum": list(spec.values)}
        case "int":
            return {
                "type": "integer",
                "format": "int64",
                "minimum": _whole(spec.minimum),
                "maximum": _whole(spec.maximum),
            }
        case "float":
            return {"type": "number", "format": "double", "minimum": spec.minimum, "maximum": spec.maximum}
        case "streams":
            return _streams_schema(spec)
        case "device":
            return {"type": "string", "maxLength": 16, "pattern": f"^{DEVICE_PATTERN}$"}
        case "utilization":
            return {
                "type": "object",
                "minProperties": 1,
                "maxProperties": 16,
                "additionalProperties": {"type": "integer", "minimum": 0, "maximum": 100},
            }
        case "curves":
            return {
                "type": "object",
                "minProperties": 1,
                "properties": {device: _curve_schema() for device in CURVE_DEVICES},
            }
        case _:
            return {"type": "string", "minLength": 1, "maxLength": MAX_TEXT}


def _streams_schema(spec: PropertySpec) -> dict[str, Any]:
    words = ", ".join(f"'{word}'" for word in spec.values)
    low, high = _whole(spec.minimum), _whole(spec.maximum)
    return {
        "x-kubernetes-int-or-string": True,
        "anyOf": [{"type": "integer"}, {"type": "string"}],
        "x-kubernetes-validations": [
            {
                "rule": f"type(self) == int ? int(self) >= {low} && int(self) <= {high} : string(self) in [{words}]",
                "message": f"must be {', '.join(spec.values)} or a whole number from {low} to {high}",
            }
        ],
    }


def _curve_schema() -> dict[str, Any]:
    return {
        "type": "object",
        "minProperties": 1,
        "maxProperties": 101,
        "additionalProperties": {"type": "number"},
    }


def _whole(bound: float | None) -> int:
    return int(bound or 0)
