import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from vinoserve_api.conditions import FailureReason
from vinoserve_api.contract import RuntimeConfig, RuntimeFailure, make_runtime_config
from vinoserve_api.reading import read_service
from vinoserve_cli.__main__ import main

GOOD = """
apiVersion: vinoserve.dev/v1alpha1
kind: InferenceService
metadata: {name: resnet50}
spec:
  model: {uri: "file:models/resnet50.onnx"}
"""


@pytest.fixture
def good(tmp_path: Path) -> Path:
    file = tmp_path / "good.yaml"
    file.write_text(GOOD)
    return file


@pytest.fixture
def bad(tmp_path: Path) -> Path:
    file = tmp_path / "bad.yaml"
    file.write_text(GOOD + "  targetDevice: GPU\n  properties: {GPU: {PERFORMANCE_HINTT: LATENCY}}\n")
    return file


class Calls:
    """Stands in for the runtime's commands."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.config: RuntimeConfig | None = None
        self.options: dict[str, Any] = {}
        self.failures: list[RuntimeFailure] = []
        monkeypatch.setattr("vinoserve_runtime.commands.refuse", self.fail)
        for name in ("serve", "fetch"):
            monkeypatch.setattr(f"vinoserve_runtime.commands.{name}", self.call)

    def call(self, config: RuntimeConfig, **options: Any) -> int:
        self.config, self.options = config, options
        return 0

    def fail(self, failure: RuntimeFailure) -> int:
        self.failures.append(failure)
        return 1


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Calls:
    return Calls(monkeypatch)


# --- validate


def test_validate_good(good: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["validate", str(good)]) == 0
    assert capsys.readouterr() == (f"{good}: valid\n", "")


def test_validate_bad(good: Path, bad: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["validate", str(bad), str(good)]) == 1
    assert capsys.readouterr().out.splitlines() == [
        f"{bad}: spec.properties.GPU.PERFORMANCE_HINTT: unknown property; did you mean PERFORMANCE_HINT?",
        f"{good}: valid",
    ]


def test_validate_says_which_of_several(bad: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bad.write_text(GOOD + "---" + bad.read_text())
    assert main(["validate", str(bad)]) == 1
    assert capsys.readouterr().out.startswith(f"{bad}:8: spec.properties.")


def test_validate_goes_on_past_what_it_cannot_read(bad: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["validate", "nope.yaml", str(bad)]) == 2
    out, err = capsys.readouterr()
    assert err == "nope.yaml: no such file or directory\n"
    assert "PERFORMANCE_HINTT" in out


# --- render


def test_render_is_yaml_and_the_same_each_time(good: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["render", str(good)]) == 0
    first = capsys.readouterr().out
    assert {document["kind"] for document in yaml.safe_load_all(first)} >= {
        "Deployment",
        "Service",
        "ConfigMap",
    }
    assert main(["render", str(good)]) == 0
    assert capsys.readouterr().out == first


def test_render_renders_nothing_bad(good: Path, bad: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["render", str(good), str(bad)]) == 1
    assert "Deployment" not in capsys.readouterr().out


# --- serve and fetch


def test_serve_file(good: Path, calls: Calls, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`file:` paths count from the manifest, wherever the command was started."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir("/")
    assert main(["serve", str(good)]) == 0
    assert calls.config is not None
    assert calls.config.model.uri == f"file:{tmp_path}/models/resnet50.onnx"
    assert calls.config.model.name == "resnet50"
    assert calls.options == {
        "host": "127.0.0.1",
        "http_port": 8000,
        "grpc_port": 8001,
        "admin_port": 8002,
        "model_dir": tmp_path / "cache/vinoserve/models",
        "cache_dir": tmp_path / "cache/vinoserve/compiled",
        "fetch": True,
    }


def test_serve_file_from_a_folder_with_spaces(calls: Calls, tmp_path: Path) -> None:
    folder = tmp_path / "my models #1"
    folder.mkdir()
    (folder / "a.yaml").write_text(GOOD)
    assert main(["serve", str(folder / "a.yaml")]) == 0
    assert calls.config is not None
    assert calls.config.model.uri == f"file:{tmp_path}/my%20models%20%231/models/resnet50.onnx"


@pytest.mark.parametrize("uri", ["file:/models/a.onnx", "https://models.example/a.onnx"])
def test_serve_leaves_other_uris(good: Path, calls: Calls, uri: str) -> None:
    good.write_text(GOOD.replace("file:models/resnet50.onnx", uri))
    assert main(["serve", str(good)]) == 0
    assert calls.config is not None
    assert calls.config.model.uri == uri


def test_serve_options(good: Path, calls: Calls, tmp_path: Path) -> None:
    options = [
        "--host",
        "0.0.0.0",
        "--http-port",
        "0",
        "--grpc-port",
        "9001",
        "--admin-port",
        "9002",
        "--cache-dir",
        str(tmp_path),
    ]
    assert main(["serve", str(good), *options]) == 0
    assert calls.options["host"] == "0.0.0.0"
    assert [calls.options[f"{name}_port"] for name in ("http", "grpc", "admin")] == [0, 9001, 9002]
    assert calls.options["cache_dir"] == tmp_path / "compiled"


def test_serve_refuses_what_is_wrong(
    good: Path, bad: Path, calls: Calls, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["serve", str(bad)]) == 1
    assert main(["serve", "nope.yaml"]) == 2
    good.write_text(GOOD + "---" + GOOD)
    assert main(["serve", str(good)]) == 1
    assert "holds 2 InferenceServices; one is served at a time" in capsys.readouterr().err
    assert calls.config is None


def test_serve_in_a_pod(calls: Calls, tmp_path: Path) -> None:
    config = make_runtime_config(read_service(yaml.safe_load(GOOD)))
    path = tmp_path / "config.json"
    path.write_text(config.model_dump_json(by_alias=True))
    assert main(["serve", "--config", str(path)]) == 0
    assert calls.config == config
    assert calls.options == {
        "host": "",  # every address
        "http_port": 8000,
        "grpc_port": 8001,
        "admin_port": 8002,
        "model_dir": Path("/models"),
        "cache_dir": Path("/cache"),
        "fetch": False,
        "precompile": False,
    }
    assert main(["serve", "--config", str(path), "--precompile"]) == 0
    assert calls.options["precompile"]
    assert main(["fetch", "--config", str(path)]) == 0
    assert calls.options["model_dir"] == Path("/models")


@pytest.mark.parametrize("text", ["{", '{"version": "v1"}'])
def test_no_config(calls: Calls, tmp_path: Path, text: str) -> None:
    path = tmp_path / "config.json"
    path.write_text(text)
    assert main(["serve", "--config", str(path)]) == 1
    assert main(["fetch", "--config", str(tmp_path / "nope.json")]) == 1
    first, second = calls.failures
    assert first.reason is second.reason is FailureReason.INVALID_CONFIG
    assert "is no RuntimeConfig" in first.message
    assert second.message.endswith("nope.json: no such file or directory")


# --- the command


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["serve"],
        ["serve", "a", "--config", "b"],
        ["serve", "a", "--http-port", "70000"],
        ["validate"],
        ["nope"],
    ],
)
def test_usage(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert "usage: vinoserve" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("command", "extra", "library"), [("serve", "runtime", "openvino"), ("render", "operator", "kubernetes")]
)
def test_says_what_to_install(good: Path, command: str, extra: str, library: str) -> None:
    """Without the extra; `validate` needs neither."""
    code = (
        "import sys\n"
        f"sys.modules['{library}'] = None\n"
        "from vinoserve_cli.__main__ import main\n"
        f"assert main(['validate', {str(good)!r}]) == 0\n"
        f"main([{command!r}, {str(good)!r}])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert f"vinoserve {command} needs the {extra}" in done.stderr
    assert f"pip install 'vinoserve[{extra}]'" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_api_and_the_command_line_load_no_package_of_an_extra(good: Path) -> None:
    code = (
        "import sys\n"
        "from vinoserve_cli.__main__ import main\n"
        f"main(['validate', {str(good)!r}])\n"
        "print([m for m in ('openvino', 'kubernetes', 'kopf', 'numpy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
