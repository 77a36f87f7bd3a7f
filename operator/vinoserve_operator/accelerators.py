"""AcceleratorClasses and the cluster around them: what services go by, and what the classes' statuses are made from."""

import time
from collections.abc import Iterable, Sequence
from typing import Final

from vinoserve_api.conditions import ClassConditionType, ClassReason
from vinoserve_api.problem import InvalidObject
from vinoserve_api.reading import read_class
from vinoserve_api.v1alpha1 import AcceleratorClass, InferenceService
from vinoserve_operator.cluster import Cluster
from vinoserve_operator.desired.devices import Inventory, choose_classes
from vinoserve_operator.errors import GoneError, NotRenderableError, RejectedError
from vinoserve_operator.kinds import (
    ACCELERATOR_CLASS,
    DEVICE_CLASS,
    NAMESPACE,
    NODE,
    POD,
    RESOURCE_CLAIM_TEMPLATE,
    RESOURCE_SLICE,
    Object,
    Ref,
)
from vinoserve_operator.kube import Kube
from vinoserve_operator.status.accelerator import ClassLook, gather_render_groups, needs_published
from vinoserve_operator.status.dra import Published
from vinoserve_operator.status.groups import read_node_groups
from vinoserve_operator.status.pods import PodView

_FRESH_SECONDS: Final = 8.0
"""Less than the time between two looks at a class; all classes share one answer."""


class Accelerators:
    def __init__(self, kube: Kube, cluster: Cluster) -> None:
        self._kube = kube
        self._cluster = cluster
        self._inventory: tuple[tuple[int, ...], Inventory] | None = None
        self._published: Published | None = None
        self._asked = 0.0

    @property
    def version(self) -> tuple[int, ...]:
        """Of the inventory."""
        return tuple(self._cluster.changes(kind) for kind in (ACCELERATOR_CLASS, NODE, NAMESPACE))

    def gather_inventory(self) -> Inventory:
        """Made anew when a class, a node or a namespace has changed."""
        version = self.version
        if self._inventory and self._inventory[0] == version:
            return self._inventory[1]
        classes: dict[str, AcceleratorClass] = {}
        invalid: dict[str, str] = {}
        for raw in self._cluster.gather(ACCELERATOR_CLASS):
            try:
                classes[raw["metadata"]["name"]] = read_class(raw)
            except InvalidObject as error:
                invalid[raw["metadata"]["name"]] = "; ".join(str(problem) for problem in error.problems)
        nodes = self._cluster.gather(NODE)
        groups = {name: gather_render_groups(c, nodes) for name, c in classes.items()}
        namespaces = {
            n["metadata"]["name"]: n["metadata"]["labels"] or {} for n in self._cluster.gather(NAMESPACE)
        }
        self._inventory = version, Inventory(classes, invalid, groups, namespaces)
        return self._inventory[1]

    async def look(self, raw: Object, now: str) -> ClassLook:
        """One look at a class. Raises RetryableError."""
        name, inventory, nodes = raw["metadata"]["name"], self.gather_inventory(), self._cluster.gather(NODE)
        accelerator = inventory.classes.get(name)
        depends = accelerator is not None and needs_published(accelerator, nodes)
        published = await self._gather_published() if depends else None
        templates = self._cluster.gather(RESOURCE_CLAIM_TEMPLATE)
        return ClassLook(
            raw,
            accelerator,
            inventory.invalid.get(name, ""),
            nodes,
            self._cluster.gather(POD),
            {(t["metadata"]["namespace"], t["metadata"]["name"]): t for t in templates},
            published,
            now,
        )

    def gather_node_groups(self, pods: Iterable[PodView]) -> dict[str, Sequence[int]]:
        """Groups that the devices of the pods' nodes belong to."""
        names = {pod.node for pod in pods if pod.node}
        return {name: read_node_groups(self._cluster.get(Ref(NODE, "", name))) for name in names}

    def gather_lost_nodes(self, pods: Iterable[PodView]) -> frozenset[str]:
        """Nodes of the pods of which nothing is heard. The pods of one that is gone are deleted by Kubernetes."""
        names = {pod.node for pod in pods if pod.node}
        nodes = {name: self._cluster.get(Ref(NODE, "", name)) for name in names}
        return frozenset(name for name, node in nodes.items() if node and not node["status"]["ready"])

    def gather_troubles(self, service: InferenceService | None) -> list[str]:
        """What the statuses of the service's classes say that isn't as it should be."""
        if service is None:
            return []
        try:
            names = choose_classes(service, self.gather_inventory())
        except NotRenderableError:  # a class has gone since: the next look at the service says so
            return []
        told: list[str] = []
        for name in names:
            status = (self._cluster.get(Ref(ACCELERATOR_CLASS, "", name)) or {}).get("status") or {}
            told += [
                f"AcceleratorClass {name}: {condition['message']}"
                for condition in status.get("conditions") or ()
                if condition["type"] == ClassConditionType.READY
                and condition["reason"] != ClassReason.AVAILABLE
            ]
        return told

    async def _gather_published(self) -> Published:
        """What DRA drivers publish. Few clusters have such drivers, so it isn't watched. Raises RetryableError."""
        if self._published is None or time.monotonic() - self._asked > _FRESH_SECONDS:
            self._published = await self._ask_published()
            self._asked = time.monotonic()
        return self._published

    async def _ask_published(self) -> Published:
        try:
            classes = await self._kube.gather(DEVICE_CLASS)
            slices = await self._kube.gather(RESOURCE_SLICE) if classes else []
        except GoneError:
            return Published(
                problem="this API server has no Dynamic Resource Allocation (resource.k8s.io/v1)"
            )
        except RejectedError as error:
            return Published(problem=f"DeviceClasses and ResourceSlices can't be read: {error}")
        return Published(classes, slices)
