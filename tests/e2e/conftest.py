"""vinoserve on the development cluster, installed as an admin does it: with helm."""

import json
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.cluster_fixture import DevCluster
from tests.e2e.waiting import wait_until

SYSTEM = "vinoserve-system"
CHART = Path(__file__).parents[2] / "charts" / "vinoserve"


@dataclass(frozen=True)
class Site:
    """A team's namespace, in which restricted Pod Security is enforced, with a claim `models`."""

    cluster: DevCluster
    namespace: str
    models: Path
    """The folder behind the claim."""

    @property
    def emulated_gpu(self) -> dict[str, str]:
        """The pod template of a service whose GPU is emulated."""
        return {"image": self.cluster.images["runtime-gpu-emulated"]}

    def kubectl(self, *args: str, **options: Any) -> str:
        return str(self.cluster.kubectl("-n", self.namespace, *args, **options).stdout)

    def apply(self, name: str, spec: dict[str, Any]) -> None:
        document = {
            "apiVersion": "vinoserve.dev/v1alpha1",
            "kind": "InferenceService",
            "metadata": {"name": name},
            "spec": spec,
        }
        self.kubectl("apply", "--validate=strict", "-f", "-", input=json.dumps(document))

    def get(self, kind: str, name: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.kubectl("get", kind, name, "-o", "json"))
        return found

    def wait_ready(self, name: str, seconds: int = 300) -> dict[str, Any]:
        """Wait as the documentation says it: with kubectl wait. Gives the status."""
        self.kubectl(
            "wait", "--for=condition=Ready", f"--timeout={seconds}s", f"vis/{name}", timeout=seconds + 30
        )
        return self.status(name)

    def status(self, name: str) -> dict[str, Any]:
        status: dict[str, Any] = self.get("vis", name).get("status", {})
        return status

    def condition(self, name: str, kind: str) -> tuple[str, str, str]:
        """(status, reason, message), empty where the condition isn't there yet."""
        for condition in self.status(name).get("conditions", []):
            if condition["type"] == kind:
                return condition["status"], condition["reason"], condition.get("message", "")
        return "", "", ""

    def wait_condition(self, name: str, kind: str, status: str, reason: str, seconds: int = 300) -> str:
        """Wait for a condition and give its message."""

        def reached() -> bool:
            return self.condition(name, kind)[:2] == (status, reason)

        wait_until(
            reached,
            f"{kind}={status}/{reason} of {name}",
            seconds,
            lambda: json.dumps(self.status(name), indent=1),
        )
        return self.condition(name, kind)[2]

    def infer(self, name: str, inputs: list[dict[str, Any]], served: str | None = None) -> dict[str, Any]:
        """One V2 request over the Service's address, as a client in the cluster sends it."""
        address = self.kubectl("get", "service", name, "-o", "jsonpath={.spec.clusterIP}")
        url = f"http://{address}:8000/v2/models/{served or name}/infer"
        answer = self.cluster.run(
            # The node's proxy learns of a pod that has become ready a moment later than the status.
            "curl", "-sS", "--retry", "20", "--retry-connrefused", "--retry-delay", "1",
            "--fail-with-body", "-m", "60", "-H", "Content-Type: application/json", "-d", "@-", url,
            input=json.dumps({"inputs": inputs}),
        )  # fmt: skip
        found: dict[str, Any] = json.loads(answer.stdout)
        return found


@pytest.fixture(scope="session")
def installed(cluster: DevCluster) -> DevCluster:
    images = []
    for part in ("operator", "runtime"):
        repository, tag = cluster.images[part].rsplit(":", 1)
        images += ["--set", f"{part}.image.repository={repository}", "--set", f"{part}.image.tag={tag}"]
    cluster.helm(
        "upgrade", "--install", "vinoserve", CHART, "-n", SYSTEM, "--create-namespace", "--wait", *images,
        "--set", "acceleratorClasses.intelGpu.resourceName=gpu.intel.com/xe",
        timeout=300,
    )  # fmt: skip
    return cluster


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    for part in (folder, *folder.parents[:3]):
        part.chmod(0o755)
    return folder


@pytest.fixture
def site(installed: DevCluster, model_folder: Path) -> Iterator[Site]:
    with open_site(installed, model_folder) as opened:
        yield opened


@contextmanager
def open_site(installed: DevCluster, model_folder: Path) -> Iterator[Site]:
    namespace = f"team-{secrets.token_hex(3)}"
    models = model_folder / namespace
    models.mkdir(mode=0o755)
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "models", "namespace": namespace},
        "spec": {
            "accessModes": ["ReadOnlyMany"],
            "storageClassName": "",
            "volumeName": namespace,
            "resources": {"requests": {"storage": "1Gi"}},
        },
    }
    volume = {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": namespace},
        "spec": {
            "accessModes": ["ReadOnlyMany"],
            "capacity": {"storage": "1Gi"},
            "hostPath": {"path": str(models)},
            "claimRef": {"namespace": namespace, "name": "models"},
        },
    }
    team = {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": namespace, "labels": {"pod-security.kubernetes.io/enforce": "restricted"}},
    }
    documents = {"apiVersion": "v1", "kind": "List", "items": [team, volume, claim]}
    installed.kubectl("apply", "-f", "-", input=json.dumps(documents))
    yield Site(installed, namespace, models)
    # The pods give their devices back within seconds; the namespace itself takes a quarter of a minute more, which nobody waits for.
    installed.kubectl("delete", "namespace", namespace, "--wait=false")
    installed.kubectl("wait", "--for=delete", "pod", "--all", "-n", namespace, "--timeout=180s", timeout=200)
    installed.kubectl("delete", "persistentvolume", namespace, "--wait=false")
    shutil.rmtree(models)


@pytest.fixture
def put_model(site: Site) -> Callable[[Path], str]:
    """Put a model file onto the claim; gives its uri."""

    def put(path: Path) -> str:
        (site.models / path.name).write_bytes(path.read_bytes())
        (site.models / path.name).chmod(0o644)
        return f"pvc://models/{path.name}"

    return put
