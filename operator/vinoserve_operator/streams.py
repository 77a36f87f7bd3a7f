"""kopf's part: it logs in, watches and reconnects; each event goes to the sink and that is all."""

import asyncio
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, Final

import aiohttp
import kopf
from kopf._cogs.clients.watching import Bookmark, infinite_watch
from kopf._cogs.structs.references import NamespaceName, Resource

from vinoserve_operator.desired.names import MANAGED_LABELS, make_label_selector
from vinoserve_operator.kinds import WATCHED, Kind, Object

Sink = Callable[[Kind, str, Object], None]
"""Kind; ADDED, MODIFIED or DELETED; the object."""

_TOLD: Final = ("ADDED", "MODIFIED", "DELETED")

_SILENCE_SECONDS = 70.0
"""After which a watch is taken for dead: API servers send a bookmark each minute, if nothing else."""

_NOTHING = "metadata.name=-"
"""A field selector; no object can have this name."""

_RETRY_SECONDS = (1, 1, 2, 3, 5, 8, *(13,) * 1000)
"""Between tries to list or watch: hours of trouble at the API server are no reason to exit."""


def make_registry(sessions: list[aiohttp.ClientSession]) -> kopf.OperatorRegistry:
    """What kopf needs to log in; `sessions` gets those that are opened: who runs kopf closes them."""
    registry = kopf.OperatorRegistry()

    @kopf.on.login(registry=registry)
    async def login(**kwargs: Any) -> kopf.AiohttpSession | None:
        info = kopf.login_with_service_account(**kwargs) or kopf.login_with_kubeconfig(**kwargs)
        return _open(info, sessions) if info else None

    return registry


async def watch(
    kind: Kind, namespace: str | None, settings: kopf.OperatorSettings, sink: Sink, listed: Callable[[], None]
) -> None:
    """For ever, where kopf runs; `listed` is called when a watch is about to begin anew.

    Right from kopf's stream, without a task, a queue and loggers for each object: for handlers that we don't have, these
    cost more than the stream itself.
    """
    resource = Resource(kind.group, kind.version, kind.plural, namespaced=kind.namespaced)
    where = NamespaceName(namespace) if namespace else None
    async for event in infinite_watch(settings=settings, resource=resource, namespace=where):
        if event is Bookmark.LISTED:
            listed()
        elif not isinstance(event, Bookmark) and event["type"] in _TOLD:
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


async def _shorten_lists(
    request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    """Lists without the objects for kopf: where to watch from is all that is taken from them. What there is our own tell."""
    if "limit" in request.url.query and "watch" not in request.url.query:
        request.url = request.url.update_query(fieldSelector=_NOTHING)
    return await handler(request)


def _open(info: kopf.ConnectionInfo, sessions: list[aiohttp.ClientSession]) -> kopf.AiohttpSession:
    """As kopf opens it."""
    session = aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, ssl=info.as_ssl_context()),
        headers=info.as_http_headers(),
        proxy=info.proxy_url,
        trust_env=info.trust_env,
        middlewares=(_shorten_lists, _retry_conflicts),
    )
    sessions.append(session)
    return kopf.AiohttpSession(
        aiohttp_session=session,
        server=info.server,
        default_namespace=info.default_namespace,
        priority=info.priority,
        expiration=info.expiration,
    )


def make_settings() -> kopf.OperatorSettings:
    settings = kopf.OperatorSettings()
    settings.posting.enabled = False  # events are ours: one for each transition of a condition
    settings.scanning.disabled = True  # no watching of CRDs and namespaces, no rights to do so
    settings.watching.server_timeout = 300
    settings.watching.client_timeout = 330  # a watch that is never answered must end (kopf#1120)
    settings.watching.inactivity_timeout = _SILENCE_SECONDS
    settings.watching.connect_timeout = 10
    settings.watching.chunk_size = 1  # of a list; see _shorten_lists
    settings.networking.request_timeout = 60
    settings.networking.error_backoffs = _RETRY_SECONDS
    settings.process.ultimate_exiting_timeout = None  # the kubelet ends what doesn't end
    for kind in WATCHED:
        if kind.owned:
            selector = make_label_selector(MANAGED_LABELS)
            settings.watching.label_selectors[kind.group, kind.version, kind.plural] = selector
    return settings
