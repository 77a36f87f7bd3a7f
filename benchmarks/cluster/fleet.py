"""Runs in the cluster's network: creates InferenceServices, and prints when each was there and when its Deployment was, as JSON.

python -m benchmarks.cluster.fleet COUNT RATE       RATE: a second; 0: as fast as the API server takes them
"""

import asyncio
import json
import sys
import time

import aiohttp

from benchmarks.cluster.api import DEPLOYMENTS, SERVICES, Object, connect, watch

_AT_ONCE = 32
_PATIENCE = 900.0


def make_service(name: str) -> Object:
    """Without pods: what is measured is the operator, not a node."""
    return {
        "apiVersion": "vinoserve.dev/v1alpha1",
        "kind": "InferenceService",
        "metadata": {"name": name},
        "spec": {"model": {"uri": "https://example.com/m.onnx"}, "targetDevice": "CPU", "suspend": True},
    }


async def main(count: int, rate: float) -> None:
    names = [f"s{i:05}" for i in range(count)]
    created: dict[str, float] = {}
    seen: dict[str, float] = {}
    async with connect() as session:
        started = asyncio.Event()
        watching = asyncio.create_task(note_deployments(session, seen, count, started))
        await started.wait()
        begun = time.monotonic()
        slots = asyncio.Semaphore(_AT_ONCE)

        async def create(name: str) -> None:
            async with slots, session.post(SERVICES, json=make_service(name)):
                created[name] = time.monotonic()

        async with asyncio.TaskGroup() as group:
            for i, name in enumerate(names):
                if rate:
                    await asyncio.sleep(begun + i / rate - time.monotonic())
                group.create_task(create(name))
        await asyncio.wait_for(watching, _PATIENCE)
    latencies = [max(0.0, seen[name] - created[name]) for name in names]
    found = {
        "created_seconds": max(created.values()) - begun,
        "done_seconds": max(seen.values()) - begun,
        "latencies": sorted(latencies),
    }
    print(json.dumps(found))  # noqa: T201


async def note_deployments(
    session: aiohttp.ClientSession, seen: dict[str, float], count: int, started: asyncio.Event
) -> None:
    async for event in watch(session, DEPLOYMENTS, started):
        if event["type"] == "ADDED":
            seen[event["object"]["metadata"]["name"]] = time.monotonic()
            if len(seen) == count:
                return


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), float(sys.argv[2])))
