"""What helm says after an install can be pasted as it is."""

import subprocess
from collections.abc import Callable

import pytest
import yaml

from tests.chart.conftest import CHART
from vinoserve_api.v1alpha1 import InferenceService


@pytest.mark.parametrize(
    ("values", "namespace"), [((), "default"), (("--set", "watchNamespaces={team-a}"), "team-a")]
)
def test_the_next_command_is_a_valid_service(
    helm: Callable[..., subprocess.CompletedProcess[str]], values: tuple[str, ...], namespace: str
) -> None:
    done = helm("install", "vinoserve", CHART, "--dry-run=client", "--disable-openapi-validation", *values)
    assert done.returncode == 0, done.stderr
    notes = done.stdout.rpartition("NOTES:")[2]
    manifest = notes.partition("<<'EOF'\n")[2].partition("  EOF\n")[0]
    service = InferenceService.load(yaml.safe_load(manifest))
    assert service.metadata.namespace == namespace
    assert f"kubectl -n {namespace} wait vis/{service.metadata.name} --for=condition=Ready" in notes
