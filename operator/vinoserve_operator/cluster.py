"""What is known of the cluster: caches that the watch keeps, and that a list replaces now and then.

kopf reports no deletion of what vanished during a gap of the watch, so a list is the only truth about absence.
"""

import sys
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from vinoserve_operator.desired.names import INSTANCE_LABEL
from vinoserve_operator.kinds import (
    CHILDREN,
    EXTRAS,
    HORIZONTAL_POD_AUTOSCALER,
    INFERENCE_SERVICE,
    NAMESPACE,
    NODE,
    POD,
    WATCHED,
    Kind,
    Object,
    Ref,
    find_controller,
    make_ref,
)
from vinoserve_operator.packing import Packed, pack
from vinoserve_operator.sharing import share
from vinoserve_operator.trimming import trim

_RESTLESS: Final = (NODE, NAMESPACE, HORIZONTAL_POD_AUTOSCALER)
"""They change all the time in ways that are of no interest."""

_PACKED: Final = CHILDREN
"""Only ever looked at one by one. Of services and pods, metrics and classes look at all there are."""

_INDEXED: Final = (POD, *EXTRAS)
"""Of these a service may have several, by any names."""


@dataclass(frozen=True, slots=True)
class Kept:
    """An object as it is kept."""

    ref: Ref
    version: int
    """Versions of one kind are numbers that grow (Kubernetes promises so since 1.35; etcd's always did)."""

    uid: str
    content: Object | Packed

    def read(self) -> Object:
        """Not to be changed in place."""
        return self.content.unpack() if isinstance(self.content, Packed) else self.content


class Cluster:
    """Objects by kind; those that we own also by the service that they belong to."""

    def __init__(self) -> None:
        self._objects: dict[Kind, dict[Ref, Kept]] = {kind: {} for kind in WATCHED}
        self._latest: dict[Kind, Kept] = {}
        """With which one that is new has most in common."""
        self._deleted: dict[Kind, dict[Ref, int]] = {kind: {} for kind in WATCHED}
        self._changes: Counter[Kind] = Counter()
        self._instances: dict[tuple[Kind, str, str], set[Ref]] = defaultdict(set)

    def get(self, ref: Ref) -> Object | None:
        kept = self._objects[ref.kind].get(ref)
        return kept.read() if kept else None

    def has(self, ref: Ref) -> bool:
        return ref in self._objects[ref.kind]

    def gather(self, kind: Kind) -> list[Object]:
        return [kept.read() for kept in self._objects[kind].values()]

    def gather_refs(self, kind: Kind) -> list[Ref]:
        return list(self._objects[kind])

    def changes(self, kind: Kind) -> int:
        """A number that grows with every change of the kind's objects."""
        return self._changes[kind]

    def gather_owned(self, kind: Kind, service: Ref) -> list[Object]:
        """Pods or extras that belong to the service."""
        refs = self._instances.get((kind, service.namespace, service.name), ())
        return [self._objects[kind][ref].read() for ref in sorted(refs, key=lambda ref: ref.name)]

    def make_kept(self, kind: Kind, found: Object) -> Kept:
        """Without what is of no interest, and small: packed, or its parts shared with those that are known already."""
        ref = make_ref(kind, found)
        ref = Ref(kind, sys.intern(ref.namespace), sys.intern(ref.name))
        known = self._objects[kind].get(ref) or self._latest.get(kind)
        trimmed = trim(kind, found)
        content: Object | Packed
        if kind in _PACKED:
            content = pack(trimmed, known.content if known and isinstance(known.content, Packed) else None)
        else:
            content = share(trimmed, known.read() if known else None)
        kept = Kept(ref, _version(found), str(found["metadata"]["uid"]), content)
        self._latest[kind] = kept
        return kept

    def put(self, kind: Kind, found: Object) -> bool:
        """Keep the object unless a newer version is known. Whether it was news."""
        ref, version, uid = make_ref(kind, found), _version(found), str(found["metadata"]["uid"])
        return self._is_new(ref, version, uid) and self._keep(self.make_kept(kind, found))

    def _is_new(self, ref: Ref, version: int, uid: str) -> bool:
        before = self._objects[ref.kind].get(ref)
        if before is not None and before.version >= version and before.uid == uid:
            return False
        return self._deleted[ref.kind].get(ref, -1) < version

    def _keep(self, kept: Kept) -> bool:
        ref = kept.ref
        kind = ref.kind
        before = self._objects[kind].get(ref)
        self._objects[kind][ref] = kept
        if before is not None and kind in _RESTLESS and _essence(before) == _essence(kept):
            return False  # a heartbeat, an annotation, or a metric's present value
        self._changes[kind] += 1
        index = _find_index(kept)
        if index:
            self._instances[index].add(ref)
        return True

    def drop(self, kind: Kind, found: Object) -> bool:
        """The object was deleted, in this version of it. Whether it was known."""
        ref, version = make_ref(kind, found), _version(found)
        before = self._objects[kind].get(ref)
        self._deleted[kind][ref] = version
        if before is None or before.version > version:
            return False
        self._forget(before)
        return True

    def replace(self, kind: Kind, listed: Iterable[Kept], version: int) -> list[Object]:
        """A fresh list of that resourceVersion: what isn't in it is gone, unless it is newer than the list.

        Returns what has changed or gone, in its last known version.
        """
        present = {kept.ref: kept for kept in listed}
        gone = [
            known
            for ref, known in self._objects[kind].items()
            if ref not in present and known.version <= version
        ]
        for known in gone:
            self._forget(known)
        changed = [
            kept
            for kept in present.values()
            if self._is_new(kept.ref, kept.version, kept.uid) and self._keep(kept)
        ]
        self._deleted[kind] = {r: v for r, v in self._deleted[kind].items() if v > version}
        return [kept.read() for kept in (*gone, *changed)]

    def _forget(self, known: Kept) -> None:
        del self._objects[known.ref.kind][known.ref]
        self._changes[known.ref.kind] += 1
        index = _find_index(known)
        if index:
            self._instances[index].discard(known.ref)
            if not self._instances[index]:
                del self._instances[index]


def find_service(kind: Kind, found: Object) -> Ref | None:
    """The InferenceService that an object of ours belongs to. Labels count for pods alone: anybody may have changed them."""
    if not kind.owned:
        return None
    ref = make_ref(kind, found)
    name: str | None
    if kind in CHILDREN:
        name = ref.name
    elif kind is POD:
        name = (found["metadata"].get("labels") or {}).get(INSTANCE_LABEL)
    else:
        name = (find_controller(found) or {}).get("name")
    return Ref(INFERENCE_SERVICE, ref.namespace, name) if name else None


def _find_index(kept: Kept) -> tuple[Kind, str, str] | None:
    kind = kept.ref.kind
    service = find_service(kind, kept.read()) if kind in _INDEXED else None
    return (kind, service.namespace, service.name) if service else None


def _essence(kept: Kept) -> object:
    """Of what changes all the time: what we look at."""
    found = kept.read()
    if kept.ref.kind is HORIZONTAL_POD_AUTOSCALER:
        metadata = {k: v for k, v in found["metadata"].items() if k != "resourceVersion"}
        return metadata, found["spec"], found["status"]
    return found["metadata"]["labels"], found.get("spec"), found.get("status")


def _version(found: Object) -> int:
    return int(found["metadata"]["resourceVersion"])
