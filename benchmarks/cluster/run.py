"""A run on clusters of its own: from `kubectl apply` to an answer, and fleets of InferenceServices."""

import contextlib
import datetime as dt
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.clients import find_percentile
from benchmarks.cluster.results import ClusterResults, FirstAnswer, Fleet
from benchmarks.machine import describe_machine
from benchmarks.models import Model
from benchmarks.payloads import make_rest_body
from benchmarks.process import Group, ServerError, find_ports, running
from tools.demo.cluster import DEVCLUSTER, Access, devcluster
from tools.demo.install import install, wait_operator
from tools.toolbox.cache import cache_root
from tools.toolbox.errors import ToolError
from tools.toolbox.progress import say

CLUSTER = "vinoserve-bench"
ROOT = Path(__file__).parents[2]
#: How many InferenceServices, and how many a second; None: all at once.
FLEETS: tuple[tuple[int, float | None], ...] = ((600, 20), (100, None), (1000, None), (5000, None))
SMOKE_FLEETS: tuple[tuple[int, float | None], ...] = ((40, 20), (40, None))
_FLEET_SECONDS = 1200


@dataclass(frozen=True)
class Site:
    """A cluster of our own that is up."""

    access: Access

    @property
    def argv(self) -> tuple[str, ...]:
        return self.access.prefix

    def run_module(self, module: str, *args: str, timeout: float) -> dict[str, Any]:
        """`python -m MODULE` in the cluster's network; the JSON that it prints."""
        command = [*self.argv, sys.executable, "-m", module, *args]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=timeout, check=False)
        if done.returncode:
            raise ToolError(f"{module} failed: {done.stderr.strip()[-1500:]}")
        found: dict[str, Any] = json.loads(done.stdout)
        return found


def run_cluster(model: Model, *, smoke: bool) -> ClusterResults:
    """Takes some twelve minutes, and leaves no cluster. Raises ToolError where this machine can't have one."""
    check = subprocess.run([str(DEVCLUSTER), "check"], capture_output=True, text=True, check=False)
    if check.returncode:
        raise ToolError(f"no cluster on this machine: {check.stderr.strip()}")
    started = time.monotonic()
    rounds = 1 if smoke else 3
    first = measure_first_answers(model, rounds)
    fleets = [measure_fleet(count, rate) for count, rate in (SMOKE_FLEETS if smoke else FLEETS)]
    cores = usable_cores()
    return ClusterResults(
        taken=dt.datetime.now(dt.UTC).date().isoformat(),
        minutes=round((time.monotonic() - started) / 60, 1),
        machine=describe_machine(cores, cores),
        kubernetes=read_kubernetes_version(),
        first_answers=first,
        fleets=tuple(fleets),
    )


@contextlib.contextmanager
def cluster() -> Iterator[Site]:
    """A new cluster, down again whatever happens."""
    devcluster("--name", CLUSTER, "down")
    try:
        devcluster("--name", CLUSTER, "up")
        yield Site(Access((str(DEVCLUSTER), "--name", CLUSTER, "run", "--")))
    finally:
        devcluster("--name", CLUSTER, "down")


def measure_first_answers(model: Model, rounds: int) -> tuple[FirstAnswer, ...]:
    """With the images on the node and the model on a claim, as they are where a service is started for the second time."""
    made = subprocess.run(
        [ROOT / "tools/images/images", "--json", "operator", "runtime"], stdout=subprocess.PIPE, check=True
    ).stdout
    images = {image["kind"]: image for image in json.loads(made)}
    with tempfile.TemporaryDirectory(prefix="vinoserve-bench-") as name, cluster() as site:
        folder = Path(name)
        folder.chmod(0o755)  # pods run as nobody in particular
        for image in images.values():
            devcluster("--name", CLUSTER, "load", image["archive"])
        install(site.access, images["operator"]["tag"], images["runtime"]["tag"], "gpu.intel.com/xe")
        wait_operator(site.access)
        site.access.apply(*make_claim(put_model(model, folder)))
        body, _ = make_rest_body(model, binary=False)
        (folder / "request").write_bytes(body)
        (folder / "answer").write_text(json.dumps(next(iter(model.expected.values())).ravel().tolist()))
        found = []
        for number in range(rounds):
            say(f"cluster: kubectl apply to an answer, round {number + 1} of {rounds}")
            (folder / "service.json").write_text(json.dumps(make_service(f"bench-{number}", model)))
            files = [str(folder / file) for file in ("service.json", "request", "answer")]
            answer = site.run_module("benchmarks.cluster.first_answer", *files, timeout=240)
            found.append(FirstAnswer(**{key: round(value, 2) for key, value in answer.items()}))
            site.access.kubectl("delete", "vis", f"bench-{number}", "--wait")
        return tuple(found)


def put_model(model: Model, folder: Path) -> Path:
    models = folder / "models"
    models.mkdir(mode=0o755)
    for part in ("model.xml", "model.bin"):
        shutil.copyfile(model.folder / part, models / part)
        (models / part).chmod(0o644)
    return models


def make_claim(models: Path) -> list[dict[str, Any]]:
    """A claim `models` of the folder."""
    spec: dict[str, Any] = {"accessModes": ["ReadOnlyMany"], "storageClassName": ""}
    volume = {"capacity": {"storage": "1Gi"}, "hostPath": {"path": str(models)}}
    claim = {"volumeName": "models", "resources": {"requests": {"storage": "1Gi"}}}
    return [
        {
            "apiVersion": "v1",
            "kind": "PersistentVolume",
            "metadata": {"name": "models"},
            "spec": spec | volume,
        },
        {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {"name": "models", "namespace": "default"},
            "spec": spec | claim,
        },
    ]


def make_service(name: str, model: Model) -> dict[str, Any]:
    return {
        "apiVersion": "vinoserve.dev/v1alpha1",
        "kind": "InferenceService",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"model": {"uri": f"pvc://models/{model.path.name}"}, "targetDevice": "CPU"},
    }


def measure_fleet(count: int, rate: float | None) -> Fleet:
    """The operator runs as a process of this machine in the cluster's network, so that its costs can be told from others'."""
    say(f"cluster: {count} InferenceServices{f' at {rate:g} a second' if rate else ' at once'}")
    with tempfile.TemporaryDirectory(prefix="vinoserve-bench-") as name, cluster() as site:
        crds = sorted((ROOT / "crds").glob("*.yaml"))
        site.access.kubectl("apply", "--server-side", *(part for crd in crds for part in ("-f", str(crd))))
        for crd in ("inferenceservices", "acceleratorclasses"):
            site.access.kubectl(
                "wait", "--for=condition=Established", f"crd/{crd}.vinoserve.dev", "--timeout=60s"
            )
        [port] = find_ports(1)
        env = {
            "VINOSERVE_CACHE": str(cache_root()),
            "VINOSERVE_PORT": str(port),
            "VINOSERVE_IMAGE": "example.com/runtime:1",
        }
        command = [*site.argv, str(Path(sys.executable).with_name("vinoserve")), "operator"]
        with running(command, folder=Path(name), env=env, cores=usable_cores()) as operator:
            wait_ready(site, operator, port)
            before = operator.measure_cpu(), count_requests(site, port)
            found = site.run_module(
                "benchmarks.cluster.fleet", str(count), str(rate or 0), timeout=_FLEET_SECONDS
            )
            wait_idle(site, operator, port)
            cpu, requests = operator.measure_cpu(), count_requests(site, port)
            memory = operator.measure_memory()
    p50, p99 = (find_percentile(found["latencies"], share) * 1000 for share in (0.5, 0.99))
    return Fleet(
        count=count,
        rate=rate,
        created_seconds=round(found["created_seconds"], 2),
        done_seconds=round(found["done_seconds"], 2),
        p50_ms=round(p50, 1),
        p99_ms=round(p99, 1),
        cpu_seconds=round(cpu - before[0], 2),
        api_requests=requests - before[1],
        memory_mib=round(memory / 2**20, 1),
    )


def usable_cores() -> tuple[int, ...]:
    return tuple(sorted(os.sched_getaffinity(0)))


def wait_ready(site: Site, operator: Group, port: int) -> None:
    end = time.monotonic() + 60
    while not read_metric(site, port, "vinoserve_operator_leader"):
        if operator.process.poll() is not None or time.monotonic() > end:
            raise ServerError(f"the operator is not ready:\n  {operator.tail()}")
        time.sleep(0.2)


def wait_idle(site: Site, operator: Group, port: int) -> None:
    """Until the operator writes nothing more: twice in a row the same number of requests, and nothing queued."""
    end, last = time.monotonic() + 600, -1
    while True:
        busy = read_metric(site, port, "vinoserve_operator_queue_depth") + read_metric(
            site, port, "vinoserve_operator_queue_running"
        )
        now = count_requests(site, port)
        if not busy and now == last:
            return
        if time.monotonic() > end:
            raise ServerError(f"the operator does not come to rest:\n  {operator.tail()}")
        last = now
        time.sleep(1)


def count_requests(site: Site, port: int) -> int:
    return int(read_metric(site, port, "vinoserve_operator_api_requests_total"))


def read_metric(site: Site, port: int, name: str) -> float:
    """The sum of a metric's samples; 0 while there are none, or no answer."""
    command = [*site.argv, "curl", "-s", "-m", "5", f"http://127.0.0.1:{port}/metrics"]
    text = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    return sum_samples(text, name)


def sum_samples(text: str, name: str) -> float:
    return sum(float(value) for value in re.findall(rf"^{name}(?:{{.*}})? (\S+)$", text, re.MULTILINE))


def read_kubernetes_version() -> str:
    text = (ROOT / "tools/devcluster/programs/kubernetes/go.mod").read_text()
    found = re.search(r"k8s\.io/kubernetes (v\S+)", text)
    return found[1] if found else "unknown"
