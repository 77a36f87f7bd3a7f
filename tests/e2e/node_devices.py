"""Devices of the cluster's node, and what a pod sees of them."""

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.cluster_fixture import DEVCLUSTER, DevCluster
from tests.e2e.conftest import Site
from tests.e2e.waiting import wait_until

LOOK = """
import errno, json, os, stat
def look(path):
    found = os.stat(path)
    try:
        os.close(os.open(path, os.O_RDWR))
        error = None
    except OSError as failed:
        error = errno.errorcode[failed.errno]
    return {"uid": found.st_uid, "gid": found.st_gid, "mode": oct(stat.S_IMODE(found.st_mode)), "error": error}
nodes = [os.path.join(d, n) for d in ("/dev/dri", "/dev/accel") if os.path.isdir(d) for n in os.listdir(d)]
print(json.dumps({
    "uid": os.getuid(), "groups": sorted(os.getgroups()),
    "nodes": {n: look(n) for n in sorted(nodes) if stat.S_ISCHR(os.stat(n).st_mode)},
}))
"""


def look_into(site: Site, pod: str) -> dict[str, Any]:
    """What the serving container may open. Nothing answers behind the nodes: one that may be opened says ENXIO.

    EACCES is a lack of the group, EPERM the device cgroup's refusal.
    """
    seen: dict[str, Any] = json.loads(site.kubectl("exec", pod, "-c", "serve", "--", "python3", "-c", LOOK))
    return seen


def on_node(cluster: DevCluster, *command: str) -> None:
    """Run a command on the node, which has device nodes of its own."""
    cluster.devcluster("exec", "--", *command, timeout=60)


@contextmanager
def node_program(cluster: DevCluster, log: Path, *command: str) -> Iterator[None]:
    """A program that runs on the node meanwhile."""
    argv = [str(DEVCLUSTER), "--name", cluster.name, "exec", "--", *command]
    with log.open("ab") as out:
        process = subprocess.Popen(
            argv, stdout=out, stderr=out, stdin=subprocess.DEVNULL, start_new_session=True
        )
    try:
        yield
    finally:
        os.killpg(process.pid, signal.SIGTERM)  # nsenter's child too, which is the program
        process.wait(30)


@contextmanager
def node_group(cluster: DevCluster, group: int) -> Iterator[None]:
    """The device nodes belong to a group, as udev sets it, and nobody else may open them."""
    nodes = ("/dev/dri/renderD128", "/dev/dri/renderD129")
    on_node(cluster, "chgrp", str(group), *nodes)
    on_node(cluster, "chmod", "660", *nodes)
    try:
        yield
    finally:
        on_node(cluster, "chgrp", "0", *nodes)
        on_node(cluster, "chmod", "666", *nodes)


def wait_allocatable(cluster: DevCluster, resource: str, units: int) -> None:
    def offered() -> int:
        return int(cluster.get("node", "node1")["status"]["allocatable"].get(resource, 0))

    wait_until(lambda: offered() == units, f"{units} {resource}", 60, lambda: str(offered()))


def apply_class(cluster: DevCluster, name: str, **spec: Any) -> None:
    document = {
        "apiVersion": "vinoserve.dev/v1alpha1",
        "kind": "AcceleratorClass",
        "metadata": {"name": name},
        "spec": {"deviceType": "GPU", **spec},
    }
    cluster.kubectl("apply", "--validate=strict", "-f", "-", input=json.dumps(document))


def wait_class(cluster: DevCluster, name: str, type_: str, status: str, reason: str) -> str:
    """Wait for a condition of an AcceleratorClass; gives its message."""

    def find() -> dict[str, str]:
        conditions = cluster.get("acceleratorclass", name).get("status", {}).get("conditions", [])
        return next((c for c in conditions if c["type"] == type_), {})

    wait_until(
        lambda: (find().get("status"), find().get("reason")) == (status, reason),
        f"{type_}={status}/{reason} of AcceleratorClass {name}",
        60,
        lambda: json.dumps(cluster.get("acceleratorclass", name).get("status"), indent=1),
    )
    return find()["message"]
