"""An operator in this process, against the fake API server."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from tests.operator.fakes.api_server import ApiServer
from tests.operator.fakes.workloads import Workloads
from vinoserve_operator.app import Operator
from vinoserve_operator.kinds import INFERENCE_SERVICE
from vinoserve_operator.kube import load_configuration
from vinoserve_operator.reports import Fetch
from vinoserve_operator.settings import Settings

Object = dict[str, Any]


class Running:
    """An operator in a thread of its own: kopf takes a loop's tasks for its own when it ends."""

    def __init__(self, settings: Settings, fetch: Fetch) -> None:
        self._settings = settings
        self._fetch = fetch
        self._started: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.operator: Operator
        self.loop: asyncio.AbstractEventLoop
        self._stop: asyncio.Event

    async def main(self, home: asyncio.AbstractEventLoop) -> None:
        self.loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        self.operator = Operator(self._settings, await load_configuration(), self._fetch)
        home.call_soon_threadsafe(self._started.set_result, None)
        await self.operator.run(self._stop)

    async def started(self) -> None:
        await self._started

    async def do(self, action: Callable[[], Any]) -> Any:
        """Call it where the operator runs."""

        async def call() -> Any:
            return action()

        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(call(), self.loop))

    def stop(self) -> None:
        if not self.loop.is_closed():
            self.loop.call_soon_threadsafe(self._stop.set)

    @property
    def busy(self) -> bool:
        queue = self.operator.queue
        return bool(len(queue) or queue.running or queue.failing)


@asynccontextmanager
async def run_operator(workloads: Workloads, **settings: Any) -> AsyncIterator[Running]:
    """A running operator, ended as by SIGTERM when the context ends."""
    given = {
        "port": 0,
        "image": "example.com/runtime:1",
        "resync_seconds": 3600,
        "lease_namespace": "vinoserve",
    }
    running = Running(Settings(**given | settings), workloads.fetch)
    home = asyncio.get_running_loop()
    thread = asyncio.create_task(asyncio.to_thread(asyncio.run, running.main(home)))
    await asyncio.wait({thread, asyncio.create_task(running.started())}, return_when=asyncio.FIRST_COMPLETED)
    try:
        yield running
    finally:
        running.stop()
        await asyncio.wait_for(thread, 30)


async def eventually(check: Callable[[], Any], api: ApiServer, seconds: float = 60) -> Any:
    """What `check` gives once it is true; looked at after every change, and now and then."""
    async with asyncio.timeout(seconds):
        while not (found := check()):
            async with api.changed:
                try:
                    await asyncio.wait_for(api.changed.wait(), 0.1)
                except TimeoutError:
                    continue
        return found


async def settle(running: Running, api: ApiServer, seconds: float = 60) -> None:
    """Until the operator has nothing more to do: nothing waits, nothing runs, no write for a while."""
    quiet, writes = 0, -1
    async with asyncio.timeout(seconds):
        while quiet < 5:
            await asyncio.sleep(0.05)
            quiet = 0 if running.busy or len(api.writes) != writes else quiet + 1
            writes = len(api.writes)


def make_service(name: str = "resnet", **spec: Any) -> Object:
    return {
        "apiVersion": "vinoserve.dev/v1alpha1",
        "kind": "InferenceService",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"model": {"uri": "https://example.com/m.onnx"}, **spec},
    }


def make_class(name: str = "intel-gpu", *, default: bool = True, **spec: Any) -> Object:
    return {
        "apiVersion": "vinoserve.dev/v1alpha1",
        "kind": "AcceleratorClass",
        "metadata": {
            "name": name,
            "annotations": {"vinoserve.dev/is-default-class": "true"} if default else {},
        },
        "spec": {
            "deviceType": "GPU",
            "devicePlugin": {"resourceName": "gpu.intel.com/xe"},
            "renderGroups": [109],
            **spec,
        },
    }


def make_dra_class(
    name: str = "intel-gpu", *selectors: str, device_class: str = "gpu.intel.com", **spec: Any
) -> Object:
    dra = {"deviceClassName": device_class, "selectors": [*selectors]}
    raw = make_class(name, access="DRA", dra=dra, **spec)
    del raw["spec"]["devicePlugin"]
    return raw


def condition(api: ApiServer, type_: str, name: str = "resnet") -> Object:
    """A condition of an InferenceService; empty where it isn't there (yet)."""
    found = api.get(INFERENCE_SERVICE, "default", name) or {}
    conditions = (found.get("status") or {}).get("conditions") or []
    return next((c for c in conditions if c["type"] == type_), {})


def is_ready(api: ApiServer, name: str = "resnet") -> bool:
    return condition(api, "Ready", name).get("status") == "True"


def is_ready_now(api: ApiServer, name: str = "resnet") -> bool:
    """Ready as it is written, not as it was before an edit."""
    found = api.get(INFERENCE_SERVICE, "default", name)
    assert found is not None
    said = condition(api, "Ready", name)
    return is_ready(api, name) and bool(said["observedGeneration"] == found["metadata"]["generation"])


def edit(api: ApiServer, name: str = "resnet", **spec: Any) -> None:
    """Set fields of the spec, as a user would; None takes one away."""
    found = api.get(INFERENCE_SERVICE, "default", name)
    assert found is not None
    kept = {key: value for key, value in {**found["spec"], **spec}.items() if value is not None}
    api.put({**found, "spec": kept})


@asynccontextmanager
async def run_settled(workloads: Workloads, api: ApiServer) -> AsyncIterator[Running]:
    """A running operator with one service, which is Ready, and nothing left to do."""
    async with run_operator(workloads) as running:
        api.put(make_service())
        await eventually(lambda: is_ready(api), api)
        await settle(running, api)
        yield running
