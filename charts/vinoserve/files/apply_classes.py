"""Apply the chart's AcceleratorClasses: run by the operator's init container as `apply_classes.py CLASSES.json`.

Helm refuses objects of a kind that the API server doesn't know yet, and the same release brings the kind. A class whose
spec somebody else has set since is theirs: it is left as it is.
"""
# ruff: noqa: INP001, T201 - run as a file, and what it prints is the container's log

import json
import sys
import time
from pathlib import Path

from kubernetes import client, config

PATIENCE = 60.0  # seconds until the API server must know the kind
FIELD_MANAGER = "vinoserve-chart"


def main() -> int:
    config.load_incluster_config()
    api = client.ApiClient()
    until = time.monotonic() + PATIENCE
    for document in json.loads(Path(sys.argv[1]).read_text()):
        name = document["metadata"]["name"]
        while (said := apply(api, document)) is None:
            if time.monotonic() > until:
                print(
                    f"AcceleratorClass {name}: the API server doesn't know the kind; is the chart's crds.enabled off?"
                )
                return 1
            time.sleep(0.5)
        print(f"AcceleratorClass {name}: {said}")
    return 0


def apply(api: client.ApiClient, document: dict) -> str | None:
    """What came of it, or None while the kind isn't served. Raises ApiException for what waiting doesn't mend."""
    objects = client.CustomObjectsApi(api)
    group, version = document["apiVersion"].split("/")
    path = (group, version, "acceleratorclasses")
    name = document["metadata"]["name"]
    if owners := find_owners(objects, path, name):
        return f"left as it is: {' and '.join(owners)} has set its spec"
    try:
        objects.patch_cluster_custom_object(
            *path,
            name,
            document,
            field_manager=FIELD_MANAGER,
            _content_type="application/apply-patch+yaml",
        )
    except client.ApiException as error:
        if error.status != 404:
            raise
        return None
    return "applied"


def find_owners(objects: client.CustomObjectsApi, path: tuple[str, str, str], name: str) -> list[str]:
    """Who else has set fields of the class' spec; nobody where there is no such class."""
    try:
        found = objects.get_cluster_custom_object(*path, name)
    except client.ApiException as error:
        if error.status != 404:
            raise
        return []
    fields = found["metadata"].get("managedFields", [])
    owners = {entry["manager"] for entry in fields if "f:spec" in entry.get("fieldsV1", {})}
    return sorted(owners - {FIELD_MANAGER})


if __name__ == "__main__":
    sys.exit(main())
