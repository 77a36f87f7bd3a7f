"""Runs in the cluster's network: applies a manifest, and prints the seconds until what came of it, as JSON.

python -m benchmarks.cluster.first_answer MANIFEST REQUEST ANSWER      REQUEST: a JSON body; ANSWER: what must come back
"""

import asyncio
import json
import sys
import time
from functools import partial
from math import isclose
from pathlib import Path

import aiohttp

from benchmarks.cluster.api import DEPLOYMENTS, SERVICES, Object, connect

_PATIENCE = 180.0
_PAUSE = 0.02


async def main(manifest: str, name: str, body: bytes, wanted: list[float]) -> None:
    begun = time.monotonic()
    applying = await asyncio.create_subprocess_exec("kubectl", "apply", "-f", manifest, stdout=sys.stderr)
    found: dict[str, float] = {}
    async with connect() as session, asyncio.timeout(_PATIENCE), asyncio.TaskGroup() as group:

        async def note(what: str, path: str) -> None:
            while not is_so(what, await get(session, path)):  # noqa: ASYNC110 - what is awaited is elsewhere
                await asyncio.sleep(_PAUSE)
            found[what] = time.monotonic() - begun

        group.create_task(note("deployment", f"{DEPLOYMENTS}/{name}"))
        group.create_task(note("ready", f"{SERVICES}/{name}"))
        path = f"/api/v1/namespaces/default/services/{name}"
        while not (service := await get(session, path)):  # noqa: ASYNC110
            await asyncio.sleep(_PAUSE)
        url = f"http://{service['spec']['clusterIP']}:8000/v2/models/{name}/infer"
        while not is_right(await ask(url, body), wanted):  # noqa: ASYNC110
            await asyncio.sleep(_PAUSE)
        found["answered"] = time.monotonic() - begun
    await applying.wait()
    print(json.dumps(found))  # noqa: T201


async def get(session: aiohttp.ClientSession, path: str) -> Object:
    """The object, or {} while it is not there."""
    async with session.get(path, raise_for_status=False) as answer:
        found: Object = await answer.json()
        return found if answer.status == 200 else {}


def is_so(what: str, found: Object) -> bool:
    if what == "deployment" or not found:
        return bool(found)
    conditions = (found.get("status") or {}).get("conditions") or []
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


def is_right(found: list[float], wanted: list[float]) -> bool:
    """Numbers are written with as many digits as they need, which differ with their types."""
    return len(found) == len(wanted) and all(map(partial(isclose, rel_tol=1e-3), found, wanted))


async def ask(url: str, body: bytes) -> list[float]:
    """The first output's values; none while there are none."""
    headers = {"Content-Type": "application/json"}
    try:
        timeout = aiohttp.ClientTimeout(total=2)
        async with (
            aiohttp.ClientSession(timeout=timeout) as client,
            client.post(url, data=body, headers=headers) as answer,
        ):
            if answer.status != 200:
                return []
            found: list[float] = (await answer.json())["outputs"][0]["data"]
            return found
    except (aiohttp.ClientError, TimeoutError, OSError):
        return []


if __name__ == "__main__":
    manifest, request, answer = sys.argv[1:]
    name = json.loads(Path(manifest).read_text())["metadata"]["name"]
    asyncio.run(main(manifest, name, Path(request).read_bytes(), json.loads(Path(answer).read_text())))
