"""A cluster of its own, from up to down: what it promises to people, and that it leaves nothing on the machine."""

import contextlib
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cluster_fixture import DEVCLUSTER, DevCluster
from tools.devcluster.processes import is_running, list_pids

pytestmark = pytest.mark.cluster
NAME = "vinoserve-lifecycle"


@pytest.fixture(scope="module")
def own() -> Iterator[DevCluster]:
    check = subprocess.run([DEVCLUSTER, "check"], stderr=subprocess.PIPE, text=True, check=False)
    if check.returncode:
        pytest.skip(f"no cluster on this machine: {check.stderr.strip()}")
    dev = DevCluster(NAME)
    try:
        dev.devcluster("down")
        dev.devcluster("up", "--gpus", "1", "--gpu-gid", "992")
        yield dev
    finally:
        dev.devcluster("down")


def make_pod(name: str, **limits: str) -> dict[str, Any]:
    container = {
        "name": "c",
        "image": "localhost/busybox:1",
        "resources": {"limits": limits},
        "readinessProbe": {"httpGet": {"path": "/", "port": 8080}, "periodSeconds": 1},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
    }
    security = {"runAsNonRoot": True, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}}
    spec = {"containers": [container], "securityContext": security, "terminationGracePeriodSeconds": 0}
    metadata = {"name": name, "labels": {"app": name}}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def test_a_pod_has_the_gpu_and_is_reached_by_name(own: DevCluster) -> None:
    ports = [{"port": 80, "targetPort": 8080}]
    metadata = {"name": "web"}
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata,
        "spec": {"selector": {"app": "web"}, "ports": ports},
    }
    pod = make_pod("web", **{"gpu.intel.com/xe": "1", "memory": "64Mi"})
    own.kubectl(
        "apply", "-f", "-", input=json.dumps({"apiVersion": "v1", "kind": "List", "items": [pod, service]})
    )
    own.kubectl("wait", "--for=condition=Ready", "pod/web", "--timeout=90s")
    assert own.kubectl("exec", "web", "--", "ls", "/dev/dri").stdout.split() == [
        "by-path",
        "card0",
        "renderD128",
    ]
    assert (
        own.kubectl("exec", "web", "--", "wget", "-qO-", "http://web.default.svc.cluster.local").stdout
        == "hello\n"
    )


def test_a_second_pod_waits_for_the_gpu(own: DevCluster) -> None:
    own.kubectl("apply", "-f", "-", input=json.dumps(make_pod("second", **{"gpu.intel.com/xe": "1"})))
    own.kubectl("wait", "--for=condition=PodScheduled=false", "pod/second", "--timeout=60s")
    conditions = own.get("pod", "second")["status"]["conditions"]
    assert any("Insufficient gpu.intel.com/xe" in c.get("message", "") for c in conditions)


def test_a_sick_gpu_is_not_allocatable(own: DevCluster) -> None:
    Path(own.status["state"], "unhealthy-gpus").write_text("card0\n")
    own.kubectl(
        "wait",
        "--for=jsonpath={.status.allocatable['gpu\\.intel\\.com/xe']}=0",
        "node/node1",
        "--timeout=60s",
    )


def test_up_again_says_so_and_other_gpus_are_refused(own: DevCluster) -> None:
    again = subprocess.run([DEVCLUSTER, "--name", NAME, "up"], capture_output=True, text=True, check=True)
    assert "already up, with 1 gpu.intel.com/xe" in again.stderr
    other = subprocess.run(
        [DEVCLUSTER, "--name", NAME, "up", "--gpus", "2"], capture_output=True, text=True, check=False
    )
    assert other.returncode == 1
    assert "take it down first" in other.stderr


def test_killed_then_up_then_down_leaves_nothing(own: DevCluster) -> None:
    os.kill(own.netns_pid, 9)
    del own.status
    own.devcluster("up", "--gpus", "1")
    left_running = subprocess.Popen(own.argv("sleep", "1000"))
    state, namespaces = Path(own.status["state"]), list_namespaces(own.netns_pid)
    own.devcluster("down")
    assert left_running.wait(10) == -9
    assert not state.exists()
    assert not list(Path("/sys/fs/cgroup").glob(f"**/devcluster-{NAME}-*"))
    users = [p for p in list_pids() if is_running(p) and list_namespaces(p) & namespaces]
    assert not users, [Path(f"/proc/{p}/cmdline").read_bytes() for p in users]
    assert NAME not in Path("/proc/mounts").read_text()


def list_namespaces(pid: int) -> set[int]:
    """The numbers of a process's namespaces, without those that the tests are in."""
    with contextlib.suppress(OSError):  # it has ended meanwhile
        own = {file.stat().st_ino for file in Path("/proc/self/ns").iterdir()}
        return {file.stat().st_ino for file in Path(f"/proc/{pid}/ns").iterdir()} - own
    return set()
