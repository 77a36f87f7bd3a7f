"""Which kinds the fake API server has, and where."""

from typing import Any

from tests.operator.fakes.faults import ApiError
from vinoserve_operator.kinds import BY_NAME, EVENT, Kind

Object = dict[str, Any]

LEASE = Kind("coordination.k8s.io", "v1", "Lease", "leases")
CRD = Kind(
    "apiextensions.k8s.io", "v1", "CustomResourceDefinition", "customresourcedefinitions", namespaced=False
)
KINDS = {(k.group, k.version, k.plural): k for k in (*BY_NAME.values(), LEASE, CRD)}


def discover(parts: list[str]) -> Object | None:
    groups = {k.group: k.version for k in KINDS.values() if k.group}
    match parts:
        case ["api"]:
            return {"versions": ["v1"]}
        case ["apis"]:
            return {
                "groups": [
                    {
                        "name": group,
                        "versions": [{"groupVersion": f"{group}/{version}", "version": version}],
                        "preferredVersion": {"groupVersion": f"{group}/{version}", "version": version},
                    }
                    for group, version in groups.items()
                ]
            }
        case ["api", version]:
            return _resources("", version)
        case ["apis", group, version]:
            return _resources(group, version)
    return None


def _resources(group: str, version: str) -> Object:
    return {
        "resources": [
            {
                "name": kind.plural,
                "singularName": kind.name.lower(),
                "kind": kind.name,
                "namespaced": kind.namespaced,
                "verbs": ["get", "list", "watch", "create", "patch", "update", "delete"],
            }
            for (g, v, _), kind in KINDS.items()
            if (g, v) == (group, version)
        ]
    }


def parse(parts: list[str]) -> tuple[Kind, str, str, str]:
    """Kind, namespace, name, subresource of a path."""
    group, rest = ("", parts[1:]) if parts[0] == "api" else (parts[1], parts[2:])
    version, *rest = rest
    namespace = ""
    if rest[0] == "namespaces" and len(rest) > 2:
        namespace, rest = rest[1], rest[2:]
    kind = KINDS.get((group, version, rest[0]))
    if kind is None:
        raise ApiError(404, "the server could not find the requested resource")
    return kind, namespace, *[*rest[1:], "", ""][:2]  # type: ignore[return-value]


#: Of events.k8s.io/v1, as far as they are asked for.
_EVENT_FIELDS = {
    "type": lambda event: event.get("type", ""),
    "regarding.uid": lambda event: (event.get("regarding") or {}).get("uid", ""),
}


#: Of every kind, as far as they are asked for.
_FIELDS = {"metadata.name": lambda found: found["metadata"]["name"]}


def selects_fields(selector: str, kind: Kind, found: Object) -> bool:
    """Raises ApiError for fields that the API server knows no index of."""
    for part in filter(None, selector.split(",")):
        name, _, value = part.partition("=")
        fields = _FIELDS | (_EVENT_FIELDS if kind is EVENT else {})
        if name not in fields:
            raise ApiError(400, f"field label not supported: {name}")
        if fields[name](found) != value:
            return False
    return True


def selects(selector: str, found: Object) -> bool:
    labels = found["metadata"].get("labels") or {}
    return all(
        labels.get(k) == v for k, _, v in (part.partition("=") for part in selector.split(",") if part)
    )
