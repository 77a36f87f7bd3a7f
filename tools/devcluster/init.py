"""Process 1 of the cluster's namespaces: mounts, network, programs; then it reaps, and restarts a program that ended.

Started by lifecycle.start as `python -m tools.devcluster.init STATE`, in new mount, net, pid and uts namespaces: all that
is set here is seen here alone, and when this process is killed the kernel ends every other one.
"""

import os
import socket
import ssl
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

from tools.devcluster import cgroups, gpus
from tools.devcluster.configs import make_commands
from tools.devcluster.layout import API_PORT, NODE, NODE_IP, SERVICE_CIDR, Build, Cluster
from tools.devcluster.record import Record
from tools.toolbox.programs import run

#: kubelet sets these for the whole machine: it is given copies to write
KUBELET_SYSCTLS = {
    "vm/overcommit_memory": "1",
    "vm/panic_on_oom": "0",
    "kernel/panic": "10",
    "kernel/panic_on_oops": "1",
    "kernel/keys/root_maxkeys": "1000000",
    "kernel/keys/root_maxbytes": "25000000",
}
RESTART_PAUSE = 1.0  # seconds


def main() -> None:
    state = Path(sys.argv[1])
    cluster = Cluster(state.name, state)
    record = Record.read(cluster)
    build = Build(Path(record.build))
    os.environ["PATH"] = f"{build.bin}:{build.debian / 'usr/sbin'}:{os.environ['PATH']}"
    os.environ["GOGC"] = "400"  # collecting garbage is a sixth of what the API server does
    make_mounts(cluster)
    if record.gpus or record.npus:
        gpus.create(record, cluster.state / "gpus")
    make_network()
    cgroups.create(cluster.cgroup)
    supervise(cluster, make_commands(cluster, record))


def make_mounts(cluster: Cluster) -> None:
    run(
        ["mount", "--make-rshared", "/"]
    )  # among the namespaces below this one; unshare made it private from the host
    for folder in ("/run", "/var/lib"):
        run(["mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", folder])
    for source, dest in (
        (cluster.state / "kubelet", "/var/lib/kubelet"),
        (cluster.state / "varlog", "/var/log"),
    ):
        source.mkdir(exist_ok=True)
        Path(dest).mkdir(exist_ok=True)
        run(["mount", "--bind", source, dest])
    Path("/var/lib/cni").mkdir()
    run(["mount", "--make-rshared", "/var/lib/kubelet"])
    copies = cluster.state / "sysctl"
    copies.mkdir()
    for name, value in KUBELET_SYSCTLS.items():
        if (Path("/proc/sys") / name).exists():
            copy = copies / name.replace("/", "_")
            copy.write_text(f"{value}\n")
            run(["mount", "--bind", copy, f"/proc/sys/{name}"])


def make_network() -> None:
    """The node's address is on a bridge without ports; nothing leads out of this network."""
    socket.sethostname(NODE)
    for command in (
        ["link", "set", "lo", "up"],
        ["link", "add", "node0", "type", "bridge"],
        ["addr", "add", f"{NODE_IP}/24", "dev", "node0"],
        ["link", "set", "node0", "up"],
        ["route", "add", SERVICE_CIDR, "dev", "node0"],
    ):
        run(["ip", *command])
    Path("/proc/sys/net/ipv4/ip_forward").write_text("1\n")


def supervise(cluster: Cluster, commands: dict[str, list[str]]) -> None:
    """Start the programs, those that need the API server after it; never returns."""
    running: dict[int, str] = {}
    first = ("etcd", "containerd", "kube-apiserver")
    for name in first:
        running[start(cluster, name, commands[name])] = name
    while not api_ready(cluster):
        reap(cluster, running, commands)
        time.sleep(0.1)
    apply_first(cluster, "coredns-rbac.json")
    if "gpu-dra" in commands:
        apply_first(cluster, "device-class.json")
    for name in commands.keys() - set(first):
        running[start(cluster, name, commands[name])] = name
    while True:
        reap(cluster, running, commands)
        time.sleep(0.2)


def start(cluster: Cluster, name: str, command: list[str]) -> int:
    with (cluster.logs / f"{name}.log").open("ab") as log:
        return subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        ).pid


def reap(cluster: Cluster, running: dict[int, str], commands: dict[str, list[str]]) -> None:
    """Take leave of every process that ended (orphans too: this is process 1) and start ours again."""
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if not pid:
            return
        if name := running.pop(pid, None):
            print(f"{name} ended ({os.waitstatus_to_exitcode(status)}): starting it again", flush=True)
            time.sleep(RESTART_PAUSE)
            running[start(cluster, name, commands[name])] = name


def api_ready(cluster: Cluster) -> bool:
    context = ssl.create_default_context(cafile=str(cluster.pki / "ca.crt"))
    context.load_cert_chain(cluster.pki / "admin.crt", cluster.pki / "admin.key")
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
    )
    try:
        with opener.open(f"https://127.0.0.1:{API_PORT}/readyz", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def apply_first(cluster: Cluster, name: str) -> None:
    """What a program of the node expects to be there."""
    file = cluster.etc / name
    command: list[str | Path] = ["kubectl", f"--kubeconfig={cluster.kubeconfig}", "apply", "-f", file]
    env = {**os.environ, "KUBECACHEDIR": str(cluster.state / "cache")}
    print(run(command, env=env).stdout, flush=True)


if __name__ == "__main__":
    main()
