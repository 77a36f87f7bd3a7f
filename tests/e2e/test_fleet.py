"""A fleet on a real API server with simulated nodes and pods: 300 services, 5,000 with VINOSERVE_SOAK=1.

The figures are printed. How long it takes is the machine's, most of it its API server's; what the operator takes of it is judged.
"""

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster_fixture import ROOT, DevCluster

SOAK = bool(os.environ.get("VINOSERVE_SOAK"))
SERVICES = 5000 if SOAK else 300
SYSTEM = "vinoserve-system"

pytestmark = pytest.mark.cluster


@pytest.fixture
def alone(cluster: DevCluster) -> Iterator[DevCluster]:
    """No operator of an installation writes beside the one that is measured."""

    operators = ("-l", "app.kubernetes.io/name=vinoserve-operator")

    def scale(replicas: int) -> None:
        cluster.kubectl(
            "-n", SYSTEM, "scale", "deployment", *operators, f"--replicas={replicas}", check=False
        )

    scale(0)
    cluster.kubectl("-n", SYSTEM, "wait", "--for=delete", "pod", *operators, "--timeout=100s")
    yield cluster
    scale(1)


def test_a_fleet_converges_and_rests(alone: DevCluster, tmp_path: Path) -> None:
    """Checks 1 to 4: all are Ready, an idle fleet costs nothing, and a restart writes nothing."""
    limit = 1200 if SOAK else 400
    done = alone.run(
        "env", "-C", ROOT, sys.executable, "-m", "tools.fleet",
        "--services", str(SERVICES), "--trickle", "200" if SOAK else "60", "--limit", str(limit),
        "--idle", "30" if SOAK else "5", "--logs", str(tmp_path),
        timeout=4 * limit,
    )  # fmt: skip
    print(done.stdout)  # noqa: T201
    figures = json.loads(done.stdout)
    assert figures["restart"]["writes"] == 0
    assert figures["statusWritesPerService"] <= 6
    assert max(figures["burst"]["peakMegabytes"], figures["restart"]["peakMegabytes"]) <= 250
    if SOAK:
        assert figures["idle"]["cpuPercent"] <= 2
