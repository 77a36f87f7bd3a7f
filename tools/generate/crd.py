"""The CustomResourceDefinitions."""

import copy
from typing import Any, Final

from tools.generate.schema import Schema, at, in_order, make_schema, walk
from vinoserve_api.properties import BLOCKS, json_schema
from vinoserve_api.rules import CLASS_CEL, SERVICE_CEL, CelRule
from vinoserve_api.v1alpha1 import (
    DEFAULT_CLASS_ANNOTATION,
    GROUP,
    VERSION,
    AcceleratorClass,
    InferenceService,
)

#: Lists whose items have a key: applied item by item, and none twice. The other lists are replaced as a whole.
_KEYED: Final[dict[str, list[str]]] = {
    "spec.model.inputs": ["name"],
    "spec.model.outputs": ["name"],
    "spec.operatorAffinity": ["device"],
    "spec.accelerators": ["class"],
    "spec.podTemplate.imagePullSecrets": ["name"],
    "spec.podTemplate.topologySpreadConstraints": ["topologyKey", "whenUnsatisfiable"],
    "status.conditions": ["type"],
    "status.pods": ["name"],
}
_SETS: Final = (
    "spec.operatorAffinity[].types",
    "spec.operatorAffinity[].names",
    "spec.dra.selectors",
    "spec.hostPath.paths",
    "spec.hostPath.libraries",
    "spec.renderGroups",
    "spec.allowedNamespaces.names",
)
#: kubectl takes a dot in a key where it is escaped.
_DEFAULT_PATH: Final = ".metadata.annotations." + DEFAULT_CLASS_ANNOTATION.replace(".", r"\.")


def make_service_crd() -> dict[str, Any]:
    return _make_crd(
        make_service_schema(),
        names={
            "kind": "InferenceService",
            "listKind": "InferenceServiceList",
            "plural": "inferenceservices",
            "singular": "inferenceservice",
            "shortNames": ["vis"],
            "categories": ["all"],
        },
        scope="Namespaced",
        subresources={
            "status": {},
            "scale": {
                "specReplicasPath": ".spec.replicas",
                "statusReplicasPath": ".status.replicas",
                "labelSelectorPath": ".status.selector",
            },
        },
        columns=[
            _column(
                "Ready",
                '.status.conditions[?(@.type=="Ready")].status',
                "Whether it answers, where it was asked to.",
            ),
            _column("Reason", '.status.conditions[?(@.type=="Ready")].reason', "Why it is ready or not."),
            _column("Model", ".spec.model.uri", "Where the model is."),
            _column("Device", ".spec.targetDevice", "The device that was asked for."),
            _column("Runs-On", ".status.runsOn", "What runs it."),
            _column("Replicas", ".status.replicas", "How many pods there are.", kind="integer"),
            _column("Ready-Replicas", ".status.readyReplicas", "How many of them serve.", kind="integer"),
            _column("Age", ".metadata.creationTimestamp", kind="date"),
            _column("URL", ".status.url", "Where clients reach it in the cluster.", priority=1),
        ],
    )


def make_class_crd() -> dict[str, Any]:
    return _make_crd(
        make_class_schema(),
        names={
            "kind": "AcceleratorClass",
            "listKind": "AcceleratorClassList",
            "plural": "acceleratorclasses",
            "singular": "acceleratorclass",
            "shortNames": ["acc"],
        },
        scope="Cluster",
        subresources={"status": {}},
        columns=[
            _column("Device", ".spec.deviceType", "OpenVINO's device."),
            _column("Default", _DEFAULT_PATH, "Whether services that name none get it."),
            _column("Access", ".spec.access", "How pods get it."),
            _column("Resource", ".status.resource", "What pods get the device by."),
            _column("Ready", '.status.conditions[?(@.type=="Ready")].status', "Whether a node offers it."),
            _column(
                "Reason", '.status.conditions[?(@.type=="Ready")].reason', "Why, or what else is the matter."
            ),
            _column("Nodes", ".status.nodes", "Nodes that offer it.", kind="integer"),
            _column("Allocatable", ".status.allocatable", "Units that they offer.", kind="integer"),
            _column("Allocated", ".status.allocated", "Units that InferenceServices hold.", kind="integer"),
            _column("Age", ".metadata.creationTimestamp", kind="date"),
        ],
    )


def make_service_schema() -> Schema:
    schema = make_schema(InferenceService)
    spec = schema["properties"]["spec"]
    described = spec["properties"]["properties"]["description"]
    spec["properties"]["properties"] = {
        "type": "object",
        "description": described,
        "properties": {block: json_schema(block) for block in BLOCKS},
    }
    unchecked = spec["properties"]["uncheckedProperties"]
    spec["properties"]["uncheckedProperties"] = {
        "type": "object",
        "description": unchecked["description"],
        "properties": {
            block: {
                **copy.deepcopy(unchecked["additionalProperties"]),
                "description": f"For {block}: values as text.",
            }
            for block in BLOCKS
        },
    }
    return _finish(schema, SERVICE_CEL)


def make_class_schema() -> Schema:
    return _finish(make_schema(AcceleratorClass), CLASS_CEL)


def _finish(schema: Schema, rules: tuple[CelRule, ...]) -> Schema:
    name_rules = at(schema, "metadata.name")["x-kubernetes-validations"]
    # The name is there for the rules' fieldPath; the API server allows no rules of its own.
    schema["properties"]["metadata"] = {"type": "object", "properties": {"name": {"type": "string"}}}
    schema["required"] = ["spec"]
    for name in ("apiVersion", "kind"):
        schema["properties"][name] = {"type": "string"}
    for path, node in walk(schema):
        if node.get("type") == "array":
            node["x-kubernetes-list-type"] = "atomic"
        if path in _KEYED:
            node["x-kubernetes-list-type"] = "map"
            node["x-kubernetes-list-map-keys"] = list(_KEYED[path])
        elif path in _SETS:
            node["x-kubernetes-list-type"] = "set"
    for rule in rules:
        at(schema, rule.at).setdefault("x-kubernetes-validations", []).append(_validation(rule))
    for rule in name_rules:
        schema.setdefault("x-kubernetes-validations", []).append(
            {
                **rule,
                "rule": rule["rule"].replace("self", "self.metadata.name"),
                "fieldPath": ".metadata.name",
            }
        )
    return in_order(schema)


def _validation(rule: CelRule) -> dict[str, str]:
    validation = {"rule": rule.rule, "messageExpression" if rule.computed else "message": rule.message}
    if rule.field:
        validation["fieldPath"] = rule.field
    return validation


def _column(
    name: str, path: str, description: str = "", *, kind: str = "string", priority: int = 0
) -> dict[str, Any]:
    column: dict[str, Any] = {"name": name, "type": kind, "jsonPath": path}
    if description:
        column["description"] = description
    if priority:
        column["priority"] = priority
    return column


def _make_crd(
    schema: Schema,
    *,
    names: dict[str, Any],
    scope: str,
    subresources: dict[str, Any],
    columns: list[dict[str, Any]],
) -> dict[str, Any]:
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{names['plural']}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "names": names,
            "scope": scope,
            "versions": [
                {
                    "name": VERSION,
                    "served": True,
                    "storage": True,
                    "additionalPrinterColumns": columns,
                    "subresources": subresources,
                    "schema": {"openAPIV3Schema": schema},
                }
            ],
        },
    }
