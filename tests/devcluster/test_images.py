"""The operator's image, as a container sees it (the runtime's is made the same way, and is larger)."""

import json
import re
import subprocess
import sys
import tarfile
import tomllib
from pathlib import Path

import pytest

from tools.toolbox.debian import need_bookworm
from tools.toolbox.errors import ToolError

ROOT = Path(__file__).parents[2]
PACKAGES = "usr/local/lib/python3.11/dist-packages"


@pytest.fixture(scope="module")
def files() -> dict[str, tarfile.TarInfo]:
    try:
        need_bookworm()
    except ToolError as error:
        pytest.skip(str(error))
    made = subprocess.run(
        [ROOT / "tools/images/images", "--json", "operator"], stdout=subprocess.PIPE, text=True, check=True
    )
    (image,) = json.loads(made.stdout)
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert image["tag"] == f"localhost/vinoserve-operator:{version}"
    found: dict[str, tarfile.TarInfo] = {}
    with tarfile.open(image["archive"]) as archive:
        for layer in json.load(archive.extractfile("manifest.json"))[0]["Layers"]:  # type: ignore[arg-type]
            with tarfile.open(fileobj=archive.extractfile(layer)) as tar:
                found |= {member.name: member for member in tar}
    return found


def test_the_command_and_the_packages(files: dict[str, tarfile.TarInfo]) -> None:
    assert files["usr/local/bin/vinoserve"].mode == 0o755
    for package in ("vinoserve_api", "vinoserve_operator", "vinoserve_cli", "kopf"):
        assert f"{PACKAGES}/{package}/__init__.py" in files
    for package in ("vinoserve_runtime", "openvino"):
        assert f"{PACKAGES}/{package}" not in files, "the operator does no inference"


def test_modules_are_compiled(files: dict[str, tarfile.TarInfo]) -> None:
    """A container with a read-only root could not keep what it compiles."""
    for folder in ("usr/lib/python3.11/json", f"{PACKAGES}/kopf", f"{PACKAGES}/vinoserve_api"):
        assert f"{folder}/__pycache__/__init__.cpython-311.pyc" in files


def test_certificates_are_there(files: dict[str, tarfile.TarInfo]) -> None:
    assert files["etc/ssl/certs/ca-certificates.crt"].size > 100_000


def test_everyone_may_read_everything(files: dict[str, tarfile.TarInfo]) -> None:
    closed = [f.name for f in files.values() if not f.issym() and f.mode & 0o444 != 0o444]
    assert not closed
    assert not [f.name for f in files.values() if f.isfile() and f.mode & 0o6000], (
        "nothing raises its privileges"
    )


@pytest.mark.parametrize("image", ["operator", "runtime"])
def test_the_script_of_the_containerfiles(image: str, tmp_path: Path) -> None:
    """It needs nothing but Python; the command and the version work from what it copies."""
    packages, binaries = tmp_path / "packages", tmp_path / "bin"
    script = ROOT / "tools/images/code.py"
    subprocess.run([sys.executable, "-I", script, image, packages, binaries], check=True)
    shown = subprocess.run(
        [sys.executable, binaries / "vinoserve", "--version"],
        env={"PYTHONPATH": str(packages)},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    assert tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"] in shown.stdout
    containerfile = (ROOT / image / "Containerfile").read_text()
    copied = {package.name for package in packages.glob("vinoserve_*")}
    assert copied == set(re.findall(r"COPY \w+/(vinoserve_\w+) ", containerfile))
