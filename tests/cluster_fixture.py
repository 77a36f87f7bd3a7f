"""The development cluster of a test session: brought up once, taken down at the end whatever happened."""
# ruff: noqa: A002 - `input` is called as in subprocess.run

import json
import os
import subprocess
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
DEVCLUSTER = ROOT / "tools/devcluster/devcluster"
IMAGES = ROOT / "tools/images/images"
NAME = os.environ.get("VINOSERVE_TEST_CLUSTER", "vinoserve-test")
KINDS = ("operator", "runtime", "runtime-gpu-emulated")


class DevCluster:
    """A cluster of tools/devcluster. Image tags are in `images`: kind -> tag, as the node knows it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.images: dict[str, str] = {}

    def devcluster(self, *args: str | Path, timeout: float = 1800) -> str:
        """A command of tools/devcluster/devcluster; its progress goes to the test's stderr."""
        command = [str(DEVCLUSTER), "--name", self.name, *map(str, args)]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=timeout, check=True)
        return done.stdout

    @cached_property
    def status(self) -> dict[str, Any]:
        """What `devcluster status --json` says of the cluster: it stays so while it is up."""
        status: dict[str, Any] = json.loads(self.devcluster("status", "--json"))
        return status

    @property
    def kubeconfig(self) -> Path:
        return Path(self.status["kubeconfig"])

    @property
    def netns_pid(self) -> int:
        """A process in the cluster's network, for `nsenter -t PID --net`."""
        return int(self.status["pid"])

    def argv(self, *command: str | Path) -> list[str]:
        """`command` as it runs in the cluster's network, for subprocess.Popen."""
        return [str(DEVCLUSTER), "--name", self.name, "run", "--", *map(str, command)]

    def run(
        self, *command: str | Path, input: str = "", timeout: float = 120, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """Run a host program in the cluster's network; a failure shows what it printed."""
        done = subprocess.run(
            self.argv(*command), input=input, timeout=timeout, capture_output=True, text=True, check=False
        )
        if check and done.returncode:
            shown = " ".join(map(str, command))
            raise AssertionError(f"`{shown}` ended with {done.returncode}:\n{done.stdout}{done.stderr}")
        return done

    def kubectl(
        self, *args: str | Path, input: str = "", timeout: float = 120, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        return self.run("kubectl", *args, input=input, timeout=timeout, check=check)

    def get(self, *args: str) -> dict[str, Any]:
        """`kubectl get ARGS -o json`, parsed."""
        document: dict[str, Any] = json.loads(self.kubectl("get", *args, "-o", "json").stdout)
        return document

    def helm(
        self, *args: str | Path, input: str = "", timeout: float = 300, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        return self.run("helm", *args, input=input, timeout=timeout, check=check)

    def load(self, image: Path) -> None:
        """Import an image archive into the node."""
        self.devcluster("load", image)

    def load_images(self, kinds: Sequence[str] = KINDS) -> None:
        """Make the project's images as the code is now, and import them."""
        made = subprocess.run(
            [IMAGES, "--json", *kinds], stdout=subprocess.PIPE, text=True, check=True
        ).stdout
        for image in json.loads(made):
            self.load(Path(image["archive"]))
            self.images[image["kind"]] = image["tag"]


@pytest.fixture(scope="session")
def cluster() -> Iterator[DevCluster]:
    """A cluster with two GPUs (gpu.intel.com/xe) and the project's images; the only one of the session."""
    check = subprocess.run([DEVCLUSTER, "check"], stderr=subprocess.PIPE, text=True, check=False)
    if check.returncode:
        pytest.skip(f"no cluster on this machine: {check.stderr.strip()}")
    standing = os.environ.get(
        "VINOSERVE_TEST_CLUSTER"
    )  # its name: kept as it is between sessions, for quick rounds
    if standing:
        dev = DevCluster(standing)
        dev.devcluster("up", "--gpus", "2", "--gpu-driver", "xe")
        dev.load_images()
        yield dev
        return
    dev = DevCluster(NAME)
    try:
        dev.devcluster("down")  # an earlier session may have been killed
        dev.devcluster("up", "--gpus", "2", "--gpu-driver", "xe")
        dev.load_images()
        yield dev
    finally:
        dev.devcluster("down")
