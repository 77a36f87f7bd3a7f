"""Whether an upgrade restarts pods is decided here: a Deployment whose pod template changes replaces all of its pods."""

import hashlib
import json
import os
from pathlib import Path

import pytest
import yaml

HERE = Path(__file__).parent
KEPT = HERE / "pod_templates.json"
NAMES = sorted(path.name.removesuffix(".input.yaml") for path in HERE.glob("*.input.yaml"))


def digest(name: str) -> str:
    documents = yaml.safe_load_all((HERE / f"{name}.output.yaml").read_text())
    template = next(d for d in documents if d["kind"] == "Deployment")["spec"]["template"]
    return hashlib.sha256(json.dumps(template, sort_keys=True).encode()).hexdigest()[:16]


@pytest.fixture(scope="module")
def kept() -> dict[str, str]:
    if os.environ.get("VINOSERVE_UPDATE_GOLDEN"):
        made = {name: digest(name) for name in NAMES}
        KEPT.write_text(json.dumps(made, indent=1) + "\n")
    digests: dict[str, str] = json.loads(KEPT.read_text())
    return digests


@pytest.mark.parametrize("name", NAMES)
def test_an_upgrade_replaces_no_pod_unawares(name: str, kept: dict[str, str]) -> None:
    assert digest(name) == kept.get(name), (
        f"the pod template of {name} is another than it was: whoever upgrades to this version has every pod of every such "
        "service replaced, models fetched and compiled anew. If it must be, run VINOSERVE_UPDATE_GOLDEN=1 pytest tests/golden "
        "and say in CHANGELOG.md that upgrading restarts the pods"
    )


def test_every_kept_template_is_still_looked_at(kept: dict[str, str]) -> None:
    assert set(kept) == set(NAMES)
