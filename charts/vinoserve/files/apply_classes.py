"""Apply the chart's AcceleratorClasses: run by the operator's init container as `apply_classes.py CLASSES.json`.

Helm refuses objects of a kind that the API server doesn't know yet, and the same release brings the kind. A class that
is not as the last run left it is somebody else's now: it stays as it is.
"""
# ruff: noqa: INP001, T201 - run as a file, and what it prints is the container's log

import json
import sys
import time
from pathlib import Path

from kubernetes import client, config

PATIENCE = 60.0  # seconds until the API server must know the kind
FIELD_MANAGER = "vinoserve-chart"
#: What the last run applied, as JSON. managedFields don't tell: nobody owns the item that an admin took out of a list.
APPLIED = "vinoserve.dev/chart-applied"


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
    path = (group, version, "acceleratorclasses", document["metadata"]["name"])
    metadata = document["metadata"]
    try:
        found = objects.get_cluster_custom_object(*path)
    except client.ApiException as error:
        if error.status != 404:
            raise
    else:
        if not is_ours(found):
            return "left as it is: somebody else has made or changed it"
    content = {"annotations": metadata.get("annotations", {}), "spec": document["spec"]}
    annotations = {**content["annotations"], APPLIED: json.dumps(content, sort_keys=True)}
    try:
        objects.patch_cluster_custom_object(
            *path,
            {**document, "metadata": {**metadata, "annotations": annotations}},
            field_manager=FIELD_MANAGER,
            _content_type="application/apply-patch+yaml",
        )
    except client.ApiException as error:
        if error.status != 404:
            raise
        return None
    return "applied"


def is_ours(found: dict) -> bool:
    """Whether all that the last run applied is still as it was; what others have added is theirs, and no matter."""
    annotations = found["metadata"].get("annotations", {})
    applied = json.loads(annotations.get(APPLIED, "null"))
    return applied is not None and all(
        now.get(key) == value
        for now, before in ((annotations, applied["annotations"]), (found["spec"], applied["spec"]))
        for key, value in before.items()
    )


if __name__ == "__main__":
    sys.exit(main())
