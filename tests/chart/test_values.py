"""The values: everything documented, nothing mistyped, what is written is what the operator reads."""

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.chart.conftest import CHART, Render, pick
from tools.generate.chart import make_chart_readme, read_comments
from vinoserve_operator.settings import Settings

VALUES = yaml.safe_load((CHART / "values.yaml").read_text())
SCHEMA = json.loads((CHART / "values.schema.json").read_text())


def list_objects(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every object that the schema describes, with its path."""
    if "$ref" in schema:
        schema = SCHEMA["definitions"][schema["$ref"].rpartition("/")[2]]
    if "properties" in schema:
        yield path, schema
    for name, child in schema.get("properties", {}).items():
        yield from list_objects(child, f"{path}.{name}".removeprefix("."))


def list_paths(schema: dict[str, Any]) -> set[str]:
    return {
        f"{path}.{name}".removeprefix(".")
        for path, found in list_objects(schema)
        for name in found["properties"]
    }


def test_the_schema_knows_every_value_and_nothing_else() -> None:
    comments = read_comments((CHART / "values.yaml").read_text())
    documented_maps = tuple(f"{path}." for path in comments)
    paths = {path for path in list_paths(SCHEMA) if not path.startswith(documented_maps)}
    leaves = {path for path in paths if not any(other.startswith(f"{path}.") for other in paths)}
    assert leaves == set(comments)


def test_the_schema_refuses_what_it_does_not_know() -> None:
    closed = [path for path, found in list_objects(SCHEMA) if found.get("additionalProperties") is not False]
    assert not closed


def test_the_readme_is_current() -> None:
    assert (CHART / "README.md").read_text() == make_chart_readme(), "run `make generate`"


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("operater.image.tag=1", "'operater' not allowed"),
        ("replicas=two", "/replicas"),
        ("logLevel=verbose", "/logLevel"),
        ("reconcile.workers=0", "/reconcile/workers"),
        ("acceleratorClasses.intelgpu.default=false", "'intelgpu' not allowed"),
        ("acceleratorClasses.intelGpu.resourceName=i915", "/acceleratorClasses/intelGpu/resourceName"),
        ("acceleratorClasses.intelGpu.renderGroups={render}", "/acceleratorClasses/intelGpu/renderGroups/0"),
        (
            "acceleratorClasses.intelGpu.allowedNamespaces.names={}",
            "/acceleratorClasses/intelGpu/allowedNamespaces",
        ),
        ("acceleratorClasses.intelGpu.allowedNamespaces.names={Team A}", "/allowedNamespaces/names/0"),
        ("acceleratorClasses.intelNpu.allowedNamespaces.namespaces={a}", "'namespaces' not allowed"),
        ("resources.limits.gpu=1", "'gpu' not allowed"),
        ("watchNamespaces={Team A}", "/watchNamespaces/0"),
        ("networkPolicy.apiServer.cidrs={10.0.0.1}", "/networkPolicy/apiServer/cidrs/0"),
        ("networkPolicy.models.clients[0].pods=x", "'pods' not allowed"),
        ("networkPolicy.models.clients=", "/networkPolicy/models/clients"),
    ],
)
def test_bad_values_are_refused_by_name(
    helm: Callable[..., subprocess.CompletedProcess[str]], value: str, said: str
) -> None:
    done = helm("template", "vinoserve", CHART, "--set", value)
    assert done.returncode != 0
    assert said in done.stderr


def test_the_operator_reads_what_the_chart_writes(render: Render) -> None:
    documents = render(
        'runtime.image={"repository":"registry/runtime","tag":"2"}', 'logLevel="debug"', "reconcile.workers=4",
        "reconcile.resyncSeconds=60", "reconcile.reportSeconds=5", 'watchNamespaces=["a","b"]',
    )  # fmt: skip
    container = pick(documents, "Deployment")["spec"]["template"]["spec"]["containers"][0]
    settings = Settings.load({variable["name"]: variable["value"] for variable in container["env"]})
    assert settings.image == "registry/runtime:2"
    assert settings.log_level == "DEBUG"
    assert (settings.workers, settings.resync_seconds, settings.report_seconds) == (4, 60, 5)
    assert settings.namespaces == ("a", "b")
    assert container["ports"] == [{"name": "admin", "containerPort": settings.port}]
    lease = pick(documents, "Role")["rules"][1]["resourceNames"]
    assert lease == [settings.lease_name]


def test_every_variable_is_a_setting(render: Render) -> None:
    container = pick(render('watchNamespaces=["a"]'), "Deployment")["spec"]["template"]["spec"]["containers"][
        0
    ]
    known = {f"VINOSERVE_{name.upper()}" for name in Settings.model_fields}
    assert {variable["name"] for variable in container["env"]} <= known


def test_a_package_is_whole(helm: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path) -> None:
    """Installed from its archive it renders the same as from the folder."""
    assert helm("package", CHART, "-d", tmp_path).returncode == 0
    (archive,) = tmp_path.glob("*.tgz")
    from_archive = helm("template", "vinoserve", archive)
    assert from_archive.stdout == helm("template", "vinoserve", CHART).stdout
    assert from_archive.stdout.count("kind: CustomResourceDefinition") == 2
