"""What of an object is of interest: the caches of a large cluster shall fit into a small pod."""

from vinoserve_operator.kinds import HORIZONTAL_POD_AUTOSCALER, NAMESPACE, NODE, POD, Kind, Object


def is_node_ready(node: Object) -> bool:
    """Whether its kubelet says so; what says nothing (yet) is taken for ready. Of a whole node."""
    conditions = (node.get("status") or {}).get("conditions") or ()
    return all(c.get("status") == "True" for c in conditions if c.get("type") == "Ready")


def trim(kind: Kind, found: Object) -> Object:
    """What is kept of it."""
    metadata = _drop(found["metadata"], "managedFields", "generateName")
    if kind is NODE:
        status = found.get("status") or {}
        extended = {
            part: {name: units for name, units in (status.get(part) or {}).items() if "/" in name}
            for part in ("capacity", "allocatable")
        }
        kept = {k: metadata.get(k) for k in ("name", "uid", "resourceVersion", "labels")}
        cordoned = bool((found.get("spec") or {}).get("unschedulable"))
        status = {**extended, "ready": is_node_ready(found)}
        return {"metadata": kept, "spec": {"unschedulable": cordoned}, "status": status}
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
