"""The init container's script: patient where the kind isn't there yet, and modest where an admin has set a field."""

import copy
import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from kubernetes import client

from tests.chart.conftest import CHART

DEFAULT = {"vinoserve.dev/is-default-class": "true"}
GPU = {
    "apiVersion": "vinoserve.dev/v1alpha1",
    "kind": "AcceleratorClass",
    "metadata": {"name": "intel-gpu", "annotations": DEFAULT},
    "spec": {"deviceType": "GPU", "renderGroups": [44, 992]},
}


class Server:
    """Has the class as it was patched last. Answers each patch with the next of `answers`: None, or the status of a refusal."""

    def __init__(self, *answers: int | None) -> None:
        self.answers = iter(answers)
        self.found: dict[str, Any] | None = None
        self.patches = 0

    def get_cluster_custom_object(self, *path: str) -> dict[str, Any]:
        assert path == ("vinoserve.dev", "v1alpha1", "acceleratorclasses", "intel-gpu")
        if not self.found:
            raise client.ApiException(status=404)
        return self.found

    def patch_cluster_custom_object(self, *args: Any, **options: Any) -> None:
        assert args[:4] == ("vinoserve.dev", "v1alpha1", "acceleratorclasses", "intel-gpu")
        assert options["field_manager"] == "vinoserve-chart"
        self.patches += 1
        if answer := next(self.answers):
            raise client.ApiException(status=answer)
        self.found = copy.deepcopy(args[4])


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
    assert server.found["spec"] == GPU["spec"]
    assert capsys.readouterr().out == "AcceleratorClass intel-gpu: applied\n"


def test_applies_its_own_again(script: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server(None, None)
    run(script, monkeypatch, server)
    server.found["spec"]["nodeSelector"] = {"added": "by an admin"}
    assert run(script, monkeypatch, server) == 0
    assert server.patches == 2


@pytest.mark.parametrize(
    "change",
    [
        lambda found: found["spec"]["renderGroups"].remove(44),
        lambda found: found["spec"].pop("renderGroups"),
        lambda found: found["metadata"]["annotations"].pop("vinoserve.dev/is-default-class"),
        lambda found: found["metadata"].pop("annotations"),
    ],
    ids=["a list is shorter", "a field is gone", "no default", "not of this chart"],
)
def test_leaves_what_an_admin_has_changed(
    script: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    change: Callable[[dict[str, Any]], None],
) -> None:
    server = Server(None)
    run(script, monkeypatch, server)
    change(server.found)
    assert run(script, monkeypatch, server) == 0
    assert server.patches == 1
    assert "intel-gpu: left as it is" in capsys.readouterr().out


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
