"""The CRDs: what is generated is current, structural, bounded and complete."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tools.generate.crd import make_class_crd, make_class_schema, make_service_crd, make_service_schema
from tools.generate.files import make_files
from tools.generate.schema import at, walk
from vinoserve_api.properties import BLOCKS, json_schema
from vinoserve_api.v1alpha1 import AcceleratorClass, InferenceService

ROOT = Path(__file__).parents[2]
SCHEMAS = {"InferenceService": make_service_schema(), "AcceleratorClass": make_class_schema()}


@pytest.mark.parametrize("path", sorted(make_files()))
def test_current(path: str) -> None:
    assert (ROOT / path).read_text() == make_files()[path], "run `make generate`"


def test_the_same_twice() -> None:
    assert make_files() == make_files()


def nodes(below: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    for kind, schema in SCHEMAS.items():
        yield from ((f"{kind}:{path}", node) for path, node in walk(schema) if path.startswith(below))


def test_structural() -> None:
    """As https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions has it."""
    for path, node in nodes():
        assert ("type" in node) != node.get("x-kubernetes-int-or-string", False), path
        assert not {"$ref", "oneOf", "allOf", "nullable", "propertyNames", "title"} & node.keys(), path
        assert not ({"properties", "additionalProperties"} <= node.keys()), path
        if node.get("type") == "array":
            assert "items" in node, path
            assert node["x-kubernetes-list-type"] in ("map", "set", "atomic"), path


def test_bounded() -> None:
    """Strings, sizes and lists: the API server reckons the cost of the rules from the bounds."""
    for path, node in nodes("spec"):
        match node.get("type"):
            case "string":
                assert "enum" in node or "maxLength" in node, path
            case "array":
                assert "maxItems" in node, path
            case "object":
                assert "additionalProperties" not in node or "maxProperties" in node, path
            case "integer":
                assert "maximum" in node, path
            case _:
                pass


@pytest.mark.parametrize("block", BLOCKS)
def test_every_property_is_declared(block: str) -> None:
    declared = at(SCHEMAS["InferenceService"], f"spec.properties.{block}")["properties"]
    assert declared.keys() == json_schema(block)["properties"].keys()


def test_fields_that_users_write_are_described() -> None:
    """`kubectl explain` shows it. Kubernetes' own types are described there."""
    known = (
        "spec.podTemplate.affinity.",
        "spec.podTemplate.topologySpreadConstraints[].",
        "spec.resources.",
        "spec.properties.AUTO.PERF_CURVE_TABLE.",
    )
    for schema in SCHEMAS.values():
        for path, node in walk(schema):
            if path.startswith("spec.") and not path.endswith(("]", "*")) and not path.startswith(known):
                theirs = ("tolerations", "imagePullSecrets", ".selector.")
                assert "description" in node or any(part in path for part in theirs), path


def test_defaults_are_those_of_the_models() -> None:
    """What the API server fills in is what our own programs take where a field is left out."""

    def fill(schema: dict[str, Any], value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        parts = schema.get("properties", {})
        filled = {name: part["default"] for name, part in parts.items() if "default" in part} | value
        return {name: fill(parts.get(name, {}), part) for name, part in filled.items()}

    for model, spec in (
        (InferenceService, {"model": {"uri": "file:a.onnx"}}),
        (AcceleratorClass, {"deviceType": "GPU"}),
    ):
        wire = {"apiVersion": "vinoserve.dev/v1alpha1", "kind": model.__name__, "metadata": {"name": "x"}}
        short = model.load({**wire, "spec": spec})
        assert model.load({**wire, "spec": fill(SCHEMAS[model.__name__], {"spec": spec})["spec"]}) == short


def test_small_enough_for_a_client_side_apply() -> None:
    """kubectl apply keeps a copy in an annotation, and annotations hold 256 KiB."""
    for path, text in make_files().items():
        if path.startswith("crds/"):
            assert len(yaml.safe_load(text).__repr__().encode()) < 200_000


@pytest.mark.parametrize(
    ("crd", "expected"),
    [
        (make_service_crd(), "READY REASON MODEL DEVICE RUNS-ON REPLICAS READY-REPLICAS AGE URL"),
        (make_class_crd(), "DEVICE DEFAULT ACCESS RESOURCE READY REASON NODES ALLOCATABLE ALLOCATED AGE"),
    ],
    ids=["service", "class"],
)
def test_columns(crd: dict[str, Any], expected: str) -> None:
    columns = crd["spec"]["versions"][0]["additionalPrinterColumns"]
    assert [column["name"].upper() for column in columns] == expected.split()
    for column in columns:
        field = column["jsonPath"].partition("[")[0].lstrip(".")
        if not field.startswith("metadata"):
            at(SCHEMAS[crd["spec"]["names"]["kind"]], field)


def test_which_class_is_the_default_is_in_a_column_of_its_own() -> None:
    """Dots in the annotation's name are no steps of the path."""
    columns = make_class_crd()["spec"]["versions"][0]["additionalPrinterColumns"]
    (path,) = (column["jsonPath"] for column in columns if column["name"] == "Default")
    assert path == r".metadata.annotations.vinoserve\.dev/is-default-class"
