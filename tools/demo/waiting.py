"""Wait for an InferenceService and say meanwhile what it says."""

import time
from typing import Any

from tools.demo.cluster import Access
from tools.toolbox.errors import ToolError
from tools.toolbox.progress import say, show_time

PAUSE = 0.5  # seconds between two looks
BEAT = 10  # seconds after which the same is said again
STALLED = 30  # seconds: a rollout may be in its own way for a moment


def find_condition(service: dict[str, Any], kind: str) -> dict[str, str]:
    """A condition that speaks of the object as it is now, or {}."""
    for condition in service.get("status", {}).get("conditions", []):
        current = condition.get("observedGeneration", 0) == service["metadata"]["generation"]
        if condition["type"] == kind and current:
            return dict(condition)
    return {}


def describe(service: dict[str, Any]) -> str:
    """What the service is busy with, in one line."""
    ready = find_condition(service, "Ready")
    if not ready:
        return "the operator has not looked at it yet"
    return f"{ready['reason']}: {ready['message']}" if ready.get("message") else ready["reason"]


def wait_ready(access: Access, namespace: str, name: str, seconds: float) -> dict[str, Any]:
    """The InferenceService once it is Ready. Raises ToolError when it says that it will not be, or it takes too long."""
    started = said_at = going_at = time.monotonic()
    said = ""
    while True:
        service = access.get("-n", namespace, f"inferenceservice/{name}")
        if not service:
            raise ToolError(f"InferenceService {name} is gone: somebody has deleted it")
        now, state = time.monotonic(), describe(service)
        if state != said or now - said_at >= BEAT:
            say(f"  {show_time(now - started):>6}  {state}")
            said, said_at = state, now
        if find_condition(service, "Ready").get("status") == "True":
            return service
        if find_condition(service, "Stalled").get("status") != "True":
            going_at = now
        if now - going_at >= STALLED:
            raise ToolError(f"it will not become Ready: {state}")
        if now - started > seconds:
            raise ToolError(f"not Ready after {show_time(seconds)}: {state}")
        time.sleep(PAUSE)
