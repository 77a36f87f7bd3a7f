"""The API server: lists and reads, and writes by server-side apply under the field manager `vinoserve`.

Every write asks the Lease first. Every answer that is not a success is one of `errors`.
"""

import contextlib
import os
from collections.abc import AsyncIterator, Callable
from typing import Final, Self
from urllib.request import getproxies

import aiohttp
import orjson
from kubernetes.aio import config
from kubernetes.aio.client import ApiClient, Configuration

from vinoserve_operator.desired.names import MANAGED_LABELS, MANAGER, make_label_selector
from vinoserve_operator.errors import ConflictError, GoneError, NotLeaderError, RetryableError, classify
from vinoserve_operator.kinds import BY_NAME, EVENT, Kind, Object, make_ref
from vinoserve_operator.metrics import Metrics

_TIMEOUT_SECONDS: Final = 4.0
"""Of a write: shorter than what is left of a Lease that may just still be used."""

_LIST_TIMEOUT_SECONDS: Final = 60.0
_CHUNK: Final = 250
_CONNECTIONS: Final = 64
_MOST_WARNINGS: Final = 50

_NO_VERSION: Final = "1"
"""Of no object: what etcd is given gets higher ones."""

_JSON: Final = "application/json"
_APPLY: Final = "application/apply-patch+yaml"  # JSON is YAML


async def load_configuration() -> Configuration:
    """Where the API server is: the pod's service account or the current context of the kubeconfig."""
    configuration = Configuration()
    try:
        config.load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
    except config.ConfigException:
        path = os.environ.get("KUBECONFIG")  # the library looks at it only once, when it is imported
        await config.load_kube_config(path, client_configuration=configuration)  # type: ignore[no-untyped-call]
    configuration.connection_pool_maxsize = _CONNECTIONS
    # Where the environment is asked at each request, it is for a .netrc too: three times the CPU of the request itself.
    configuration.client_session_kwargs = {"trust_env": bool(getproxies())}
    return configuration


class Kube:
    def __init__(self, client: ApiClient, may_write: Callable[[], bool], metrics: Metrics) -> None:
        """`may_write` is asked right before each write."""
        self.client = client
        self._may_write = may_write
        self._metrics = metrics
        self.writes = 0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.client.close()  # type: ignore[no-untyped-call]

    async def gather(
        self, kind: Kind, namespace: str | None = None, labels: str | None = None
    ) -> list[Object]:
        """All objects of the kind (with our label, where we own them)."""
        return [item async for page, _ in self.read_pages(kind, namespace, labels) for item in page]

    async def read_pages(
        self, kind: Kind, namespace: str | None = None, labels: str | None = None
    ) -> AsyncIterator[tuple[list[Object], int]]:
        """The same, some at a time (thousands, whole, are a multiple of what is kept of them); with the list's resourceVersion."""
        query: dict[str, str] = {"limit": str(_CHUNK)}
        if kind.owned:
            query["labelSelector"] = labels or make_label_selector(MANAGED_LABELS)
        while True:
            page = await self._call("GET", kind.make_path(namespace), query, timeout=_LIST_TIMEOUT_SECONDS)
            # The API server names the kind once for all.
            named = [{**item, "apiVersion": kind.api_version, "kind": kind.name} for item in page["items"]]
            yield named, int(page["metadata"]["resourceVersion"])
            token = page["metadata"].get("continue")
            if not token:
                return
            query["continue"] = token

    async def gather_warnings(self, namespace: str, uid: str) -> list[Object]:
        """Events that warn of what befalls the object."""
        query = {"fieldSelector": f"regarding.uid={uid},type=Warning", "limit": str(_MOST_WARNINGS)}
        items: list[Object] = (await self._call("GET", EVENT.make_path(namespace), query))["items"]
        return items

    async def get(self, kind: Kind, namespace: str, name: str) -> Object | None:
        try:
            return await self._call("GET", kind.make_path(namespace, name), {})
        except GoneError:
            return None

    async def apply(self, wanted: Object) -> Object:
        """Server-side apply; what we render is ours, whoever has set it since."""
        return await self._apply(wanted, "")

    async def create(self, wanted: Object) -> Object:
        """The same where nothing of that name is to be there. Raises ConflictError where something is.

        An object that isn't there has no version to conflict with.
        """
        return await self._apply(
            {**wanted, "metadata": {**wanted["metadata"], "resourceVersion": _NO_VERSION}}, ""
        )

    async def apply_status(self, wanted: Object) -> Object:
        """Server-side apply of the status alone. With a uid in `metadata` it never reaches a namesake."""
        return await self._apply(wanted, "/status")

    async def delete(self, found: Object) -> None:
        """Delete this very object, not a namesake made meanwhile; one that is gone already is as it shall be."""
        self._check_writer()
        ref = make_ref(BY_NAME[found["kind"]], found)
        body = {"propagationPolicy": "Background", "preconditions": {"uid": found["metadata"]["uid"]}}
        with contextlib.suppress(GoneError):
            await self._call("DELETE", ref.kind.make_path(ref.namespace, ref.name), {}, body=body)

    async def create_event(self, event: Object) -> None:
        """Its name says what it tells: one that is there already is the same."""
        self._check_writer()
        path = EVENT.make_path(event["metadata"]["namespace"])
        with contextlib.suppress(ConflictError):
            await self._call("POST", path, {"fieldManager": MANAGER}, body=event)

    async def _apply(self, wanted: Object, subresource: str) -> Object:
        self._check_writer()
        ref = make_ref(BY_NAME[wanted["kind"]], wanted)
        path = ref.kind.make_path(ref.namespace, ref.name) + subresource
        query = {"fieldManager": MANAGER, "force": "true"}
        return await self._call("PATCH", path, query, body=wanted, content_type=_APPLY)

    def _check_writer(self) -> None:
        if not self._may_write():
            raise NotLeaderError("another operator holds the Lease, or the API server is out of reach")
        self.writes += 1

    async def _call(
        self,
        method: str,
        path: str,
        query: dict[str, str],
        *,
        body: Object | None = None,
        content_type: str = _JSON,
        timeout: float = _TIMEOUT_SECONDS,  # noqa: ASYNC109  # aiohttp's, which also ends the connection
    ) -> Object:
        headers = {"Accept": _JSON, "Content-Type": content_type}
        _, url, headers, *_ = await self.client.param_serialize(
            method,
            path,
            query_params=list(query.items()),
            header_params=headers,
            auth_settings=["BearerToken"],
        )
        code = "none"
        try:
            response = await self.client.call_api(
                method, url, headers, body, _request_timeout=aiohttp.ClientTimeout(timeout)
            )
            data = await response.read()  # type: ignore[no-untyped-call]
            code = str(response.status)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise RetryableError(f"{method} {path}: {error or type(error).__name__}") from error
        finally:
            self._metrics.api_requests.labels(*_name_request(method, path), code).inc()
        if not 200 <= response.status <= 299:
            raise _make_error(response.status, data, response.headers.get("Retry-After"))
        answer: Object = orjson.loads(data)
        return answer


def _name_request(method: str, path: str) -> tuple[str, str]:
    """Verb and resource, as RBAC has them: ("patch", "inferenceservices/status")."""
    parts = path.strip("/").split("/")
    parts = parts[2 if parts[0] == "api" else 3 :]
    if parts[0] == "namespaces" and len(parts) > 2:
        parts = parts[2:]
    verbs = {"GET": "get" if len(parts) > 1 else "list", "POST": "create"}
    return verbs.get(method, method.lower()), "/".join((parts[0], *parts[2:]))


def _make_error(status: int, data: bytes, retry_after: str | None) -> Exception:
    try:
        message = str(orjson.loads(data)["message"])
    except (ValueError, KeyError, TypeError):
        message = data[:500].decode(errors="replace")
    return classify(status, message, float(retry_after) if retry_after and retry_after.isdigit() else None)
