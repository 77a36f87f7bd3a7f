"""What a person at a terminal sees while a model is fetched and started; programs get their lines as ever."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.terminal import run_on_terminal
from tests.models import write_classifier
from tests.runtime.configs import make_config
from vinoserve_runtime.commands import show_devices
from vinoserve_runtime.display import Display

SERVICE = """
apiVersion: vinoserve.dev/v1alpha1
kind: InferenceService
metadata: {name: classifier}
spec:
  model: {uri: "file:MODEL"}
  parity: {random: 2}
"""
FETCH = """
import sys
from pathlib import Path
from vinoserve_api.contract import RuntimeConfig
from vinoserve_runtime import commands
folder = Path(sys.argv[1])
config = RuntimeConfig.model_validate_json((folder / "config.json").read_bytes())
code = commands.fetch(config, model_dir=folder / "models", claim_dir=folder / "claim", credentials_dir=folder / "none")
print("rich" in sys.modules)
sys.exit(code)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_classifier(tmp_path / "m.xml")
    (tmp_path / "m.yaml").write_text(SERVICE.replace("MODEL", "m.xml"))
    return tmp_path


def serve(folder: Path) -> list[str]:
    ports = ["--http-port", "0", "--grpc-port", "0", "--admin-port", "0"]
    return [
        sys.executable,
        "-m",
        "vinoserve_cli",
        "serve",
        str(folder / "m.yaml"),
        "--cache-dir",
        str(folder / "cache"),
        *ports,
    ]


def fetch(folder: Path, uri: Path) -> list[str]:
    (folder / "config.json").write_text(make_config(uri).model_dump_json(by_alias=True))
    return [sys.executable, "-c", FETCH, str(folder)]


def rows(screen: str) -> list[str]:
    """What stays on the screen, without colours, of the finished rows."""
    plain = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "\n", screen)
    return [line.strip() for line in plain.splitlines() if line.strip()]


def test_serve_shows_each_phase_and_ends_in_one_line(folder: Path) -> None:
    code, out, err = run_on_terminal(serve(folder), until="is ready on")
    assert code == 0
    (line,) = out.splitlines()
    assert line.startswith("classifier is ready on CPU: http://127.0.0.1:")
    shown = rows(err)
    for phase in ("Fetching", "Reading", "Compiling", "Comparing with the reference", "Warming up"):
        assert [row for row in shown if row.startswith(f"✓ {phase}")], phase
    assert [row for row in shown if re.fullmatch(r"\d+\.\d s", row)]
    assert [row for row in shown if "KiB" in row]
    assert not [row for row in shown if "[info" in row and "Reading" in row]


def test_what_is_warned_of_is_said_where_it_is_started(folder: Path) -> None:
    manifest = folder / "m.yaml"
    manifest.write_text(manifest.read_text() + "  targetDevice: AUTO:GPU,CPU\n  onFallback: Warn\n")
    code, _, err = run_on_terminal(serve(folder), until="is ready on")
    assert code == 0
    (said,) = [line for line in err.splitlines() if "asked for AUTO:GPU,CPU, but it runs on CPU" in line]
    assert "[warning" in said


@pytest.mark.parametrize(
    ("devices", "target", "shown"),
    [
        (("GPU.0", "CPU"), "HETERO:GPU,CPU", "GPU.0, CPU"),
        (("(CPU)",), "AUTO:GPU,CPU", "CPU until AUTO:GPU,CPU has compiled"),
    ],
)
def test_a_device_that_stands_in_is_not_said_to_stay(
    devices: tuple[str, ...], target: str, shown: str
) -> None:
    assert show_devices(devices, target) == shown


def test_seconds_stop_where_their_phase_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    display = Display()
    monkeypatch.setattr(display._rows, "get_time", lambda: now[0])
    for phase, end in (("Fetching", 1.0), ("Reading", 3.0)):
        display.show(phase)
        now[0] = end
    display.close(finished=True)
    now[0] = 9.0
    assert [task.elapsed for task in display._rows.tasks] == [1.0, 2.0]


def test_a_failure_is_said_below_the_rows(folder: Path) -> None:
    (folder / "m.xml").write_text("no model")
    code, out, err = run_on_terminal(serve(folder))
    assert (code, out) == (1, "")
    assert "ModelInvalid" in rows(err)[-1]
    assert [row for row in rows(err) if row.startswith("✗ Reading")]
    assert not [row for row in rows(err) if row.startswith("✓ Reading")]
    assert err.endswith("\n")


def test_fetch_shows_bytes(folder: Path) -> None:
    code, out, err = run_on_terminal(fetch(folder, folder / "m.xml"))
    assert (code, out.split()) == (0, ["True"])
    assert [row for row in rows(err) if row.startswith("✓ Fetching")]
    assert "size_bytes" in err


def test_fetch_that_fails_says_it_below(folder: Path) -> None:
    code, _, err = run_on_terminal(fetch(folder, folder / "nope.xml"))
    assert code == 1
    assert "ModelNotFound" in rows(err)[-1]
    assert [row for row in rows(err) if row.startswith("✗ Fetching")]


def test_programs_get_lines_of_json_and_no_rich(folder: Path) -> None:
    done = subprocess.run(fetch(folder, folder / "m.xml"), capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
    assert [json.loads(line)["event"] for line in done.stderr.splitlines()] == ["fetching", "fetched"]
