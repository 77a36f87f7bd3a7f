"""A strict stand-in for the API server, in this process: what the operator relies on, and the trouble it must bear.

It has resourceVersions, lists in chunks, watches with bookmarks and 410, server-side apply with fields that go when they are
applied no more, uid preconditions, garbage collection by ownerReferences, 409/429/500 at will, and lost answers.
"""

import asyncio
import contextlib
import copy
import json
import random
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from aiohttp import web
from pydantic import ValidationError

from vinoserve_api.v1alpha1 import AcceleratorClassStatus, InferenceServiceStatus
from vinoserve_operator.kinds import BY_NAME, INFERENCE_SERVICE, WATCHED, Kind

Object = dict[str, Any]

LEASE = Kind("coordination.k8s.io", "v1", "Lease", "leases")
CRD = Kind(
    "apiextensions.k8s.io", "v1", "CustomResourceDefinition", "customresourcedefinitions", namespaced=False
)
KINDS = {(k.group, k.version, k.plural): k for k in (*BY_NAME.values(), LEASE, CRD)}
STATUSES = {"InferenceService": InferenceServiceStatus, "AcceleratorClass": AcceleratorClassStatus}


class ApiError(Exception):
    def __init__(self, code: int, message: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.code, self.message, self.headers = code, message, headers or {}


@dataclass
class Faults:
    """Shares of the requests that are answered with trouble, watches apart."""

    seed: int = 0
    shares: dict[int, float] = field(default_factory=dict)
    lost: float = 0
    """Of writes that are done while the connection is cut before the answer."""

    refuse: Callable[[str, str], ApiError | None] = lambda method, path: None
    """Asked first: (method, path)."""

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)

    def draw(self, method: str, path: str) -> None:
        refused = self.refuse(method, path)
        if refused:
            raise refused
        drawn = self._random.random()
        for code, share in self.shares.items():
            drawn -= share
            if drawn < 0:
                raise ApiError(code, f"injected {code}", {"Retry-After": "1"} if code == 429 else {})

    def loses(self) -> bool:
        return self._random.random() < self.lost


class ApiServer:
    def __init__(self) -> None:
        self.objects: dict[tuple[Kind, str, str], Object] = {}
        self.names: dict[Kind, set[tuple[str, str]]] = {kind: set() for kind in KINDS.values()}
        self.applied: dict[tuple[Kind, str, str, str, str], Object] = {}
        self.history: list[tuple[int, Kind, str, Object]] = []
        self.version = 1000
        self.compacted = 0
        self.faults = Faults()
        self.verbs: Counter[tuple[str, str, str]] = Counter()
        self.writes: list[tuple[str, Kind, str, str]] = []
        """Method, kind, name, subresource; of those that came, Leases and events apart."""

        self.changed = asyncio.Condition()
        self.watch_down = asyncio.Event()
        """Set: every watch stream ends, and new ones are not taken."""

        self.on_write: list[Callable[[Kind, Object], None]] = []

    # --- what a test does to the cluster

    def put(self, made: Object) -> Object:
        """Create or replace, as a user or a controller would."""
        kind = next(k for k in KINDS.values() if k.name == made["kind"])
        metadata = made["metadata"]
        if kind.namespaced:
            metadata.setdefault("namespace", "default")
        key = (kind, metadata.get("namespace", ""), metadata["name"])
        before = self.objects.get(key)
        made = copy.deepcopy(made)
        if before is not None:
            made["metadata"] = {**before["metadata"], **made["metadata"]}
            made.setdefault("status", copy.deepcopy(before.get("status", {})))
        return self._store(key, before, made)

    def delete(self, kind: Kind, namespace: str, name: str) -> None:
        found = self.objects.pop((kind, namespace, name))
        self.names[kind].discard((namespace, name))
        for subresource in ("", "status"):
            self.applied.pop((kind, namespace, name, subresource, "vinoserve"), None)
        self._note(
            "DELETED", kind, {**found, "metadata": {**found["metadata"], "resourceVersion": self._next()}}
        )
        owned = [
            k
            for k, o in self.objects.items()
            if any(r["uid"] == found["metadata"]["uid"] for r in o["metadata"].get("ownerReferences") or ())
        ]
        for key in owned:
            if key in self.objects:
                self.delete(*key)

    def get(self, kind: Kind, namespace: str, name: str) -> Object | None:
        return self.objects.get((kind, namespace, name))

    def gather(self, kind: Kind) -> list[Object]:
        return [self.objects[kind, *name] for name in sorted(self.names[kind])]

    def compact(self) -> None:
        """What a watch has missed so far is forgotten: it gets a 410."""
        self.compacted = self.version
        self.history.clear()

    @asynccontextmanager
    async def serve(self, folder: Path) -> AsyncIterator[Path]:
        """Listen while in the context; gives a kubeconfig."""
        app = web.Application(client_max_size=1 << 22)
        app.router.add_route("*", "/{tail:.*}", self._handle)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        kubeconfig = folder / "kubeconfig"
        cluster = {"server": f"http://127.0.0.1:{runner.addresses[0][1]}"}
        kubeconfig.write_text(
            yaml.safe_dump(
                {
                    "apiVersion": "v1",
                    "kind": "Config",
                    "current-context": "fake",
                    "contexts": [{"name": "fake", "context": {"cluster": "fake", "user": "fake"}}],
                    "clusters": [{"name": "fake", "cluster": cluster}],
                    "users": [{"name": "fake", "user": {"token": "fake"}}],
                }
            )
        )
        try:
            yield kubeconfig
        finally:
            self.watch_down.set()
            await self._wake()
            await runner.cleanup()

    # --- storage

    def _next(self) -> str:
        self.version += 1
        return str(self.version)

    def _store(self, key: tuple[Kind, str, str], before: Object | None, after: Object) -> Object:
        """Keep what differs; a write that changes nothing leaves the version as it is."""
        kind = key[0]
        metadata = after["metadata"]
        if before is None:
            metadata.update(uid=str(uuid.uuid4()), creationTimestamp="2026-01-01T00:00:00Z")
            if "spec" in after and kind.name != "Node":
                metadata["generation"] = 1
        else:
            metadata.update(
                {k: before["metadata"][k] for k in ("uid", "creationTimestamp", "resourceVersion")}
            )
            if "generation" in before["metadata"]:
                same = before.get("spec") == after.get("spec")
                metadata["generation"] = before["metadata"]["generation"] + (not same)
            if before == after:
                return before
        metadata["resourceVersion"] = self._next()
        self.objects[key] = after
        self.names[kind].add(key[1:])
        self._note("MODIFIED" if before else "ADDED", kind, after)
        for listener in self.on_write:
            listener(kind, after)
        return self.objects[key]

    def _note(self, type_: str, kind: Kind, found: Object) -> None:
        version = int(found["metadata"]["resourceVersion"])
        self.history.append((version, kind, type_, copy.deepcopy(found)))
        asyncio.ensure_future(self._wake())  # noqa: RUF006

    async def _wake(self) -> None:
        async with self.changed:
            self.changed.notify_all()

    # --- HTTP

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        try:
            return await self._route(request)
        except ApiError as error:
            status = {"kind": "Status", "status": "Failure", "message": error.message, "code": error.code}
            return web.json_response(status, status=error.code, headers=error.headers)

    async def _route(self, request: web.Request) -> web.StreamResponse:
        parts = request.path.strip("/").split("/")
        discovered = _discover(parts)
        if discovered is not None:
            return web.json_response(discovered)
        kind, namespace, name, subresource = _parse(parts)
        watching = request.query.get("watch") == "true"
        self._note_verb(request.method, kind, name, subresource, watching=watching)
        if watching:
            response = web.StreamResponse(headers={"Content-Type": "application/json"})
            with contextlib.suppress(ConnectionError):  # the watcher has gone
                await self._watch(request, response, kind, namespace)
            return response
        if kind is not LEASE:
            self.faults.draw(request.method, request.path)
        body = await request.json() if request.can_read_body else {}
        answer = self._act(request, (kind, namespace, name), subresource, body)
        if request.method != "GET" and kind is not LEASE and self.faults.loses():
            request.transport.close()  # type: ignore[union-attr]
        return web.json_response(answer)

    def _note_verb(self, method: str, kind: Kind, name: str, subresource: str, *, watching: bool) -> None:
        verb = {
            "GET": "get" if name else "list",
            "POST": "create",
            "PATCH": "patch",
            "PUT": "update",
            "DELETE": "delete",
        }[method]
        resource = "/".join(filter(None, (kind.plural, subresource)))
        self.verbs["watch" if watching else verb, kind.group, resource] += 1
        if method != "GET" and kind.name not in ("Lease", "Event"):
            self.writes.append((method, kind, name, subresource))

    def _act(
        self, request: web.Request, key: tuple[Kind, str, str], subresource: str, body: Object
    ) -> Object:
        kind, namespace, name = key
        match request.method:
            case "GET" if not name:
                return self._list(request, kind, namespace)
            case "GET":
                return self._find(key)
            case "POST":
                created = (kind, namespace, body["metadata"]["name"])
                if created in self.objects:
                    raise ApiError(409, f'{kind.plural} "{created[2]}" already exists')
                return self._store(created, None, copy.deepcopy(body))
            case "PUT":
                before = self._find(key)
                if body["metadata"].get("resourceVersion") not in (
                    None,
                    before["metadata"]["resourceVersion"],
                ):
                    raise ApiError(409, "the object has been modified")
                return self._store(key, before, copy.deepcopy(body))
            case "DELETE":
                found = self._find(key)
                if body.get("preconditions", {}).get("uid") not in (None, found["metadata"]["uid"]):
                    raise ApiError(409, "Precondition failed: uid")
                self.delete(*key)
                return {"kind": "Status", "status": "Success"}
            case _:
                return self._apply(request, key, subresource, body)

    def _find(self, key: tuple[Kind, str, str]) -> Object:
        if key not in self.objects:
            raise ApiError(404, f'{key[0].plural} "{key[2]}" not found')
        return self.objects[key]

    def _list(self, request: web.Request, kind: Kind, namespace: str) -> Object:
        selector = request.query.get("labelSelector", "")
        found = [
            o
            for o in self.gather(kind)
            if namespace in ("", o["metadata"].get("namespace", "")) and _selects(selector, o)
        ]
        start, limit = (
            int(request.query.get("continue", 0)),
            int(request.query.get("limit", 0) or len(found) or 1),
        )
        page = found[start : start + limit]
        more = {"continue": str(start + limit)} if start + limit < len(found) else {}
        return {
            "apiVersion": kind.api_version,
            "kind": f"{kind.name}List",
            "metadata": {"resourceVersion": str(self.version), **more},
            "items": [{k: v for k, v in item.items() if k not in ("apiVersion", "kind")} for item in page],
        }

    def _apply(
        self, request: web.Request, key: tuple[Kind, str, str], subresource: str, body: Object
    ) -> Object:
        """Server-side apply, forced."""
        if request.content_type != "application/apply-patch+yaml" or "fieldManager" not in request.query:
            raise ApiError(415, "apply wants application/apply-patch+yaml and a fieldManager")
        kind, _, name = key
        if body["kind"] != kind.name or body["metadata"]["name"] != name:
            raise ApiError(400, "the object does not match the path")
        before = self.objects.get(key)
        wanted = {k: v for k, v in body["metadata"].items() if k in ("uid", "resourceVersion")}
        for field_, value in wanted.items():
            if before is None or before["metadata"][field_] != value:
                raise ApiError(409, f"Precondition failed: {field_}")
        if before is None and subresource:
            raise ApiError(404, f'{kind.plural} "{name}" not found')
        owners = body["metadata"].get("ownerReferences") or []
        mine = {k: v for k, v in body.items() if k != "metadata"}
        if subresource == "status":
            mine = {"status": body["status"]}
            model = STATUSES.get(kind.name)
            try:
                if model:
                    model.load(body["status"])
            except ValidationError as error:
                raise ApiError(422, str(error)) from error
        else:
            mine.pop("status", None)
            mine["metadata"] = {
                k: v for k, v in body["metadata"].items() if k not in ("uid", "resourceVersion")
            }
        manager = (*key, subresource, request.query["fieldManager"])
        after = copy.deepcopy(before) if before else {"metadata": {}}
        _remove(after, self.applied.get(manager, {}), mine)
        _merge(after, mine)
        controllers = [r for r in after["metadata"].get("ownerReferences") or owners if r.get("controller")]
        if len(controllers) > 1:
            raise ApiError(422, "Only one reference can have Controller set to true")
        self.applied[manager] = copy.deepcopy(mine)
        return self._store(key, before, after)

    async def _watch(
        self, request: web.Request, response: web.StreamResponse, kind: Kind, namespace: str
    ) -> None:
        since = int(request.query["resourceVersion"])
        selector = request.query.get("labelSelector", "")
        if self.watch_down.is_set():
            raise ApiError(500, "no watches now")
        await response.prepare(request)
        if since < self.compacted:
            gone = {"kind": "Status", "code": 410, "message": "too old resource version"}
            await response.write(json.dumps({"type": "ERROR", "object": gone}).encode() + b"\n")
            return
        position = 0
        while not self.watch_down.is_set():
            if since < self.compacted:
                return
            position = min(position, len(self.history))
            for version, k, type_, found in self.history[position:]:
                position += 1
                matches = k is kind and namespace in ("", found["metadata"].get("namespace", ""))
                if version > since and matches and _selects(selector, found):
                    since = version
                    await response.write(json.dumps({"type": type_, "object": found}).encode() + b"\n")
            async with self.changed:
                if position >= len(self.history):
                    await self.changed.wait()


def _discover(parts: list[str]) -> Object | None:
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


def _parse(parts: list[str]) -> tuple[Kind, str, str, str]:
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


def _selects(selector: str, found: Object) -> bool:
    labels = found["metadata"].get("labels") or {}
    return all(
        labels.get(k) == v for k, _, v in (part.partition("=") for part in selector.split(",") if part)
    )


def _key_of(item: Any) -> object:
    """By what an item of a list is known (listType: map), or None where the list is taken as a whole."""
    if not isinstance(item, dict):
        return None
    return next((item[k] for k in ("mountPath", "containerPort", "uid", "name", "port") if k in item), None)


def _keyed(items: Any) -> bool:
    return isinstance(items, list) and bool(items) and all(_key_of(item) is not None for item in items)


def _merge(into: Object, wanted: Object) -> None:
    for field_, value in wanted.items():
        present = into.get(field_)
        if isinstance(value, dict) and isinstance(present, dict):
            _merge(present, value)
        elif _keyed(value) and _keyed(present):
            by_key = {_key_of(item): item for item in present}
            for item in value:
                if _key_of(item) in by_key:
                    _merge(by_key[_key_of(item)], item)
                else:
                    present.append(copy.deepcopy(item))
        else:
            into[field_] = copy.deepcopy(value)


def _remove(present: Object, before: Object, wanted: Object) -> None:
    """Fields that the manager applied before and applies no more."""
    for field_, value in before.items():
        if field_ not in wanted:
            present.pop(field_, None)
        elif (
            isinstance(value, dict)
            and isinstance(wanted[field_], dict)
            and isinstance(present.get(field_), dict)
        ):
            _remove(present[field_], value, wanted[field_])
        elif _keyed(value) and isinstance(wanted[field_], list) and _keyed(present.get(field_)):
            wanted_keys = {_key_of(item) for item in wanted[field_]}
            gone = {_key_of(item) for item in value} - wanted_keys
            present[field_] = [item for item in present[field_] if _key_of(item) not in gone]
            by_key = {_key_of(item): item for item in present[field_]}
            after = {_key_of(item): item for item in wanted[field_]}
            for item in value:
                key = _key_of(item)
                if key in by_key and key in after:
                    _remove(by_key[key], item, after[key])


__all__ = ["INFERENCE_SERVICE", "WATCHED", "ApiError", "ApiServer", "Faults"]
