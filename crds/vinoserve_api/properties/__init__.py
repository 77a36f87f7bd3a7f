"""OpenVINO's properties: which there are, on which device, what they take, and what older names are called today.

OpenVINO can't be asked: AUTO, MULTI and HETERO take any key at compile (`PERFORMANCE_HINTT`), and where a device is absent
nothing of it is checked at all. So the whole table is here, and the operator needs no OpenVINO to say what is wrong.
"""

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
    "PropertySpec",
    "check_beside_hints",
    "check_property",
    "check_unchecked",
    "devices_with",
    "json_schema",
    "lookup",
    "to_openvino",
]
