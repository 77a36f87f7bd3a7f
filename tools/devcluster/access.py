"""Into a cluster that is up: its network, its node, its images."""

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from tools.devcluster.layout import Build, Cluster
from tools.devcluster.processes import MARK
from tools.devcluster.record import Record
from tools.images.mkimage import read_images
from tools.toolbox.errors import ToolError
from tools.toolbox.progress import say

PROXIES = ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
LIST_IMAGES = ("ctr", "-n", "k8s.io", "images", "ls")


def need_up(cluster: Cluster) -> Record:
    record = Record.find(cluster)
    if record is None or not record.is_alive(cluster):
        raise ToolError(f"cluster {cluster.name} is not up: bring it up with `up`")
    return record


def run_in_network(cluster: Cluster, command: Sequence[str]) -> NoReturn:
    """Become `command`: the host's files, the cluster's network."""
    record = need_up(cluster)
    env = make_environment(cluster, Build(Path(record.build)))
    os.execvpe("nsenter", ["nsenter", "-t", str(record.pid), "--net", "--", *command], env)


def exec_in_node(cluster: Cluster, command: Sequence[str]) -> NoReturn:
    """Become `command` on the node: its files, processes and network; ctr, nft and runc are on PATH."""
    record = need_up(cluster)
    env = make_environment(cluster, Build(Path(record.build)))
    env["PATH"] = make_node_path(record)
    os.execvpe("nsenter", [*enter_node(record), *command], env)


def make_environment(cluster: Cluster, build: Build) -> dict[str, str]:
    """KUBECONFIG, kubectl and helm first on PATH, their caches in the cluster's folder, and no proxy: none is in reach."""
    env = {key: value for key, value in os.environ.items() if key not in PROXIES}
    return {
        **env,
        MARK: str(cluster.state),
        "KUBECONFIG": str(cluster.kubeconfig),
        "KUBECACHEDIR": str(cluster.state / "cache"),
        "HELM_CACHE_HOME": str(cluster.state / "helm/cache"),
        "HELM_CONFIG_HOME": str(cluster.state / "helm/config"),
        "HELM_DATA_HOME": str(cluster.state / "helm/data"),
        "PATH": f"{build.clients}:{env['PATH']}",
    }


def load(cluster: Cluster, *images: Path) -> bool:
    """Import image archives into the node, except those it has already; always True."""
    record = need_up(cluster)
    digests = parse_images(in_node(record, LIST_IMAGES).stdout)
    for image in images:
        if not image.is_file():
            raise ToolError(f"{image}: no such image archive")
        held = read_images(image)
        if held and held.items() <= digests.items():
            continue
        say(f"loading {image.name}")
        answer = in_node(
            record, ["ctr", "-n", "k8s.io", "images", "import", "--all-platforms", str(image.absolute())]
        )
        if not succeeds(answer):
            raise ToolError(f"{image}: import failed: {answer.stderr.strip()}")
    return True


def parse_images(listing: str) -> dict[str, str]:
    """Tag -> digest of the images in what LIST_IMAGES prints."""
    return {line.split()[0]: line.split()[2] for line in listing.splitlines()[1:]}  # REF TYPE DIGEST ...


def kubectl(cluster: Cluster, *args: str) -> list[str]:
    return ["kubectl", f"--kubeconfig={cluster.kubeconfig}", f"--cache-dir={cluster.state / 'cache'}", *args]


def in_network(record: Record, command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    return enter(record, ["nsenter", "-t", str(record.pid), "--net", "--"], command)


def in_node(record: Record, command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    return enter(record, enter_node(record), command)


def enter_node(record: Record) -> list[str]:
    return ["nsenter", "-t", str(record.pid), "--mount", "--net", "--pid", "--uts", "--"]


def make_node_path(record: Record) -> str:
    build = Build(Path(record.build))
    return f"{build.bin}:{build.debian / 'usr/sbin'}:{os.environ['PATH']}"


def enter(record: Record, nsenter: list[str], command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    env = {**{k: v for k, v in os.environ.items() if k not in PROXIES}, "PATH": make_node_path(record)}
    return subprocess.run(
        [*nsenter, *command], env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )


def succeeds(answer: subprocess.CompletedProcess[str]) -> bool:
    return answer.returncode == 0
