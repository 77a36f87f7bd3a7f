"""Sources with credentials, from a pod whose root is read-only: the Secret's keys are files of the fetch container alone."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import models
from tests.cluster_fixture import DevCluster
from tests.e2e.conftest import Site
from tests.e2e.waiting import wait_until
from tests.servers_fixture import S3Server, make_s3_command
from tools.devcluster.layout import NODE_IP
from tools.servers.build import Servers

pytestmark = pytest.mark.cluster

PORT = 7070


@pytest.fixture
def node_s3(installed: DevCluster, server_programs: Servers, s3_server: S3Server) -> Iterator[str]:
    """The session's buckets once more, where pods can reach them; the endpoint."""
    command = make_s3_command(server_programs, s3_server.folder.parent, f"{NODE_IP}:{PORT}")
    env = ["env", f"ROOT_ACCESS_KEY_ID={s3_server.access_key_id}"]
    env += [f"ROOT_SECRET_ACCESS_KEY={s3_server.secret_access_key}"]
    process = subprocess.Popen(installed.argv(*env, *command), stdin=subprocess.DEVNULL)
    endpoint = f"http://{NODE_IP}:{PORT}"
    try:
        wait_until(
            lambda: not installed.run("curl", "-s", f"{endpoint}/healthz", check=False).returncode,
            f"{endpoint} answers",
        )
        yield endpoint
    finally:
        process.terminate()
        process.wait(30)


def make_secret(site: Site, name: str, **keys: str) -> None:
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": keys}
    site.kubectl("apply", "-f", "-", input=json.dumps(secret))


def test_a_bucket(site: Site, node_s3: str, s3_server: S3Server, tmp_path: Path) -> None:
    bucket = s3_server.folder / "e2e-models"
    bucket.mkdir()
    (bucket / "relu.onnx").write_bytes(models.write_adder(tmp_path / "relu.onnx").read_bytes())
    make_secret(
        site,
        "s3-reader",
        AWS_ACCESS_KEY_ID=s3_server.access_key_id,
        AWS_SECRET_ACCESS_KEY=s3_server.secret_access_key,
        AWS_REGION=s3_server.region,
        AWS_ENDPOINT_URL=node_s3,
    )
    model = {"uri": "s3://e2e-models/relu.onnx", "credentials": {"secretName": "s3-reader"}}
    site.apply("bucket", {"model": model})
    assert site.wait_ready("bucket")["model"]["sizeBytes"] > 0

    make_secret(
        site,
        "s3-stranger",
        AWS_ACCESS_KEY_ID=s3_server.access_key_id,
        AWS_SECRET_ACCESS_KEY="no-such-secret",
        AWS_REGION=s3_server.region,
        AWS_ENDPOINT_URL=node_s3,
    )
    site.apply("stranger", {"model": {**model, "credentials": {"secretName": "s3-stranger"}}})
    message = site.wait_condition("stranger", "Ready", "False", "AccessDenied")
    assert "no-such-secret" not in message


def test_a_hub_that_nobody_answers_at(site: Site) -> None:
    make_secret(site, "hub", HF_TOKEN="hf_of_nobody", HF_ENDPOINT=f"http://{NODE_IP}:9")
    model = {"uri": "hf://team/model@main", "credentials": {"secretName": "hub"}}
    site.apply("hub", {"model": model})
    message = site.wait_condition("hub", "Ready", "False", "FetchFailed")
    assert "hf_of_nobody" not in message
