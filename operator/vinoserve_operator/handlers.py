"""kopf's part: it watches, reconnects and logs in; each event goes to the sink and that is all."""

import asyncio
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

import aiohttp
import kopf

from vinoserve_operator.desired.names import MANAGED_LABELS, make_label_selector
from vinoserve_operator.kinds import WATCHED, Kind, Object

Sink = Callable[[Kind, str, Object], None]
"""Kind; ADDED, MODIFIED or DELETED; the object."""

_SILENCE_SECONDS = 70.0
"""After which a watch is taken for dead: API servers send a bookmark each minute, if nothing else."""

_NOTHING = "metadata.name=-"
"""A field selector; no object can have this name."""

_RETRY_SECONDS = (1, 1, 2, 3, 5, 8, *(13,) * 1000)
"""Between tries to list or watch: hours of trouble at the API server are no reason to exit."""


def make_registry(
    sink: Sink, listed: Callable[[], None], sessions: list[aiohttp.ClientSession]
) -> kopf.OperatorRegistry:
    """`listed` is called when a watch is about to begin anew; `sessions` gets those that are opened: who runs kopf closes them."""
    registry = kopf.OperatorRegistry()

    @kopf.on.login(registry=registry)
    async def login(**kwargs: Any) -> kopf.AiohttpSession | None:
        info = kopf.login_with_service_account(**kwargs) or kopf.login_with_kubeconfig(**kwargs)
        return _open(info, listed, sessions) if info else None

    kopf.on.startup(registry=registry)(_configure)
    for kind in WATCHED:
        _watch(kind, sink, registry)
    return registry


def _watch(kind: Kind, sink: Sink, registry: kopf.OperatorRegistry) -> None:
    @kopf.on.event(kind.group, kind.version, kind.plural, registry=registry)
    async def enqueue(event: kopf.RawEvent, **_: Any) -> None:
        if event["type"] is not None:
            sink(kind, event["type"], dict(event["object"]))


async def _retry_conflicts(
    request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    """An API server in trouble answers even a list with 409, at which kopf gives up: such an answer isn't shown to it."""
    for seconds in _RETRY_SECONDS:
        response = await handler(request)
        if response.status != HTTPStatus.CONFLICT:
            break
        response.release()
        await asyncio.sleep(seconds)
    return response


def _make_short(listed: Callable[[], None]) -> aiohttp.ClientMiddlewareType:
    """Lists without the objects for kopf: where to watch from is all that it takes from them.

    It would handle each object as if it had just come: a task, a queue and a memory each, and for each kind a page of them whole at
    the same time. What there is our own lists tell.
    """

    async def shorten(
        request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        is_list = "limit" in request.url.query and "watch" not in request.url.query
        if is_list:
            request.url = request.url.update_query(fieldSelector=_NOTHING)
        response = await handler(request)
        if is_list and response.ok:
            listed()
        return response

    return shorten


def _open(
    info: kopf.ConnectionInfo, listed: Callable[[], None], sessions: list[aiohttp.ClientSession]
) -> kopf.AiohttpSession:
    """As kopf opens it."""
    session = aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, ssl=info.as_ssl_context()),
        headers=info.as_http_headers(),
        proxy=info.proxy_url,
        trust_env=info.trust_env,
        middlewares=(_make_short(listed), _retry_conflicts),
    )
    sessions.append(session)
    return kopf.AiohttpSession(
        aiohttp_session=session,
        server=info.server,
        default_namespace=info.default_namespace,
        priority=info.priority,
        expiration=info.expiration,
    )


class _NoStorage(kopf.DiffBaseStorage):
    """Nothing is compared with what was handled before, and nothing is copied for it, which kopf does at every event."""

    def build(self, **_: Any) -> Any:
        return {}

    def fetch(self, **_: Any) -> None:
        """Nothing was handled before."""

    def store(self, **_: Any) -> None:
        """Nothing is kept."""


async def _configure(settings: kopf.OperatorSettings, **_: Any) -> None:
    settings.persistence.diffbase_storage = _NoStorage()
    settings.posting.enabled = False  # events are ours: one for each transition of a condition
    settings.scanning.disabled = True  # no watching of CRDs and namespaces, no rights to do so
    settings.watching.server_timeout = 300
    settings.watching.client_timeout = 330  # a watch that is never answered must end (kopf#1120)
    settings.watching.inactivity_timeout = _SILENCE_SECONDS
    settings.watching.connect_timeout = 10
    settings.watching.chunk_size = 1  # of a list; see _make_short
    settings.networking.request_timeout = 60
    settings.networking.error_backoffs = _RETRY_SECONDS
    settings.queueing.idle_timeout = 0.1  # so long each object that has changed stays in memory, whole
    settings.queueing.exit_timeout = 0.5
    settings.process.ultimate_exiting_timeout = None  # the kubelet ends what doesn't end
    for kind in WATCHED:
        if kind.owned:
            selector = make_label_selector(MANAGED_LABELS)
            settings.watching.label_selectors[kind.group, kind.version, kind.plural] = selector
