"""Measure the operator with a fleet of services on a real API server with simulated nodes. Run it in the cluster's network:

tools/devcluster/devcluster run -- .venv/bin/python -m tools.fleet --services 5000
"""

import argparse
import asyncio
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

from tools.fleet.kwok import make_kwok
from tools.fleet.operators import NAMESPACE, RunningOperator, run_operator
from tools.fleet.site import Client, at_rest, simulate_pods
from tools.toolbox.programs import run

Object = dict[str, Any]

_SERVICES: Final = f"/apis/vinoserve.dev/v1alpha1/namespaces/{NAMESPACE}/inferenceservices"
_DEPLOYMENTS: Final = f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments"
_CRDS: Final = Path(__file__).parents[2] / "crds"
_PARALLEL: Final = 24
_PER_NODE: Final = 250


class Fleet:
    """Services by name: when they were made, when their Deployment was seen, when they were Ready."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self.made: dict[str, float] = {}
        self.deployed: dict[str, float] = {}
        self.ready: dict[str, float] = {}
        self.changes = 0
        self._watches: list[asyncio.Task[None]] = []

    async def watch(self) -> None:
        for path, receive in ((_SERVICES, self._see_service), (_DEPLOYMENTS, self._see_deployment)):
            version = (await self._client.get(f"{path}?limit=1"))["metadata"]["resourceVersion"]
            self._watches.append(asyncio.create_task(self._client.watch(path, version, receive)))

    async def close(self) -> None:
        for task in self._watches:
            task.cancel()
        await asyncio.gather(*self._watches, return_exceptions=True)

    def _see_service(self, _: str, found: Object) -> None:
        self.changes += 1
        conditions = (found.get("status") or {}).get("conditions") or ()
        if any(c["type"] == "Ready" and c["status"] == "True" for c in conditions):
            self.ready.setdefault(found["metadata"]["name"], time.monotonic())

    def _see_deployment(self, _: str, found: Object) -> None:
        self.deployed.setdefault(found["metadata"]["name"], time.monotonic())

    async def make(self, name: str) -> None:
        self.made[name] = time.monotonic()
        await self._client.post(
            _SERVICES,
            {
                "apiVersion": "vinoserve.dev/v1alpha1",
                "kind": "InferenceService",
                "metadata": {"name": name},
                "spec": {"model": {"uri": "https://models.example.com/m.onnx"}},
            },
        )

    async def trickle(self, names: list[str], per_second: float) -> None:
        """Make them at that rate, whether or not the answers come in time."""
        start = time.monotonic()
        async with asyncio.TaskGroup() as group:
            for i, name in enumerate(names):
                await asyncio.sleep(max(0.0, start + i / per_second - time.monotonic()))
                group.create_task(self.make(name))

    async def burst(self, names: list[str]) -> None:
        waiting = iter(names)

        async def work() -> None:
            for name in waiting:
                await self.make(name)

        await asyncio.gather(*(work() for _ in range(_PARALLEL)))

    async def wait(self, names: list[str], seconds: float) -> None:
        """Until all are Ready; TimeoutError says how many are not, and how the first of them is."""
        deadline = time.monotonic() + seconds
        while missing := [name for name in names if name not in self.ready]:
            for task in self._watches:
                if task.done():
                    task.result()
            if time.monotonic() > deadline:
                undeployed = sum(name not in self.deployed for name in names)
                first = await self._client.get(f"{_SERVICES}/{missing[0]}")
                raise TimeoutError(
                    f"after {seconds} s {len(missing)} are not ready, {undeployed} have no Deployment; "
                    f"{missing[0]}: {json.dumps(first.get('status'))}"
                )
            await asyncio.sleep(0.1)

    def latencies(self, names: list[str], reached: dict[str, float]) -> dict[str, float]:
        """Milliseconds from the request that makes a service."""
        found = sorted(1000 * (reached[name] - self.made[name]) for name in names)
        return {
            f"p{share}": round(found[min(len(found) - 1, len(found) * share // 100)])
            for share in (50, 90, 99, 100)
        }


async def measure(options: argparse.Namespace) -> None:
    """Prints the figures before it tidies up, which takes as long again."""
    for crd in sorted(_CRDS.glob("*.yaml")):
        run(["kubectl", "apply", "--server-side", "-f", crd])
    run(["kubectl", "wait", "--for=condition=Established", "crd", "--all", "--timeout=60s"])
    client, logs = Client(), Path(options.logs)
    logs.mkdir(exist_ok=True)  # noqa: ASYNC240  # nothing runs yet
    fleet = Fleet(client)
    try:
        await client.post("/api/v1/namespaces", {"metadata": {"name": NAMESPACE}})
        nodes = 1 + options.services // _PER_NODE
        async with simulate_pods(client, make_kwok(), nodes, logs):
            run(["kubectl", "cordon", "node1"])
            try:
                with at_rest("kube-proxy"):
                    await fleet.watch()
                    print(json.dumps(await _measure(options, fleet, logs), indent=1), flush=True)
            finally:
                await fleet.close()
                run(["kubectl", "uncordon", "node1"])
                run(["kubectl", "delete", "namespace", NAMESPACE, "--timeout=600s"])  # kwok ends its pods
    finally:
        await client.close()


async def _measure(options: argparse.Namespace, fleet: Fleet, logs: Path) -> dict[str, Any]:
    warm = [f"w{i:04}" for i in range(options.warm_up)]
    first = [f"t{i:04}" for i in range(options.trickle)]
    rest = [f"b{i:04}" for i in range(options.services - len(warm) - len(first))]
    figures: dict[str, Any] = {"services": options.services}
    async with run_operator(logs) as operator:
        await fleet.burst(warm)
        await fleet.wait(warm, options.limit)
        await fleet.trickle(first, options.rate)
        await fleet.wait(first, options.limit)
        figures["trickle"] = {
            "perSecond": options.rate,
            "deployment": fleet.latencies(first, fleet.deployed),
            "ready": fleet.latencies(first, fleet.ready),
        }
        start = time.monotonic()
        await fleet.burst(rest)
        figures["burst"] = {"madeSeconds": round(time.monotonic() - start, 1)}
        await fleet.wait(rest, options.limit)
        figures["burst"] |= {
            "deploymentsSeconds": round(max(fleet.deployed.values()) - start, 1),
            "readySeconds": round(max(fleet.ready.values()) - start, 1),
            "operatorCpuSeconds": round(operator.usage.cpu(), 1),
            "peakMegabytes": round(operator.usage.megabytes("VmHWM")),
        }
        await operator.settle()
        figures["statusWritesPerService"] = round(fleet.changes / options.services - 1, 1)
        scrape = await operator.scrape()
        figures["writes"] = scrape.writes
        figures["looks"] = int(scrape.read("reconcile_seconds_count"))
        figures["tries"] = int(scrape.read("reconcile_errors_total"))
        figures["idle"] = await _idle(operator, options.idle)
    async with run_operator(logs) as operator:
        start = time.monotonic()
        await operator.settle()
        figures["restart"] = {
            "seconds": round(time.monotonic() - start, 1),
            "writes": (await operator.scrape()).writes,
            "cpuSeconds": round(operator.usage.cpu(), 1),
            "peakMegabytes": round(operator.usage.megabytes("VmHWM")),
        }
    return figures


async def _idle(operator: RunningOperator, seconds: float) -> dict[str, Any]:
    operator.usage.percent()
    await asyncio.sleep(seconds)
    return {
        "cpuPercent": round(operator.usage.percent(), 1),
        "megabytes": round(operator.usage.megabytes()),
        "writes": (await operator.scrape()).writes,
    }


def main() -> int:
    parser = argparse.ArgumentParser(prog="tools.fleet", description=__doc__)
    parser.add_argument("--services", type=int, default=5000)
    parser.add_argument("--warm-up", type=int, default=50, help="of them, made at first and not measured")
    parser.add_argument("--trickle", type=int, default=200, help="of them, made one after the other then")
    parser.add_argument("--rate", type=float, default=20, help="of those a second")
    parser.add_argument("--limit", type=float, default=600, help="seconds for all to be Ready")
    parser.add_argument("--idle", type=float, default=30, help="seconds of watching an unchanged fleet")
    parser.add_argument("--logs", default=tempfile.mkdtemp(prefix="fleet-"))
    options = parser.parse_args()
    asyncio.run(measure(options))
    return 0


if __name__ == "__main__":
    sys.exit(main())
