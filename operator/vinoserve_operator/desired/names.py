"""Names, labels and annotations of what the operator makes."""

from collections.abc import Mapping
from typing import Any, Final

MANAGER: Final = "vinoserve"  # field manager and app.kubernetes.io/managed-by

FETCH: Final = "fetch"  # init container
SERVE: Final = "serve"  # main container

CLAIM: Final = "accelerators"  # a pod's name for its ResourceClaim

IMAGE_SCHEME: Final = "oci://"  # of a model that is an image
IMAGE_VOLUME: Final = "image"  # the volume that it is mounted by

NAME_LABEL: Final = "app.kubernetes.io/name"
COMPILE_NAME: Final = "inferenceservice-compile"
INSTANCE_LABEL: Final = "app.kubernetes.io/instance"
MANAGED_LABELS: Final = {"app.kubernetes.io/managed-by": MANAGER}

#: On a namespace: the Pod Security profile that is enforced there.
POD_SECURITY_LABEL: Final = "pod-security.kubernetes.io/enforce"
#: On a pod: which of the ConfigMap's keys it mounts.
CONFIG_ANNOTATION: Final = "vinoserve.dev/config"
#: On a Deployment: what the compiled cache was filled for, see `desired.precompile`.
COMPILED_ANNOTATION: Final = "vinoserve.dev/compiled"
#: On what we apply: digest of what was rendered, so that a field that is rendered no more is noticed.
RENDERED_ANNOTATION: Final = "vinoserve.dev/rendered"


def make_selector(name: str) -> dict[str, str]:
    """Labels that select the pods of the InferenceService `name` within its namespace."""
    return {NAME_LABEL: "inferenceservice", INSTANCE_LABEL: name}


def make_labels(name: str) -> dict[str, str]:
    return make_selector(name) | MANAGED_LABELS


def make_compile_labels(name: str) -> dict[str, str]:
    """Labels of the pods of the Job that compiles: no selector of the model pods fits them."""
    return make_labels(name) | {NAME_LABEL: COMPILE_NAME}


def make_label_selector(labels: dict[str, str]) -> str:
    """A label selector as a string, as in a query or in a scale's status."""
    return ",".join(f"{key}={value}" for key, value in sorted(labels.items()))


def make_config_key(digest: str) -> str:
    return f"config-{digest}.json"


def read_config_key(metadata: Mapping[str, Any]) -> str | None:
    """The ConfigMap's key that a pod (template) mounts."""
    digest = (metadata.get("annotations") or {}).get(CONFIG_ANNOTATION)
    return make_config_key(digest) if digest else None


def make_url(name: str, namespace: str, port: int, model: str) -> str:
    return f"http://{name}.{namespace}.svc:{port}/v2/models/{model}"
