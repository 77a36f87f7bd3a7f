"""No text of a user or an admin, in whichever field, adds a key to what is rendered or changes a type in it.

What the API refuses is never rendered, so each text is tried by itself and added to one that is accepted.
"""

import copy
import json
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.operator.fakes.running import make_service
from tests.operator.test_desired import TEXT
from tools.generate.crd import make_class_schema, make_service_schema
from tools.generate.schema import Schema, walk
from vinoserve_api.problem import InvalidObject
from vinoserve_api.reading import read_class, read_service
from vinoserve_operator.desired.children import make_children
from vinoserve_operator.desired.devices import Inventory
from vinoserve_operator.desired.names import make_config_key
from vinoserve_operator.errors import NotRenderableError

Object = dict[str, Any]
Place = tuple[str | int, ...]
"""Where a text is; a map's key ends with KEY."""

KEY = "<key>"

NASTY = (
    "", "a: b", "- x", "'", '"', "{{ x }}", "&a", "!!int 1", "yes", "null", "1e3", "0x1f", "#", "\n", "\r\nk: v", "\0", "\u2028", "😀",
)  # fmt: skip

SELECTOR = {
    "matchLabels": {"a": "b"},
    "matchExpressions": [{"key": "c", "operator": "In", "values": ["d"]}],
}
TERM = {
    "matchExpressions": [{"key": "zone", "operator": "In", "values": ["z"]}],
    "matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n"]}],
}
NEAR = {
    "topologyKey": "kubernetes.io/hostname",
    "labelSelector": SELECTOR,
    "namespaceSelector": SELECTOR,
    "namespaces": ["n"],
    "matchLabelKeys": ["k"],
    "mismatchLabelKeys": ["m"],
}
PODS = {
    "requiredDuringSchedulingIgnoredDuringExecution": [NEAR],
    "preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 1, "podAffinityTerm": NEAR}],
}
TOLERATION = {"key": "gpu", "operator": "Equal", "value": "yes", "effect": "NoSchedule"}
EVERYTHING = {
    "model": {
        "uri": "https://example.com/m.onnx",
        "digest": "sha256:" + "a" * 64,
        "name": "served",
        "version": "1",
        "credentials": {"secretName": "secret"},
        "inputs": [
            {
                "name": "x",
                "shape": ["1..4", 3, 8, 8],
                "layout": "NCHW",
                "client": {"shape": ["1..4", 8, 8, 3], "layout": "NHWC"},
            }
        ],
        "outputs": [{"name": "y", "layout": "NC", "model": {"layout": "CN"}}],
    },
    "targetDevice": "HETERO:GPU,CPU",
    "hints": {"numStreams": "AUTO"},
    "properties": {"CPU": {"CPU_DENORMALS_OPTIMIZATION": True}},
    "uncheckedProperties": {"CPU": {"NEW_A": "1"}, "GPU": {"NEW_B": "x"}, "HETERO": {"NEW_C": "y"}},
    "operatorAffinity": [{"device": "CPU", "types": ["Relu"], "names": ["layer/1"]}],
    "parity": {"samples": "samples"},
    "accelerators": [{"class": "plugin", "count": 1}],
    "cache": {
        "compiled": {"type": "PersistentVolumeClaim", "claimName": "claim", "sizeLimit": "1Gi"},
        "model": {"sizeLimit": "1Gi"},
    },
    "limits": {"maxRequestBytes": "64Mi", "maxImagePixels": "64M"},
    "resources": {
        "requests": {"cpu": "1", "memory": "1Gi", "ephemeral-storage": "1Gi"},
        "limits": {"cpu": "2", "memory": "2Gi", "ephemeral-storage": "2Gi"},
    },
    "podTemplate": {
        "labels": {"example.com/label": "v"},
        "annotations": {"example.com/note": "v"},
        "nodeSelector": {"zone": "z"},
        "tolerations": [TOLERATION],
        "topologySpreadConstraints": [
            {
                "maxSkew": 1,
                "topologyKey": "zone",
                "whenUnsatisfiable": "DoNotSchedule",
                "labelSelector": SELECTOR,
                "matchLabelKeys": ["k"],
            }
        ],
        "priorityClassName": "high",
        "serviceAccountName": "account",
        "runtimeClassName": "kata",
        "imagePullSecrets": [{"name": "pull"}],
        "image": "registry.example.com/runtime:1",
    },
}


def metric(type_: str, **parts: Any) -> Object:
    return {"type": type_, type_.lower(): parts}


NAMED = {"name": "queue", "selector": SELECTOR}
SPECS: dict[str, Object] = {
    "everything": EVERYTHING,
    "claim": {"model": {"uri": "pvc://models/m.onnx"}, "accelerators": [{"class": "paths", "count": 1}]},
    "image": {
        "model": {"uri": "oci://registry.example.com/models/m:v1", "credentials": {"secretName": "s"}},
        "accelerators": [{"class": "claims", "count": 1}],
        "cache": {"compiled": {"type": "EmptyDir", "sizeLimit": "1Gi"}},
    },
    "folder": {
        "model": {"uri": "file:/opt/m"},
        "accelerators": [{"class": "paths"}],
        "cache": {"compiled": {"type": "HostPath"}},
    },
    "affinity": {
        "model": {"uri": "https://example.com/m.onnx"},
        "podTemplate": {
            "affinity": {
                "nodeAffinity": {
                    "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [TERM]},
                    "preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 1, "preference": TERM}],
                },
                "podAffinity": PODS,
                "podAntiAffinity": PODS,
            }
        },
    },
    "auto": {
        "model": {"uri": "hf://owner/model", "inputs": [{"name": "x", "shape": [1, 3]}]},
        "targetDevice": "AUTO:NPU,CPU",
        "accelerators": [],
        "uncheckedProperties": {"NPU": {"NEW": "1"}, "AUTO": {"NEW": "2"}},
    },
    "batch": {
        "model": {"uri": "s3://bucket/m.onnx", "inputs": [{"name": "x", "shape": [1, 3]}]},
        "targetDevice": "BATCH:CPU(4)",
        "uncheckedProperties": {"BATCH": {"NEW": "1"}},
    },
    "buckets": {
        "model": {"uri": "gs://bucket/m", "inputs": [{"name": "x", "buckets": [[1, 8], [1, 16]]}]},
    },
    "scaled": {
        "model": {"uri": "az://container/m.onnx"},
        "autoscaling": {
            "maxReplicas": 4,
            "metrics": [
                metric("Resource", name="memory", target={"type": "AverageValue", "averageValue": "1Gi"}),
                metric("Pods", metric=NAMED, target={"type": "AverageValue", "averageValue": "4"}),
                metric("External", metric=NAMED, target={"type": "AverageValue", "averageValue": "4"}),
                metric("External", metric={**NAMED, "name": "b"}, target={"type": "Value", "value": "4"}),
            ],
        },
    },
}
COMMON = {
    "deviceType": "GPU",
    "nodeSelector": {"gpu": "yes"},
    "tolerations": [{"key": "npu", "operator": "Equal", "value": "yes", "effect": "NoSchedule"}],
    "runtimeClassName": "kata",
    "renderGroups": [109],
    "allowedNamespaces": {"names": ["default"], "selector": SELECTOR},
}
CLASSES = {
    "plugin": {**COMMON, "devicePlugin": {"resourceName": "gpu.intel.com/xe"}},
    "claims": {
        **COMMON,
        "access": "DRA",
        "dra": {"deviceClassName": "gpu.intel.com", "selectors": ["device.driver == 'gpu.intel.com'"]},
    },
    "paths": {
        **COMMON,
        "access": "HostPath",
        "hostPath": {"paths": ["/dev/dri"], "libraries": ["/usr/lib/wsl"]},
        "hostPathCache": "/var/cache/vinoserve",
    },
}


def make_class(name: str, spec: Object) -> Object:
    return {
        "apiVersion": "vinoserve.dev/v1alpha1",
        "kind": "AcceleratorClass",
        "metadata": {"name": name},
        "spec": spec,
    }


def list_places(value: Any, at: Place = ()) -> Iterator[Place]:
    """Texts, and the keys of maps whose keys are the user's."""
    if isinstance(value, dict):
        for key, part in value.items():
            yield from list_places(part, (*at, key))
            if at and at[-1] in ("labels", "annotations", "matchLabels", "nodeSelector"):
                yield (*at, key, KEY)
    elif isinstance(value, list):
        for i, part in enumerate(value):
            yield from list_places(part, (*at, i))
    elif isinstance(value, str):
        yield at


def put(document: Object, place: Place, text: str) -> tuple[Object, str, str]:
    """The document with the text there; what was there, and what is there now."""
    changed = copy.deepcopy(document)
    *way, last = place[:-1] if place[-1] == KEY else place
    owner: Any = changed
    for step in way:
        owner = owner[step]
    if place[-1] == KEY:
        owner[text] = owner.pop(last)
        return changed, str(last), text
    before = owner[last]
    owner[last] = text
    return changed, before, text


def show(service: Object, classes: dict[str, Object]) -> Any:
    """Shapes of what is rendered and of the pods' config; None where it is refused."""
    try:
        read = read_service(service)
        found = {name: read_class(make_class(name, spec)) for name, spec in classes.items()}
        children = make_children(read, Inventory(found, namespaces={}), image="example.com/runtime:1")
    except (InvalidObject, NotRenderableError):
        return None
    config = json.loads(children.config_map["data"][make_config_key(children.config)])
    return [*(shape(child) for child in children), shape(config)]


def shape(value: Any) -> Any:
    """Keys and types, without the values; a ConfigMap's key says which config it is."""
    if isinstance(value, dict):
        return {key: shape(part) for key, part in value.items() if not str(key).startswith("config-")}
    return [shape(part) for part in value] if isinstance(value, list) else type(value).__name__


def rename(value: Any, old: str, new: str) -> Any:
    if isinstance(value, dict):
        return {old if key == new else key: rename(part, old, new) for key, part in value.items()}
    return [rename(part, old, new) for part in value] if isinstance(value, list | tuple) else value


def make_document(name: str) -> Object:
    service = make_service(**SPECS[name])
    service["metadata"]["uid"] = "1"
    return service


@cache
def plain(name: str) -> Any:
    shown = show(make_document(name), CLASSES)
    assert shown is not None, f"{name} has to be accepted as it is"
    return shown


def check(name: str, place: Place, text: str) -> None:
    """`place` begins with `service` or with `class` and its name."""
    service, classes = make_document(name), CLASSES
    if place[0] == "service":
        service, before, after = put(service, ("spec", *place[1:]), text)
    else:
        of = str(place[1])
        changed, before, after = put(CLASSES[of], place[2:], text)
        classes = {**CLASSES, of: changed}
    shown = show(service, classes)
    if shown is not None:
        old, new = (before, after) if place[-1] == KEY else ("", "")
        assert rename(shown, old, new) == plain(name), (place, text)


PLACES = [
    *((name, ("service", *place)) for name, spec in SPECS.items() for place in list_places(spec)),
    *(
        (user, ("class", of, *place))
        for of, user in {"plugin": "everything", "claims": "image", "paths": "folder"}.items()
        for place in list_places(CLASSES[of])
    ),
]


@pytest.mark.parametrize("name", SPECS)
def test_no_nasty_text_in_any_field_changes_the_structure(name: str) -> None:
    for user, place in PLACES:
        if user == name:
            *_, before = put(make_document(name)["spec"], place[1:], "") if place[0] == "service" else ("",)
            for text in NASTY:
                check(name, place, text)
                check(name, place, f"{before}{text}")  # what has to begin so


@settings(max_examples=60)
@given(st.sampled_from(PLACES), TEXT)
def test_no_text_at_all_does(where: tuple[str, Place], text: str) -> None:
    check(*where, text)


def list_texts(schema: Schema) -> set[str]:
    """Fields that hold any text: no choice of few. Those of the catalogue are OpenVINO's, and reach the config alone."""
    return {
        path
        for path, node in walk(schema)
        if path.startswith("spec.")
        and not path.startswith("spec.properties.")
        and "enum" not in node
        and (node.get("type") == "string" or node.get("x-kubernetes-int-or-string"))
    }


def name_field(place: Place, schema: Schema) -> str:
    """As the schema's `walk` has it."""
    path = "spec"
    for step in place:
        known = {p for p, _ in walk(schema)}
        path += "[]" if isinstance(step, int) else f".{step}" if f"{path}.{step}" in known else ".*"
    return path


def test_every_field_that_holds_text_is_tried() -> None:
    services, classes = make_service_schema(), make_class_schema()
    tried = {name_field(place, services) for spec in SPECS.values() for place in list_places(spec) if place[-1] != KEY}  # fmt: skip
    assert list_texts(services) - tried - {"spec.model.inputs[].buckets[][]"} == set()  # numbers, or "1..4"
    tried = {name_field(place, classes) for spec in CLASSES.values() for place in list_places(spec) if place[-1] != KEY}  # fmt: skip
    assert list_texts(classes) - tried == set()
