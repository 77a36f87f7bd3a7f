"""What is rendered for x.input.yaml is x.output.yaml, to the byte, and other judges accept it too.

After a wanted change: VINOSERVE_UPDATE_GOLDEN=1 pytest tests/golden, and read the difference.
"""

import os
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from tests.pod_security import find_violations
from vinoserve_api.reading import read_class, read_service
from vinoserve_operator.commands import render

HERE = Path(__file__).parent
NAMES = sorted(path.name.removesuffix(".input.yaml") for path in HERE.glob("*.input.yaml"))


def render_input(name: str, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("VINOSERVE_IMAGE", "registry.example.com/vinoserve/runtime:1.2.3")
    documents = list(yaml.safe_load_all((HERE / f"{name}.input.yaml").read_text()))
    services = [read_service(d) for d in documents if d["kind"] == "InferenceService"]
    return render(services, [read_class(d) for d in documents if d["kind"] == "AcceleratorClass"])


def load(name: str, kind: str) -> dict[str, Any]:
    documents = yaml.safe_load_all((HERE / f"{name}.output.yaml").read_text())
    return next(d for d in documents if d["kind"] == kind)


@pytest.mark.parametrize("name", NAMES)
def test_the_output_is_as_it_was(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rendered = render_input(name, monkeypatch)
    output = HERE / f"{name}.output.yaml"
    if os.environ.get("VINOSERVE_UPDATE_GOLDEN"):
        output.write_text(rendered)
    assert rendered == output.read_text()
    assert rendered == render_input(name, monkeypatch)


@pytest.mark.parametrize("name", NAMES)
def test_kubernetes_own_schema_accepts_it(name: str) -> None:
    for document in yaml.safe_load_all((HERE / f"{name}.output.yaml").read_text()):
        kubernetes_validate.validate(document, "1.36", strict=True)


@pytest.mark.parametrize("name", NAMES)
def test_restricted_pod_security_admits_it_except_where_the_admin_mounts_folders_of_the_host(
    name: str,
) -> None:
    violations = find_violations(load(name, "Deployment")["spec"]["template"]["spec"])
    if name == "hostpath":
        assert violations == [
            "volumes[device-0]: hostPath",
            "volumes[library-0]: hostPath",
            "serve: privileged",
            "serve: allowPrivilegeEscalation is not false",
        ]
    elif name == "precompile":
        assert violations == ["volumes[cache]: hostPath"]
    else:
        assert violations == []


def test_only_the_fetch_container_sees_the_credentials() -> None:
    pod = load("gpu", "Deployment")["spec"]["template"]["spec"]
    fetch, serve = pod["initContainers"][0], pod["containers"][0]
    assert "credentials" in [m["name"] for m in fetch["volumeMounts"]]
    assert "credentials" not in [m["name"] for m in serve["volumeMounts"]]
    assert not any(c.get("env") or c.get("envFrom") for c in (fetch, serve))


def test_a_pod_gets_the_accelerators_that_its_target_counts_and_no_surge() -> None:
    spec = load("gpu", "Deployment")["spec"]
    resources = spec["template"]["spec"]["containers"][0]["resources"]
    assert resources["limits"]["gpu.intel.com/xe"] == resources["requests"]["gpu.intel.com/xe"] == "2"
    assert spec["template"]["spec"]["securityContext"]["supplementalGroups"] == [109, 993]
    assert spec["strategy"]["rollingUpdate"] == {"maxSurge": 0, "maxUnavailable": 1}
    assert load("cpu", "Deployment")["spec"]["strategy"]["rollingUpdate"] == {
        "maxSurge": 1,
        "maxUnavailable": 0,
    }
