"""devcluster: a real one-node Kubernetes on this machine, for development and tests."""

import argparse
import json
import sys
from pathlib import Path

from tools.devcluster import access, lifecycle, status
from tools.devcluster.build import build_programs
from tools.devcluster.gpus import DRIVERS
from tools.devcluster.host import check_host
from tools.devcluster.layout import make_cluster
from tools.devcluster.record import Record
from tools.toolbox.errors import ToolError, run_main
from tools.toolbox.progress import say

EPILOG = """\
Everything lives in namespaces of its own: nothing listens on the host, and no mount, route or sysctl of it changes.
Outside are the cache folder ($VINOSERVE_CACHE, else ~/.cache/vinoserve) and one cgroup; `down` removes the
cluster's part of both and keeps the built programs.
"""


def main() -> int:
    return run_main("devcluster", run_command)


def run_command() -> int:
    options = make_parser().parse_args()
    cluster = make_cluster(options.name)
    match options.command:
        case "check":
            check_host()
        case "build":
            say(f"programs are in {build_programs().root}")
        case "up":
            lifecycle.up(cluster, make_wanted(options))
        case "down":
            lifecycle.down(cluster)
        case "status" if options.json:
            found = status.make_status(cluster)
            print(json.dumps(found))
            return 0 if found["up"] else 1
        case "status":
            status.show_status(cluster)
        case "load":
            access.load(cluster, *options.images)
        case "run":
            access.run_in_network(cluster, need_command(options.argv))
        case "exec":
            access.exec_in_node(cluster, need_command(options.argv))
    return 0


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="devcluster", description=__doc__, epilog=EPILOG)
    parser.add_argument(
        "--name",
        default="vinoserve",
        help="clusters of different names live side by side (default: %(default)s)",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    commands.add_parser("check", help="say whether this machine can have a cluster")
    commands.add_parser("build", help="build the programs (about 8 minutes the first time); `up` does it too")
    up = commands.add_parser("up", help="start the cluster; returns when it is ready")
    up.add_argument(
        "--gpus", type=int, metavar="N", choices=range(9), help="Intel GPUs that the node shows, 0 to 8"
    )
    up.add_argument(
        "--gpu-driver",
        choices=DRIVERS,
        default="xe",
        help="the resource is gpu.intel.com/DRIVER (default: %(default)s)",
    )
    up.add_argument(
        "--gpu-gid",
        type=int,
        metavar="GID",
        help="group of the GPUs' nodes, mode 660; without it anyone may open them",
    )
    up.add_argument(
        "--gpu-dra",
        action="store_true",
        help="a DRA driver offers the GPUs too: DeviceClass and ResourceSlices of gpu.intel.com",
    )
    up.add_argument(
        "--npus", type=int, metavar="N", choices=range(3), help="Intel NPUs that the node shows, 0 to 2"
    )
    commands.add_parser("down", help="end the cluster and leave nothing behind")
    state = commands.add_parser("status", help="what runs and what it costs; exit code 1 when it is down")
    state.add_argument(
        "--json", action="store_true", help="what programs need: pid, kubeconfig, clients, ..."
    )
    load = commands.add_parser("load", help="import image archives into the node")
    load.add_argument("images", nargs="+", type=Path, metavar="TAR")
    for name, text in (
        (
            "run",
            "run a program of this machine in the cluster's network, with kubectl, helm and KUBECONFIG set",
        ),
        ("exec", "run a program on the node: its files, processes and network"),
    ):
        commands.add_parser(name, help=text).add_argument(
            "argv", nargs=argparse.REMAINDER, metavar="-- CMD..."
        )
    return parser


def make_wanted(options: argparse.Namespace) -> Record | None:
    """None where no option says what the node shall have: then an up cluster will do as it is."""
    if options.gpus is None and options.npus is None:
        return None
    return Record(
        "", options.gpus or 0, options.gpu_driver, options.gpu_gid, options.gpu_dra, options.npus or 0
    )


def need_command(argv: list[str]) -> list[str]:
    command = argv[1:] if argv[:1] == ["--"] else argv
    if not command:
        raise ToolError("write the command after --, e.g. run -- kubectl get nodes")
    return command


if __name__ == "__main__":
    sys.exit(main())
