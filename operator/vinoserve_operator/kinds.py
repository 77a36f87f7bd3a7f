"""The kinds of object that the operator deals with, and where the API server has them."""

from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from vinoserve_api.v1alpha1 import GROUP, VERSION

Object = dict[str, Any]


@dataclass(frozen=True)
class Kind:
    group: str
    version: str
    name: str
    plural: str
    namespaced: bool = True
    owned: bool = False
    """Only those that carry our label are of interest."""

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    def make_path(self, namespace: str | None, name: str | None = None) -> str:
        """Path of one object, or of all in a namespace, or of all there are."""
        parts = ["api", self.version] if not self.group else ["apis", self.group, self.version]
        if self.namespaced and namespace:
            parts += ["namespaces", namespace]
        return "/" + "/".join([*parts, self.plural, *([name] if name else [])])


INFERENCE_SERVICE: Final = Kind(GROUP, VERSION, "InferenceService", "inferenceservices")
ACCELERATOR_CLASS: Final = Kind(GROUP, VERSION, "AcceleratorClass", "acceleratorclasses", namespaced=False)
DEPLOYMENT: Final = Kind("apps", "v1", "Deployment", "deployments", owned=True)
SERVICE: Final = Kind("", "v1", "Service", "services", owned=True)
CONFIG_MAP: Final = Kind("", "v1", "ConfigMap", "configmaps", owned=True)
POD: Final = Kind("", "v1", "Pod", "pods", owned=True)
NODE: Final = Kind("", "v1", "Node", "nodes", namespaced=False)
NAMESPACE: Final = Kind("", "v1", "Namespace", "namespaces", namespaced=False)

POD_DISRUPTION_BUDGET: Final = Kind("policy", "v1", "PodDisruptionBudget", "poddisruptionbudgets", owned=True)
HORIZONTAL_POD_AUTOSCALER: Final = Kind(
    "autoscaling", "v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers", owned=True
)
RESOURCE_CLAIM_TEMPLATE: Final = Kind(
    "resource.k8s.io", "v1", "ResourceClaimTemplate", "resourceclaimtemplates", owned=True
)

JOB: Final = Kind("batch", "v1", "Job", "jobs", owned=True)

CHILDREN: Final = (CONFIG_MAP, SERVICE, DEPLOYMENT)
"""What every service has, by its own name."""

EXTRAS: Final = (POD_DISRUPTION_BUDGET, HORIZONTAL_POD_AUTOSCALER, RESOURCE_CLAIM_TEMPLATE, JOB)
"""What some services have, by any name: made while the spec calls for it, deleted when it does no more."""

WATCHED: Final = (INFERENCE_SERVICE, ACCELERATOR_CLASS, *CHILDREN, *EXTRAS, POD, NODE, NAMESPACE)

REPLICA_SET: Final = Kind("apps", "v1", "ReplicaSet", "replicasets", owned=True)
EVENT: Final = Kind("events.k8s.io", "v1", "Event", "events")
DEVICE_CLASS: Final = Kind("resource.k8s.io", "v1", "DeviceClass", "deviceclasses", namespaced=False)
RESOURCE_SLICE: Final = Kind("resource.k8s.io", "v1", "ResourceSlice", "resourceslices", namespaced=False)

BY_NAME: Final = {kind.name: kind for kind in (*WATCHED, REPLICA_SET, EVENT, DEVICE_CLASS, RESOURCE_SLICE)}


class Ref(NamedTuple):
    """Which object; the namespace is "" for what is cluster-scoped. The key of the queue and of the caches."""

    kind: Kind
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind.name} " + "/".join(part for part in (self.namespace, self.name) if part)


def make_ref(kind: Kind, found: Object) -> Ref:
    metadata = found["metadata"]
    return Ref(kind, metadata.get("namespace") or "", metadata["name"])


def find_controller(found: Object) -> Object | None:
    """The ownerReference of what controls the object."""
    owners = found["metadata"].get("ownerReferences") or []
    return next((owner for owner in owners if owner.get("controller")), None)
