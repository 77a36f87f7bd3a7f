"""Bring the cluster up and take it down."""

import contextlib
import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tools.devcluster import cgroups
from tools.devcluster.access import in_network, in_node, kubectl, load, succeeds
from tools.devcluster.build import build_programs
from tools.devcluster.certs import write_certificates
from tools.devcluster.configs import make_files
from tools.devcluster.host import check_host
from tools.devcluster.layout import NODE, Build, Cluster
from tools.devcluster.processes import find_init, find_members, is_running
from tools.devcluster.record import Record, read_netns
from tools.toolbox.cache import lock, remove
from tools.toolbox.errors import ToolError
from tools.toolbox.progress import Progress, say

REPOSITORY = Path(__file__).parents[2]
WAIT = 180  # seconds that one thing may take to become ready on a busy machine


NO_DEVICES = Record("", 0, "xe", None)


def up(cluster: Cluster, asked: Record | None) -> None:
    """Return when the node is Ready, its DNS answers and its devices are allocatable. `asked` None: none, or what is up."""
    check_host()
    build = build_programs()
    wanted = dataclasses.replace(asked or NO_DEVICES, build=str(build.root))
    with lock(lock_file(cluster)):
        record = Record.find(cluster)
        if record and record.is_alive(cluster):
            if asked and not record.has_same_options(wanted):
                raise ToolError(
                    f"cluster {cluster.name} is up with {record.gpu_text}, asked for {wanted.gpu_text}: take it down first"
                )
            if is_ready(cluster, record):
                say(f"cluster {cluster.name} is already up, with {record.gpu_text}")
                return
            say(f"cluster {cluster.name} is starting")
        else:
            if cluster.state.exists():
                say(f"cluster {cluster.name} had ended without `down`: removing what it left")
            clean(cluster)
            record = start(cluster, build, wanted)
        wait_ready(cluster, record)
    say(f"cluster {cluster.name} is up; try: {sys.argv[0]} --name {cluster.name} run -- kubectl get nodes")


def start(cluster: Cluster, build: Build, wanted: Record) -> Record:
    """Write what the programs read, and start process 1 in its own namespaces."""
    cluster.logs.mkdir(parents=True)
    write_certificates(cluster)
    for name, text in make_files(build, cluster).items():
        file = cluster.etc / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    wanted.write(cluster)
    namespaces = ["--mount", "--net", "--pid", "--uts", "--fork", "--mount-proc", "--propagation", "private"]
    with (cluster.logs / "init.log").open("ab") as log:
        unshare = subprocess.Popen(
            ["unshare", *namespaces, sys.executable, "-m", "tools.devcluster.init", str(cluster.state)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd="/",
            env={**os.environ, "PYTHONPATH": str(REPOSITORY), "PYTHONDONTWRITEBYTECODE": "1"},
            start_new_session=True,
        )
    children = Path(f"/proc/{unshare.pid}/task/{unshare.pid}/children")
    while unshare.poll() is None:
        for pid in children.read_text().split():
            record = dataclasses.replace(wanted, pid=int(pid), netns=read_netns(int(pid)))
            if record.is_alive(cluster):
                record.write(cluster)
                return record
        time.sleep(0.02)
    raise ToolError(f"process 1 ended: {show_log(cluster)}")


def wait_ready(cluster: Cluster, record: Record) -> None:
    build = Build(Path(record.build))
    waits: list[tuple[str, int, Callable[[], bool]]] = [
        ("containerd", 1, lambda: succeeds(in_node(record, ["ctr", "version"]))),
        (
            "images",
            1,
            lambda: load(cluster, *sorted(build.images.glob("*.tar"))),
        ),
        ("API server", 4, lambda: succeeds(in_network(record, kubectl(cluster, "get", "--raw", "/readyz")))),
        ("node Ready", 3, lambda: is_node_ready(cluster, record)),
        ("DNS", 1, lambda: is_dns_ready(record)),
        (
            "default ServiceAccount",
            5,
            lambda: succeeds(in_network(record, kubectl(cluster, "get", "sa", "default"))),
        ),
    ]
    if record.gpus or record.npus:
        waits.append((record.gpu_text, 1, lambda: has_devices(cluster, record)))
    progress = Progress(len(waits))
    for what, seconds, condition in waits:
        with progress.step(what, seconds):
            wait_for(cluster, record, what, condition)


def wait_for(cluster: Cluster, record: Record, what: str, condition: Callable[[], bool]) -> None:
    until = time.monotonic() + WAIT
    while not condition():
        if not record.is_alive(cluster):
            raise ToolError(f"process 1 ended: {show_log(cluster)}")
        if time.monotonic() > until:
            raise ToolError(f"waited {WAIT} s for {what}: see the logs in {cluster.logs}")
        time.sleep(0.2)


def is_ready(cluster: Cluster, record: Record) -> bool:
    service_account = in_network(record, kubectl(cluster, "get", "sa", "default"))
    return (
        is_node_ready(cluster, record)
        and has_devices(cluster, record)
        and is_dns_ready(record)
        and succeeds(service_account)
    )


def is_node_ready(cluster: Cluster, record: Record) -> bool:
    conditions = get_node_status(cluster, record).get("conditions", [])
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


def is_dns_ready(record: Record) -> bool:
    busybox = Build(Path(record.build)).debian / "bin/busybox"
    return succeeds(
        in_network(record, [str(busybox), "wget", "-q", "-O", "/dev/null", "http://127.0.0.1:8181/ready"])
    )


def has_devices(cluster: Cluster, record: Record) -> bool:
    """Whether kubelet knows of all devices that were asked for, sick or not, and the DRA driver has told of its."""
    wanted = {f"gpu.intel.com/{record.gpu_driver}": record.gpus, "npu.intel.com/accel": record.npus}
    if any(wanted.values()):
        capacity = get_node_status(cluster, record).get("capacity", {})
        if any(int(capacity.get(resource, 0)) < count for resource, count in wanted.items()):
            return False
    return (
        not record.gpu_dra
        or "node1"
        in in_network(
            record, kubectl(cluster, "get", "resourceslices", "-o", "jsonpath={.items[*].spec.nodeName}")
        ).stdout
    )


def get_node_status(cluster: Cluster, record: Record) -> dict[str, Any]:
    """The node's status; {} where it is not registered yet."""
    answer = in_network(record, kubectl(cluster, "get", "node", NODE, "-o", "json"))
    return json.loads(answer.stdout).get("status", {}) if succeeds(answer) else {}


def down(cluster: Cluster) -> None:
    """End everything and leave nothing; whatever a `down` or `up` that was interrupted left goes too."""
    with lock(lock_file(cluster)):
        clean(cluster)
    say(f"cluster {cluster.name} is down")


def clean(cluster: Cluster) -> None:
    record = Record.find(cluster)
    pids = [*find_members(cluster, record), *find_init(cluster)]
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    until = time.monotonic() + 30
    while any(is_running(pid) for pid in pids) and time.monotonic() < until:
        time.sleep(0.02)
    if not cgroups.remove(cluster.cgroup):
        raise ToolError(
            f"cgroup {cluster.cgroup} still has processes: see {cgroups.ROOT}/*/{cluster.cgroup}/cgroup.procs"
        )
    if cluster.state.exists():
        remove(cluster.state)


def lock_file(cluster: Cluster) -> Path:
    return cluster.state.with_name(f".{cluster.name}.lock")


def show_log(cluster: Cluster) -> str:
    """The end of what process 1 said."""
    file = cluster.logs / "init.log"
    return file.read_text(errors="replace").strip()[-2000:] if file.exists() else f"no log in {cluster.logs}"
