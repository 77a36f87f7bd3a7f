"""A strict stand-in for the API server, in this process: what the operator relies on, and the trouble it must bear.

It has resourceVersions, lists in chunks, watches with bookmarks and 410, server-side apply with fields that go when they are
applied no more, uid preconditions, garbage collection by ownerReferences, 409/429/500 at will, and lost answers.
"""

import asyncio
import contextlib
import copy
import json
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import yaml
from aiohttp import web
from pydantic import ValidationError

from tests.operator.fakes.apply import merge, remove
from tests.operator.fakes.faults import ApiError, Faults
from tests.operator.fakes.routes import KINDS, LEASE, discover, parse, selects, selects_fields
from vinoserve_api.v1alpha1 import AcceleratorClassStatus, InferenceServiceStatus
from vinoserve_operator.kinds import INFERENCE_SERVICE, WATCHED, Kind

Object = dict[str, Any]

STATUSES = {"InferenceService": InferenceServiceStatus, "AcceleratorClass": AcceleratorClassStatus}


class ApiServer:
    def __init__(self) -> None:
        self.objects: dict[tuple[Kind, str, str], Object] = {}
        self.names: dict[Kind, set[tuple[str, str]]] = {kind: set() for kind in KINDS.values()}
        self.applied: dict[tuple[Kind, str, str, str, str], Object] = {}
        self.history: list[tuple[Kind, Object | None, Object | None]] = []
        """Of each change: what it was before, and what it has become."""

        self.version = 1000
        self.compacted = 0
        self.faults = Faults()
        self.verbs: Counter[tuple[str, str, str]] = Counter()
        self.writes: list[tuple[str, Kind, str, str]] = []
        """Method, kind, name, subresource; of those that came, Leases and events apart."""

        self.changed = asyncio.Condition()
        self.watch_down = asyncio.Event()
        """Set: every watch stream ends, and new ones are not taken."""

        self.silent = False
        """True: watch streams stay open and tell nothing, not even bookmarks."""

        self._pages: dict[str, tuple[list[Object], int]] = {}
        """What is left of a list, as it was when it began, by continue token."""

        self.writers: list[str] = []
        """The tokens of those that made `writes`."""

        self._runner: web.AppRunner
        self._site: web.TCPSite
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
        self._note(kind, {**found, "metadata": {**found["metadata"], "resourceVersion": self._next()}}, None)
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
        self._runner = runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        self._site = web.TCPSite(runner, "127.0.0.1", 0)
        await self._site.start()
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

    async def go_away(self) -> None:
        """Connections are cut, and refused from now on."""
        await self._site.stop()
        for connection in self._runner.server.connections:  # type: ignore[union-attr]
            if connection.transport:
                connection.transport.abort()

    async def come_back(self) -> None:
        """At the same address."""
        self._site = web.TCPSite(self._runner, "127.0.0.1", int(self._site.name.rsplit(":", 1)[1]))
        await self._site.start()

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
        self._note(kind, before, after)
        for listener in self.on_write:
            listener(kind, after)
        return self.objects[key]

    def _note(self, kind: Kind, before: Object | None, after: Object | None) -> None:
        self.history.append((kind, before, copy.deepcopy(after)))
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
        discovered = discover(parts)
        if discovered is not None:
            return web.json_response(discovered)
        kind, namespace, name, subresource = parse(parts)
        watching = request.query.get("watch") == "true"
        self._note_verb(request.method, kind, name, subresource, watching=watching)
        if request.method != "GET" and kind.name not in ("Lease", "Event"):
            self.writers.append(request.headers.get("Authorization", "").removeprefix("Bearer "))
        if watching:
            self.faults.ask(request.method, request.path)
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
        selector, fields = request.query.get("labelSelector", ""), request.query.get("fieldSelector", "")
        limit = int(request.query.get("limit", 0))
        if "continue" in request.query:
            found, version = self._pages[request.query["continue"]]
        else:
            version = self.version
            found = [
                o
                for o in self.gather(kind)
                if _is_selected(o, namespace, selector) and selects_fields(fields, kind, o)
            ]
        page, rest = (found[:limit], found[limit:]) if limit else (found, [])
        more = {}
        if rest:
            more["continue"] = f"{version}-{len(self._pages)}"
            self._pages[more["continue"]] = rest, version
        return {
            "apiVersion": kind.api_version,
            "kind": f"{kind.name}List",
            "metadata": {"resourceVersion": str(version), **more},
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
            if before["metadata"][field_] != value if before else field_ == "uid":
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
        remove(after, self.applied.get(manager, {}), mine)
        merge(after, mine)
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
            if since < self.compacted and not self.silent:
                return
            position = min(position, len(self.history))
            for k, before, after in [] if self.silent else self.history[position:]:
                position += 1
                event = _make_event(selector, namespace, before, after) if k is kind else None
                if event and (version := int(event["object"]["metadata"]["resourceVersion"])) > since:
                    since = version
                    await response.write(json.dumps(event).encode() + b"\n")
            async with self.changed:
                if position >= len(self.history) or self.silent:
                    await self.changed.wait()


def _is_selected(found: Object, namespace: str, selector: str) -> bool:
    return namespace in ("", found["metadata"].get("namespace", "")) and selects(selector, found)


def _make_event(selector: str, namespace: str, before: Object | None, after: Object | None) -> Object | None:
    """For a watch with that selector: what it selects no more has gone, in the version of the change."""
    was = before is not None and _is_selected(before, namespace, selector)
    if after is not None and _is_selected(after, namespace, selector):
        return {"type": "MODIFIED" if was else "ADDED", "object": after}
    if not was or before is None:
        return None
    version = (after or before)["metadata"]["resourceVersion"]
    gone = {**before, "metadata": {**before["metadata"], "resourceVersion": version}}
    return {"type": "DELETED", "object": gone}


__all__ = ["INFERENCE_SERVICE", "WATCHED", "ApiError", "ApiServer", "Faults"]
