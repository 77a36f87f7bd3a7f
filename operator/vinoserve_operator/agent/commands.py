"""What the command line does with the agent."""

import json
import os
import sys
from dataclasses import asdict
from functools import partial
from pathlib import Path

from vinoserve_operator.agent.labels import make_labels
from vinoserve_operator.agent.node import NodeLabels
from vinoserve_operator.agent.run import Agent, run
from vinoserve_operator.agent.scan import scan
from vinoserve_operator.logs import configure_logs


def run_agent(node: str | None, dev: Path, sysfs: Path, interval_seconds: float) -> int:
    """Label the node `node` until SIGTERM; the exit code."""
    host, port = os.environ.get("KUBERNETES_SERVICE_HOST"), os.environ.get("KUBERNETES_SERVICE_PORT", "443")
    if not node or not host:
        missing = "--node" if host else "the environment of a pod (KUBERNETES_SERVICE_HOST)"
        print(  # noqa: T201  # there is no log yet
            f"vinoserve agent: needs {missing}; to see what it finds here: vinoserve agent --print",
            file=sys.stderr,
        )
        return 2
    configure_logs("INFO")
    server = f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"
    run(Agent(partial(scan, dev, sysfs), NodeLabels(node, server)), interval_seconds)
    return 0


def print_hardware(dev: Path, sysfs: Path) -> int:
    """What there is and the labels it makes, as JSON."""
    hardware = scan(dev, sysfs)
    print(json.dumps({**asdict(hardware), "labels": make_labels(hardware)}, indent=2))  # noqa: T201
    return 0
