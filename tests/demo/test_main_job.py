"""The main job, as a user runs it: on a cluster that is there, with the user's own text."""

import subprocess
import sys

import pytest

from tests.cluster_fixture import ROOT, DevCluster
from tools.demo.manifests import NAMESPACE

pytestmark = pytest.mark.cluster


def run_demo(cluster: DevCluster, text: str) -> subprocess.CompletedProcess[str]:
    image = cluster.images["runtime"].replace("-runtime:", ":")
    command = cluster.argv(
        sys.executable, "-m", "tools.demo", "up", "--cluster", "current", "--image", image, "--text", text
    )
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600, check=False)


def test_a_line_of_text_is_read_and_read_again(cluster: DevCluster) -> None:
    try:
        for text in ("Hello from OpenVINO on Kubernetes", "and once more, No. 2"):
            done = run_demo(cluster, text)
            assert done.returncode == 0, done.stderr
            assert done.stdout.splitlines()[0].strip() == text
            header, row = done.stdout.splitlines()[-2:]
            assert dict(zip(header.split(), row.split(), strict=True))["RUNS-ON"] == "CPU"
    finally:
        cluster.kubectl("delete", "namespace", NAMESPACE, "--ignore-not-found", "--timeout=180s", timeout=200)
