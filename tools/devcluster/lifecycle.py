"""Bring the cluster up, take it down, and what can be done with it in between."""

import contextlib
import dataclasses
import json
import os
import platform
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from tools.devcluster import cgroups
from tools.devcluster.build import build_programs
from tools.devcluster.certs import write_certificates
from tools.devcluster.configs import make_files
from tools.devcluster.layout import NODE, Build, Cluster
from tools.devcluster.record import Record, read_netns
from tools.images.mkimage import read_images
from tools.toolbox.cache import lock, remove
from tools.toolbox.errors import ToolError
from tools.toolbox.programs import need
from tools.toolbox.progress import Progress, say

REPOSITORY = Path(__file__).parents[2]
WAIT = 180  # seconds that one thing may take to become ready on a busy machine
PROXIES = ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
#: in the environment of what `run` starts, so that `down` knows it
MARK = "VINOSERVE_DEVCLUSTER"


def check_host() -> None:
    """Whether this machine can have a cluster; else why not, in one line."""
    if platform.system() != "Linux" or platform.machine() != "x86_64":
        raise ToolError(
            f"a cluster needs Linux on x86_64, this is {platform.system()} on {platform.machine()}"
        )
    if os.geteuid() != 0:
        raise ToolError("a cluster needs root (namespaces, mounts, cgroups): try again with sudo")
    need("unshare", "nsenter", "mount", "ip", "openssl")
    for what, command in (
        ("make namespaces", ["unshare", "--mount", "--net", "--pid", "--uts", "--fork", "true"]),
        ("mount", ["unshare", "--mount", "mount", "-t", "tmpfs", "tmpfs", "/mnt"]),
    ):
        if subprocess.run(command, capture_output=True, check=False).returncode:
            raise ToolError(
                f"root may not {what} here: are you in a container? Run on the host, or with --privileged"
            )
    if not os.access(cgroups.ROOT, os.W_OK):
        raise ToolError(
            f"{cgroups.ROOT} is read-only here: are you in a container? Run on the host, or with --privileged"
        )


def up(cluster: Cluster, gpus: int | None, gpu_driver: str, gpu_gid: int | None) -> None:
    """Return when the node is Ready, its DNS answers and its GPUs are allocatable. `gpus` None: none, or what is up."""
    check_host()
    build = build_programs()
    wanted = Record(str(build.root), gpus or 0, gpu_driver, gpu_gid)
    with lock(lock_file(cluster)):
        record = Record.find(cluster)
        if record and record.is_alive(cluster):
            if gpus is not None and not record.has_same_options(wanted):
                raise ToolError(
                    f"cluster {cluster.name} is up with {show_gpus(record)}, asked for {show_gpus(wanted)}: take it down first"
                )
            if is_ready(cluster, record):
                say(f"cluster {cluster.name} is already up, with {show_gpus(record)}")
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
            ["unshare", *namespaces, sys.executable, "-m", "tools.devcluster.init", cluster.name],
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
    if record.gpus:
        waits.append((show_gpus(record), 1, lambda: count_gpus(cluster, record) == record.gpus))
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
    gpus_there = not record.gpus or count_gpus(cluster, record) == record.gpus
    service_account = in_network(record, kubectl(cluster, "get", "sa", "default"))
    return (
        is_node_ready(cluster, record) and gpus_there and is_dns_ready(record) and succeeds(service_account)
    )


def is_node_ready(cluster: Cluster, record: Record) -> bool:
    conditions = get_node_status(cluster, record).get("conditions", [])
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


def is_dns_ready(record: Record) -> bool:
    busybox = Build(Path(record.build)).debian / "bin/busybox"
    return succeeds(
        in_network(record, [str(busybox), "wget", "-q", "-O", "/dev/null", "http://127.0.0.1:8181/ready"])
    )


def count_gpus(cluster: Cluster, record: Record) -> int:
    """Those that kubelet knows of; a sick one is among them."""
    capacity = get_node_status(cluster, record).get("capacity", {})
    return int(capacity.get(f"gpu.intel.com/{record.gpu_driver}", 0))


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


def find_init(cluster: Cluster) -> list[int]:
    """Process 1 by its command line, also one whose number an interrupted `up` did not write down.

    `unshare`, its parent, ends by itself: it must live to take leave of it.
    """
    return [pid for pid in list_pids() if Record("", 0, "", None, pid=pid).is_alive(cluster)]


def find_members(cluster: Cluster, record: Record | None) -> list[int]:
    """What `run` started on the host and is still there.

    While the cluster lives its network namespace tells; once it is dead that number may be another's, so the mark in
    the environment has to say so too.
    """
    alive = record is not None and record.is_alive(cluster)
    mark = f"{MARK}={cluster.state}".encode()
    members = []
    for pid in list_pids():
        with contextlib.suppress(OSError):
            same = record is not None and read_netns(pid) == record.netns
            if (alive and same) or mark in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"):
                members.append(pid)
    return [pid for pid in members if pid != os.getpid()]


def list_pids() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]


def is_running(pid: int) -> bool:
    """Whether the process is there and not merely waiting for its parent to take notice."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def load(cluster: Cluster, *images: Path) -> bool:
    """Import image archives into the node, except those it has already; always True."""
    record = need_up(cluster)
    there = in_node(record, ["ctr", "-n", "k8s.io", "images", "ls"]).stdout.splitlines()
    digests = {line.split()[0]: line.split()[2] for line in there[1:]}  # REF TYPE DIGEST ...
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


def make_status(cluster: Cluster) -> dict[str, object]:
    """What other programs need to know, as one object; {"name": ..., "up": false} where there is no cluster."""
    record = Record.find(cluster)
    if record is None or not record.is_alive(cluster):
        return {"name": cluster.name, "up": False}
    return {
        "name": cluster.name,
        "up": True,
        "pid": record.pid,
        "kubeconfig": str(cluster.kubeconfig),
        "clients": str(Build(Path(record.build)).clients),
        "state": str(cluster.state),
        "logs": str(cluster.logs),
        "gpus": record.gpus,
        "gpuResource": f"gpu.intel.com/{record.gpu_driver}" if record.gpus else None,
    }


def show_status(cluster: Cluster) -> None:
    """Nodes, pods, and the memory of each process, for people."""
    record = need_up(cluster)
    print(
        f"cluster {cluster.name} is up, {show_gpus(record)}; process 1 is {record.pid}; files in {cluster.state}"
    )
    for args in (("get", "nodes", "-o", "wide"), ("get", "pods", "-A")):
        print(in_network(record, kubectl(cluster, *args)).stdout, end="")
    for megabytes, name in sorted(list_memory(record), reverse=True):
        print(f"{megabytes:8.1f} MB  {name}")


def list_memory(record: Record) -> list[tuple[float, str]]:
    found = []
    space = os.readlink(f"/proc/{record.pid}/ns/pid")  # noqa: PTH115 - a magic link, not a path
    for pid in list_pids():
        with contextlib.suppress(OSError):
            if os.readlink(f"/proc/{pid}/ns/pid") == space:  # noqa: PTH115
                status = dict(
                    line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines()
                )
                program = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0].decode()
                found.append((int(status.get("VmRSS", "0 kB").split()[0]) / 1024, Path(program).name))
    return found


def need_up(cluster: Cluster) -> Record:
    record = Record.find(cluster)
    if record is None or not record.is_alive(cluster):
        raise ToolError(f"cluster {cluster.name} is not up: bring it up with `up`")
    return record


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


def lock_file(cluster: Cluster) -> Path:
    return cluster.state.with_name(f".{cluster.name}.lock")


def show_gpus(record: Record) -> str:
    if not record.gpus:
        return "no GPUs"
    group = "" if record.gpu_gid is None else f" of group {record.gpu_gid}"
    return f"{record.gpus} gpu.intel.com/{record.gpu_driver}{group}"


def show_log(cluster: Cluster) -> str:
    """The end of what process 1 said."""
    file = cluster.logs / "init.log"
    return file.read_text(errors="replace").strip()[-2000:] if file.exists() else f"no log in {cluster.logs}"
