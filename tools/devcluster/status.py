"""What runs in a cluster and what it costs, for programs and for people."""

import contextlib
from pathlib import Path

from tools.devcluster.access import in_network, kubectl, need_up
from tools.devcluster.layout import Build, Cluster
from tools.devcluster.processes import list_pids
from tools.devcluster.record import Record


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
    lines = [
        f"cluster {cluster.name} is up, {record.gpu_text}; process 1 is {record.pid}; files in {cluster.state}",
        in_network(record, kubectl(cluster, "get", "nodes", "-o", "wide")).stdout.rstrip(),
        in_network(record, kubectl(cluster, "get", "pods", "-A")).stdout.rstrip(),
    ]
    lines += [f"{megabytes:8.1f} MB  {name}" for megabytes, name in sorted(list_memory(record), reverse=True)]
    print("\n".join(lines))


def list_memory(record: Record) -> list[tuple[float, str]]:
    found = []
    space = Path(f"/proc/{record.pid}/ns/pid").stat().st_ino
    for pid in list_pids():
        with contextlib.suppress(OSError):
            if Path(f"/proc/{pid}/ns/pid").stat().st_ino == space:
                status = dict(
                    line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines()
                )
                program = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0].decode()
                found.append((int(status.get("VmRSS", "0 kB").split()[0]) / 1024, Path(program).name))
    return found
