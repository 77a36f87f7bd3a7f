"""What is known of the cluster: caches that the watch keeps, and that a list replaces now and then.

kopf reports no deletion of what vanished during a gap of the watch, so a list is the only truth about absence.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import Final

from vinoserve_operator.desired.names import INSTANCE_LABEL
from vinoserve_operator.kinds import (
    HORIZONTAL_POD_AUTOSCALER,
    INFERENCE_SERVICE,
    NAMESPACE,
    NODE,
    POD,
    WATCHED,
    Kind,
    Object,
    Ref,
    make_ref,
)
from vinoserve_operator.sharing import share

_RESTLESS: Final = (NODE, NAMESPACE, HORIZONTAL_POD_AUTOSCALER)
"""They change all the time in ways that are of no interest."""


class Cluster:
    """Objects by kind; those that we own also by the service that they belong to."""

    def __init__(self) -> None:
        self._objects: dict[Kind, dict[Ref, Object]] = {kind: {} for kind in WATCHED}
        self._latest: dict[Kind, Object] = {}
        """With which one that is new has most in common."""
        self._deleted: dict[Kind, dict[Ref, int]] = {kind: {} for kind in WATCHED}
        self._changes: Counter[Kind] = Counter()
        self._instances: dict[tuple[Kind, str, str], set[Ref]] = defaultdict(set)

    def get(self, ref: Ref) -> Object | None:
        return self._objects[ref.kind].get(ref)

    def gather(self, kind: Kind) -> list[Object]:
        return list(self._objects[kind].values())

    def gather_refs(self, kind: Kind) -> list[Ref]:
        return list(self._objects[kind])

    def changes(self, kind: Kind) -> int:
        """A number that grows with every change of the kind's objects."""
        return self._changes[kind]

    def gather_owned(self, kind: Kind, service: Ref) -> list[Object]:
        """Objects of the kind that carry the service's label."""
        refs = self._instances.get((kind, service.namespace, service.name), ())
        return [self._objects[kind][ref] for ref in sorted(refs, key=lambda ref: ref.name)]

    def trim(self, kind: Kind, found: Object) -> Object:
        """What is kept of an object: without what is of no interest, its parts shared with those that are known already."""
        known = self._objects[kind].get(make_ref(kind, found)) or self._latest.get(kind)
        kept: Object = share(_trim(kind, found), known)
        self._latest[kind] = kept
        return kept

    def put(self, kind: Kind, found: Object) -> bool:
        """Keep the object unless a newer version is known. Whether it was news."""
        return self._is_new(kind, found) and self._keep(kind, self.trim(kind, found))

    def _is_new(self, kind: Kind, found: Object) -> bool:
        ref = make_ref(kind, found)
        version = _version(found)
        before = self._objects[kind].get(ref)
        if before is not None and _version(before) >= version and _uid(before) == _uid(found):
            return False
        return self._deleted[kind].get(ref, -1) < version

    def _keep(self, kind: Kind, kept: Object) -> bool:
        ref = make_ref(kind, kept)
        before = self._objects[kind].get(ref)
        self._objects[kind][ref] = kept
        if before is not None and kind in _RESTLESS and _essence(kind, before) == _essence(kind, kept):
            return False  # a heartbeat, an annotation, or a metric's present value
        self._changes[kind] += 1
        service = find_service(kind, kept)
        if service:
            self._instances[kind, service.namespace, service.name].add(ref)
        return True

    def drop(self, kind: Kind, found: Object) -> bool:
        """The object was deleted, in this version of it. Whether it was known."""
        ref = make_ref(kind, found)
        before = self._objects[kind].get(ref)
        self._deleted[kind][ref] = _version(found)
        if before is None or _version(before) > _version(found):
            return False
        self._forget(ref, before)
        return True

    def replace(self, kind: Kind, kept: Iterable[Object], version: int) -> list[Object]:
        """A fresh list of that resourceVersion, trimmed: what isn't in it is gone, unless it is newer than the list.

        Returns what has changed or gone, in its last known version.
        """
        listed = {make_ref(kind, item): item for item in kept}
        gone = [
            known
            for ref, known in self._objects[kind].items()
            if ref not in listed and _version(known) <= version
        ]
        for known in gone:
            self._forget(make_ref(kind, known), known)
        changed = [item for item in listed.values() if self._is_new(kind, item) and self._keep(kind, item)]
        self._deleted[kind] = {r: v for r, v in self._deleted[kind].items() if v > version}
        return gone + changed

    def _forget(self, ref: Ref, found: Object) -> None:
        del self._objects[ref.kind][ref]
        self._changes[ref.kind] += 1
        service = find_service(ref.kind, found)
        if service:
            index = (ref.kind, service.namespace, service.name)
            self._instances[index].discard(ref)
            if not self._instances[index]:
                del self._instances[index]


def find_service(kind: Kind, found: Object) -> Ref | None:
    """The InferenceService that an object of ours belongs to, by its label."""
    instance = (found["metadata"].get("labels") or {}).get(INSTANCE_LABEL) if kind.owned else None
    return Ref(INFERENCE_SERVICE, found["metadata"].get("namespace") or "", instance) if instance else None


def is_node_ready(node: Object) -> bool:
    """Whether its kubelet says so; what says nothing (yet) is taken for ready. Of a whole node."""
    conditions = (node.get("status") or {}).get("conditions") or ()
    return all(c.get("status") == "True" for c in conditions if c.get("type") == "Ready")


def _trim(kind: Kind, found: Object) -> Object:
    """Without what is of no interest: the caches of a large cluster shall fit into a small pod."""
    metadata = _drop(found["metadata"], "managedFields", "generateName")
    if kind is NODE:
        status = found.get("status") or {}
        extended = {
            part: {name: units for name, units in (status.get(part) or {}).items() if "/" in name}
            for part in ("capacity", "allocatable")
        }
        kept = {k: metadata.get(k) for k in ("name", "uid", "resourceVersion", "labels")}
        return {"metadata": kept, "status": {**extended, "ready": is_node_ready(found)}}
    if kind is NAMESPACE:
        return {"metadata": {k: metadata.get(k) for k in ("name", "uid", "resourceVersion", "labels")}}
    if kind is HORIZONTAL_POD_AUTOSCALER:
        conditions = (found.get("status") or {}).get("conditions") or ()
        told = [condition for condition in conditions if condition.get("type") == "ScalingActive"]
        return {**found, "metadata": metadata, "status": {"conditions": told}}
    if kind is POD:
        return {
            "metadata": metadata,
            "spec": _trim_pod_spec(found.get("spec") or {}),
            "status": _trim_pod_status(found.get("status") or {}),
        }
    return {**found, "metadata": metadata}


def _trim_pod_spec(spec: Object) -> Object:
    """Where it is, what it needs to begin, and which accelerators it holds."""
    groups = (spec.get("securityContext") or {}).get("supplementalGroups")
    held = [
        {name: units for name, units in requests.items() if "/" in name}
        for container in spec.get("containers") or ()
        if (requests := (container.get("resources") or {}).get("requests"))
    ]
    return {
        **{field: spec[field] for field in ("nodeName", "volumes", "resourceClaims") if field in spec},
        "securityContext": {"supplementalGroups": groups or []},
        "containers": [{"resources": {"requests": requests}} for requests in held if requests],
    }


def _trim_pod_status(status: Object) -> Object:
    """Without what differs from pod to pod and says nothing of how it is."""
    kept = _drop(status, "hostIP", "hostIPs", "podIPs", "qosClass")
    for containers in ("initContainerStatuses", "containerStatuses"):
        if containers in kept:
            unread = ("imageID", "resources", "allocatedResources", "volumeMounts", "user")
            kept[containers] = [_drop(container, *unread) for container in kept[containers]]
    return kept


def _drop(fields: Object, *names: str) -> Object:
    return {name: value for name, value in fields.items() if name not in names}


def _essence(kind: Kind, kept: Object) -> object:
    """Of what changes all the time: what we look at."""
    if kind is HORIZONTAL_POD_AUTOSCALER:
        metadata = _drop(kept["metadata"], "resourceVersion")
        return metadata, kept["spec"], kept["status"]
    return kept["metadata"]["labels"], kept.get("status")


def _version(found: Object) -> int:
    """Versions of one kind are numbers that grow (Kubernetes promises so since 1.35; etcd's always did)."""
    return int(found["metadata"]["resourceVersion"])


def _uid(found: Object) -> str:
    return str(found["metadata"]["uid"])
