"""One manifest for each rule: ours and the API server's answers to it.

`invalid/`: both refuse. `accepted-false/`: what the API server can't know; the operator says Accepted=False.
"""

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from vinoserve_api.rules import CLASS_CEL, SERVICE_CEL
from vinoserve_cli.manifests import read_files

HERE = Path(__file__).parent
CRDS = HERE.parents[1] / "crds"


#: Runs in the cluster's network, once for all files: entering it takes longer than an answer.
ASK_ALL = """
import json, subprocess, sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

def ask(file):
    command = ["kubectl", "apply", "--dry-run=server", "--validate=strict", "-f", file]
    done = subprocess.run(command, capture_output=True, text=True)
    return file, (done.returncode, done.stdout + done.stderr)

with ThreadPoolExecutor(2) as pool:
    json.dump(dict(pool.map(ask, sorted(map(str, Path(sys.argv[1]).glob("*/*.yaml"))))), sys.stdout)
"""


def manifests(*folders: str) -> list[Any]:
    files = [file for folder in folders for file in sorted((HERE / folder).glob("*.yaml"))]
    return [pytest.param(file, id=f"{file.parent.name}/{file.stem}") for file in files]


def problems_of(file: Path) -> list[str]:
    return [str(problem) for found in read_files([str(file)]) for problem in found.problems]


@pytest.mark.parametrize("file", manifests("valid"))
def test_valid(file: Path) -> None:
    assert problems_of(file) == []


@pytest.mark.parametrize("file", manifests("invalid", "accepted-false"))
def test_invalid(file: Path) -> None:
    """One problem says all that the header expects: where, and what would be right."""
    expected = re.findall("^# refused: (.*)$", file.read_text(), re.MULTILINE)
    problems = problems_of(file)
    assert expected
    assert any(all(part in problem for part in expected) for problem in problems), problems


@pytest.fixture(scope="module")
def answers(cluster: Any) -> Iterator[dict[Path, tuple[int, str]]]:
    """What the API server says to each file: exit code and text of `kubectl apply`."""
    there = cluster.kubectl("get", "crd", "inferenceservices.vinoserve.dev", check=False).returncode == 0
    if not there:  # else the chart's, which are the same
        cluster.kubectl("create", "-f", str(CRDS))
        cluster.kubectl("wait", "--for=condition=Established", "-f", str(CRDS), "--timeout=60s")

    asked = cluster.run(sys.executable, "-c", ASK_ALL, str(HERE), timeout=600).stdout
    yield {Path(file): (code, text) for file, (code, text) in json.loads(asked).items()}
    if not there:
        cluster.kubectl("delete", "-f", str(CRDS))


@pytest.mark.cluster
@pytest.mark.parametrize("file", manifests("valid", "accepted-false"))
def test_api_server_accepts(file: Path, answers: dict[Path, tuple[int, str]]) -> None:
    code, text = answers[file]
    assert code == 0, text


@pytest.mark.cluster
@pytest.mark.parametrize("file", manifests("invalid"))
def test_api_server_refuses(file: Path, answers: dict[Path, tuple[int, str]]) -> None:
    code, text = answers[file]
    assert code != 0
    expected = re.search("^# refused: (spec[.a-zA-Z]*)", file.read_text(), re.MULTILINE)
    if expected:  # on the same part of the object, if not always as exactly
        assert ".".join(expected[1].split(".")[:2]) in text
    if "is invalid" in text:
        assert yaml.safe_load(file.read_text())["metadata"]["name"] in text


@pytest.mark.cluster
def test_every_rule_refuses_something(answers: dict[Path, tuple[int, str]]) -> None:
    """A rule that no manifest breaks might as well not be there."""
    said = json.dumps([text for code, text in answers.values() if code], ensure_ascii=False)
    silent = [
        rule.message
        for rule in (*SERVICE_CEL, *CLASS_CEL)
        if not rule.computed and json.dumps(rule.message, ensure_ascii=False)[1:-1] not in said
    ]
    assert sorted(set(silent)) == []
