"""OpenVINO's properties: which there are, on which device, what they take, and what older names are called today.

OpenVINO can't be asked: AUTO, MULTI and HETERO take any key at compile (`PERFORMANCE_HINTT`), and where a device is absent
nothing of it is checked at all. So the whole table is here, and the operator needs no OpenVINO to say what is wrong.
"""

from typing import Final

from vinoserve_api.device import KINDS
from vinoserve_api.properties.catalogue import CATALOGUE
from vinoserve_api.properties.check import (
    check_beside_hints,
    check_property,
    check_unchecked,
    devices_with,
    lookup,
    to_openvino,
)
from vinoserve_api.properties.schema import json_schema
from vinoserve_api.properties.spec import BLOCKS, PropertySpec

__all__ = [
    "BLOCKS",
    "CATALOGUE",
    "PRECISIONS",
    "PropertySpec",
    "check_beside_hints",
    "check_property",
    "check_unchecked",
    "devices_with",
    "json_schema",
    "lookup",
    "to_openvino",
]

#: The inference precisions that each kind of device computes in.
PRECISIONS: Final[dict[str, frozenset[str]]] = {
    kind: frozenset(spec.values)
    for kind in KINDS
    if (spec := lookup(kind, "INFERENCE_PRECISION_HINT")) is not None
}
