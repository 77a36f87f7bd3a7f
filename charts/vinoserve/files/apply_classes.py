"""Apply the chart's AcceleratorClasses: run by the operator's init container as `apply_classes.py CLASSES.json`.

Helm refuses objects of a kind that the API server doesn't know yet, and the same release brings the kind. Applied
server-side without force, so that a field which somebody else has set since stays as they set it.
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
    group, version = document["apiVersion"].split("/")
    try:
        client.CustomObjectsApi(api).patch_cluster_custom_object(
            group,
            version,
            "acceleratorclasses",
            document["metadata"]["name"],
            document,
            field_manager=FIELD_MANAGER,
            _content_type="application/apply-patch+yaml",
        )
    except client.ApiException as error:
        if error.status == 404:
            return None
        if error.status == 409:
            return "left as it is: " + json.loads(error.body).get("message", "somebody else has set it")
        raise
    return "applied"


if __name__ == "__main__":
    sys.exit(main())
