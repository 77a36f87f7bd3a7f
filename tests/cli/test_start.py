"""How a pod starts: what it imports, how long that takes, and that it ends when it is told to while it does."""

import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.models import write_classifier
from tests.runtime.configs import make_config

SPARED = (
    "rich",
    "pygments",
    "huggingface_hub",
    "obstore",
    "oras",
    "PIL",
    "httpx",
    "yaml",
    "openvino.tools",
    "kubernetes",
)
"""What a pod that serves a fetched model has no use for."""


def test_a_pod_imports_nothing_that_it_has_no_use_for() -> None:
    code = (
        "import sys\nimport vinoserve_cli.serve\nfrom vinoserve_runtime import commands\nimport vinoserve_runtime.lifecycle\n"
        f"import vinoserve_runtime.grpc\nprint([name for name in {SPARED!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_the_commands_load_no_engine() -> None:
    """Whoever fetches, or has a configuration that can't be read, doesn't wait for it."""
    code = (
        "import sys\nimport vinoserve_runtime.commands\n"
        "print([name for name in ('numpy', 'openvino', 'grpc', 'prometheus_client') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_importing_the_commands_takes_a_third_of_a_second(tmp_path: Path) -> None:
    """In seconds of a processor, on a machine that may be busy, from bytecode as an image has it: the first good one counts."""
    env = {**os.environ, "PYTHONPYCACHEPREFIX": str(tmp_path)}
    env.pop("PYTHONDONTWRITEBYTECODE", None)

    def measure() -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-c", "import vinoserve_runtime.commands"], env=env, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    assert any(measure() < 0.35 for _ in range(30))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("when", ["vinoserve_api.contract", "vinoserve_runtime.commands", "numpy"])
def test_a_server_that_is_told_to_end_while_it_imports_does(
    tmp_path: Path, number: signal.Signals, when: str
) -> None:
    config = tmp_path / "config.json"
    config.write_text(make_config(write_classifier(tmp_path / "m.xml")).model_dump_json(by_alias=True))
    code = f"""
import os, sys
class Stop:
    def find_spec(self, name, *_):
        if name == {when!r}:
            os.kill(os.getpid(), {int(number)})
sys.meta_path.insert(0, Stop())
from vinoserve_cli.__main__ import main
sys.exit(main(["serve", "--config", {str(config)!r}]))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_command_leaves_the_signals_as_they_were() -> None:
    from vinoserve_cli.__main__ import main  # noqa: PLC0415

    before = signal.getsignal(signal.SIGTERM)
    assert main(["serve", "nope.yaml"]) == 2
    assert signal.getsignal(signal.SIGTERM) is before
