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
    """Answers each patch with the next of `answers`: None, or the status and message of a refusal."""

    def __init__(self, *answers: tuple[int, str] | None) -> None:
        self.answers = iter(answers)
        self.patches: list[tuple[Any, ...]] = []

    def patch_cluster_custom_object(self, *args: Any, **options: Any) -> None:
        self.patches.append((*args[:4], options["field_manager"], options.get("force")))
        if answer := next(self.answers):
            error = client.ApiException(status=answer[0])
            error.body = json.dumps({"message": answer[1]})
            raise error


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
    server = Server((404, "not found"), (404, "not found"), None)
    assert run(script, monkeypatch, server) == 0
    assert server.patches[-1] == (
        "vinoserve.dev",
        "v1alpha1",
        "acceleratorclasses",
        "intel-gpu",
        "vinoserve-chart",
        None,
    )
    assert capsys.readouterr().out == "AcceleratorClass intel-gpu: applied\n"


def test_leaves_what_an_admin_has_set(
    script: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(script, monkeypatch, Server((409, 'conflict with "kubectl-edit": .spec.renderGroups'))) == 0
    assert "left as it is" in (said := capsys.readouterr().out)
    assert ".spec.renderGroups" in said


def test_says_that_the_kind_is_missing(
    script: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(script, "PATIENCE", -1)
    assert run(script, monkeypatch, Server((404, "not found"))) == 1
    assert "crds.enabled" in capsys.readouterr().out


def test_fails_loudly_where_it_is_refused(script: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(client.ApiException):
        run(script, monkeypatch, Server((403, "forbidden")))
