"""The cluster's API server for the programs that run in its network: plain requests, and watches without much ado."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

from vinoserve_operator.kube import load_configuration

Object = dict[str, Any]
SERVICES = "/apis/vinoserve.dev/v1alpha1/namespaces/default/inferenceservices"
DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments"


@asynccontextmanager
async def connect() -> AsyncIterator[aiohttp.ClientSession]:
    """A session whose paths are the API server's; answers that are no successes raise."""
    configuration = await load_configuration()
    context = ssl.create_default_context(cafile=configuration.ssl_ca_cert)
    if configuration.cert_file:
        context.load_cert_chain(configuration.cert_file, configuration.key_file)
    connector = aiohttp.TCPConnector(ssl=context, limit=64)
    timeout = aiohttp.ClientTimeout(total=None)
    async with aiohttp.ClientSession(
        configuration.host, connector=connector, timeout=timeout, raise_for_status=True, read_bufsize=1 << 20
    ) as session:
        yield session


async def watch(session: aiohttp.ClientSession, path: str, started: asyncio.Event) -> AsyncIterator[Object]:
    """What changes from now on; `started` is set as soon as nothing can be missed."""
    async with session.get(path, params={"limit": "1"}) as answer:
        version = (await answer.json())["metadata"]["resourceVersion"]
    async with session.get(path, params={"watch": "true", "resourceVersion": version}) as answer:
        started.set()
        async for line in answer.content:
            yield json.loads(line)
