"""The init container's script: patient where the kind isn't there yet, and modest where an admin has set a field."""

import importlib.util
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from kubernetes import client
from tests.chart.conftest import CHART

GPU = {
    "apiVersion": "vinoserve.dev/v1alpha1",
    "kind": "AcceleratorClass",
    "metadata": {"name": "intel-gpu"},
    "spec": {},
}


class Server:
    """Answers each patch with the next of `answers`: None, or the status of a refusal. `managers` have set the class' spec."""

    def __init__(self, *answers: int | None, managers: tuple[str, ...] = ()) -> None:
        self.answers = iter(answers)
        self.managers = managers
        self.patches: list[tuple[Any, ...]] = []

    def get_cluster_custom_object(self, *_: str) -> dict[str, Any]:
        if not self.managers:
            raise client.ApiException(status=404)
        status = {"manager": "vinoserve", "fieldsV1": {"f:status": {}}}
        return {
            "metadata": {
                "managedFields": [
                    status,
                    *({"manager": m, "fieldsV1": {"f:spec": {}}} for m in self.managers),
                ]
            }
        }

    def patch_cluster_custom_object(self, *args: Any, **options: Any) -> None:
        self.patches.append((*args[:4], options["field_manager"]))
        if answer := next(self.answers):
            raise client.ApiException(status=answer)


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("apply_classes", CHART / "files/apply_classes.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    file = tmp_path / "classes.json"
    file.write_text(json.dumps([GPU]))
    monkeypatch.setattr("sys.argv", ["apply_classes.py", str(file)])
    monkeypatch.setattr(module.config, "load_incluster_config", lambda: None)
    monkeypatch.setattr(module.time, "sleep", lambda _: None)
    return module


def run(script: ModuleType, monkeypatch: pytest.MonkeyPatch, server: Server) -> int:
    monkeypatch.setattr(script.client, "CustomObjectsApi", lambda _: server)
    return script.main()


def test_waits_for_the_kind(
    script: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    server = Server(404, 404, None)
    assert run(script, monkeypatch, server) == 0
    assert server.patches[-1] == (
        "vinoserve.dev",
        "v1alpha1",
        "acceleratorclasses",
        "intel-gpu",
        "vinoserve-chart",
    )
    assert capsys.readouterr().out == "AcceleratorClass intel-gpu: applied\n"


def test_applies_its_own_again(script: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server(None, managers=("vinoserve-chart",))
    assert run(script, monkeypatch, server) == 0
    assert len(server.patches) == 1


def test_leaves_what_an_admin_has_set(
    script: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    server = Server(managers=("vinoserve-chart", "kubectl-edit"))
    assert run(script, monkeypatch, server) == 0
    assert not server.patches
    assert "left as it is: kubectl-edit has set its spec" in capsys.readouterr().out


def test_says_that_the_kind_is_missing(
    script: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(script, "PATIENCE", -1)
    assert run(script, monkeypatch, Server(404)) == 1
    assert "crds.enabled" in capsys.readouterr().out


@pytest.mark.parametrize("status", [403, 409])
def test_fails_loudly_where_it_is_refused(
    script: ModuleType, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    with pytest.raises(client.ApiException):
        run(script, monkeypatch, Server(status))
