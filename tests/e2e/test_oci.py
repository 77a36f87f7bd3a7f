"""Models that are images: the node pulls and mounts them, and what stands in the way is said."""

import json
import subprocess
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import models
from tests.cluster_fixture import DevCluster
from tests.e2e.conftest import Site
from tests.e2e.waiting import wait_until
from tests.registry import Pusher, tar
from tests.servers_fixture import Registry, make_registry_command
from tools.servers.build import Servers

pytestmark = pytest.mark.cluster

PORT = 5000
PRIVATE_PORT = 5001
ONE = [{"name": "x", "datatype": "FP32", "shape": [1, 4], "data": [-1, 0, 2.5, 3]}]


@pytest.fixture(scope="session")
def node_registries(
    installed: DevCluster,
    server_programs: Servers,
    oci_registry: Registry,
    private_oci_registry: Registry,
) -> Iterator[None]:
    """The session's registries once more, on the node's own loopback: what is pushed to those can be pulled from these."""
    served = ((oci_registry, PORT), (private_oci_registry, PRIVATE_PORT))
    processes = [
        subprocess.Popen(
            installed.argv(*make_registry_command(server_programs, registry.folder, port, registry.username)),
            stdin=subprocess.DEVNULL,
        )
        for registry, port in served
    ]
    try:
        for _, port in served:
            url = f"http://127.0.0.1:{port}/v2/"
            wait_until(
                lambda url=url: not installed.run("curl", "-s", url, check=False).returncode,  # type: ignore[misc]
                f"{url} answers",
            )
        yield
    finally:
        for process in processes:
            process.terminate()
            process.wait(30)


@pytest.fixture
def image(tmp_path: Path) -> bytes:
    """A layer with y = relu(x + 1), x: f32 [1, 4]"""
    return tar({"model/relu.onnx": models.write_adder(tmp_path / "relu.onnx").read_bytes()})


def test_a_model_from_an_image(
    site: Site, node_registries: None, oci_registry: Registry, image: bytes
) -> None:
    digest = Pusher(oci_registry, "team/relu").image("v1", image)
    uri = f"oci://127.0.0.1:{PORT}/team/relu"
    site.apply("tagged", {"model": {"uri": f"{uri}:v1"}})
    site.apply("pinned", {"model": {"uri": f"{uri}@{digest}"}})
    assert site.wait_ready("tagged")["model"]["digest"].startswith("sha256:")
    assert site.infer("tagged", ONE)["outputs"][0]["data"] == [0, 1, 3.5, 4]
    assert site.wait_ready("pinned")["model"]["revision"] == digest


def test_a_tag_that_is_not_there(
    site: Site, node_registries: None, oci_registry: Registry, image: bytes
) -> None:
    Pusher(oci_registry, "team/relu").image("v1", image)
    uri = f"oci://127.0.0.1:{PORT}/team/relu:v9"
    site.apply("wrong", {"model": {"uri": uri}})
    message = site.wait_condition("wrong", "Ready", "False", "ModelNotFound")
    assert "team/relu:v9" in message
    assert site.condition("wrong", "Stalled")[:2] == ("True", "ModelNotFound")


def test_an_artifact_that_the_node_can_not_mount(
    site: Site, node_registries: None, oci_registry: Registry, image: bytes
) -> None:
    push = Pusher(oci_registry, "team/artifact")
    push.manifest("v1", push.layer(b"no archive", "application/octet-stream", "relu.onnx"))
    site.apply("artifact", {"model": {"uri": f"oci://127.0.0.1:{PORT}/team/artifact:v1"}})
    message = site.wait_condition("artifact", "Ready", "False", "ModelInvalid")
    assert "FROM scratch" in message


def test_credentials_let_the_node_in(
    site: Site, node_registries: None, private_oci_registry: Registry, image: bytes
) -> None:
    registry = private_oci_registry
    Pusher(registry, "team/secret").image("v1", image)
    model = {"uri": f"oci://127.0.0.1:{PRIVATE_PORT}/team/secret:v1"}
    site.apply("nobody", {"model": model})
    site.wait_condition("nobody", "Ready", "False", "AccessDenied")

    packed = b64encode(f"{registry.username}:{registry.password}".encode()).decode()
    login = {"auths": {f"127.0.0.1:{PRIVATE_PORT}": {"auth": packed}}}
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "puller"},
        "type": "kubernetes.io/dockerconfigjson",
        "stringData": {".dockerconfigjson": json.dumps(login)},
    }
    site.kubectl("apply", "-f", "-", input=json.dumps(secret))
    site.apply("friend", {"model": {**model, "credentials": {"secretName": "puller"}}})
    site.wait_ready("friend")
