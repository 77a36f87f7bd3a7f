"""What stands around the operator in a measurement: nodes and pods of kwok, one server that answers for all pods, a client."""

import asyncio
import base64
import json
import os
import signal
import ssl
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import yaml

from tools.devcluster.processes import list_pids
from tools.devcluster.record import read_netns
from tools.fleet.kwok import POD_CIDR, make_command, make_node
from tools.toolbox.programs import run
from vinoserve_api.contract import ADMIN_PORT, RuntimeReport

Object = dict[str, Any]

_REPORT = {
    "phase": "Ready",
    "targetDevice": "CPU",
    "executionDevices": ["CPU"],
    "deviceNames": ["A simulated CPU"],
    "onRequestedDevice": True,
    "startup": {"fetchSeconds": 0.25, "readSeconds": 0.5, "compileSeconds": 1.25, "cacheHit": False},
    "model": {"uri": "https://models.example.com/m.onnx", "digest": "sha256:" + "a" * 64, "format": "onnx"},
}


class Client:
    """The API server, by the kubeconfig that the environment names."""

    def __init__(self) -> None:
        document = yaml.safe_load(Path(os.environ["KUBECONFIG"]).read_text())
        self._server = document["clusters"][0]["cluster"]["server"]
        cluster, user = document["clusters"][0]["cluster"], document["users"][0]["user"]
        context = ssl.create_default_context(cadata=_decode(cluster["certificate-authority-data"]))
        with tempfile.NamedTemporaryFile("w") as identity:  # the library reads files alone
            identity.write(_decode(user["client-certificate-data"]) + _decode(user["client-key-data"]))
            identity.flush()
            context.load_cert_chain(identity.name)
        self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=48, ssl=context))

    async def close(self) -> None:
        await self._session.close()

    async def post(self, path: str, body: Object) -> Object:
        async with self._session.post(self._server + path, json=body) as answer:
            found: Object = await answer.json()
            if answer.status not in (200, 201, 409):
                raise RuntimeError(f"POST {path}: {found.get('message')}")
            return found

    async def get(self, path: str) -> Object:
        async with self._session.get(self._server + path) as answer:
            found: Object = orjson.loads(await answer.read())
            return found

    async def delete(self, path: str) -> None:
        async with self._session.delete(self._server + path) as answer:
            await answer.read()

    async def watch(self, path: str, version: str, receive: Callable[[str, Object], None]) -> None:
        """Until cancelled. The API server ends a watch that it can't write to for a moment: it goes on where it was."""
        timeout = aiohttp.ClientTimeout(total=None)
        while True:
            url = f"{self._server}{path}?watch=true&allowWatchBookmarks=true&resourceVersion={version}"
            async with self._session.get(url, timeout=timeout, read_bufsize=1 << 22) as answer:
                answer.raise_for_status()
                async for line in answer.content:
                    event = orjson.loads(line)
                    if event["type"] == "ERROR":
                        raise RuntimeError(f"watch {path}: {event['object'].get('message')}")
                    version = event["object"]["metadata"]["resourceVersion"]
                    if event["type"] != "BOOKMARK":
                        receive(event["type"], event["object"])


def _decode(data: str) -> str:
    return base64.b64decode(data).decode()


@asynccontextmanager
async def run_program(command: list[str], log: Path, **env: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """A program while in the context; ended by SIGTERM."""
    with log.open("ab") as output:
        process = await asyncio.create_subprocess_exec(
            *command, stdout=output, stderr=output, env={**os.environ, **env}
        )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
            await asyncio.wait_for(process.wait(), 60)


@contextmanager
def at_rest(program: str) -> Iterator[None]:
    """That program of the cluster stands still: what it does for each Service costs another machine's processor elsewhere."""
    network = read_netns(os.getpid())
    pids = [pid for pid in list_pids() if _is_one_of(pid, program, network)]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


def _is_one_of(pid: int, program: str, network: int) -> bool:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip() == program and read_netns(pid) == network
    except OSError:  # it has ended
        return False


@asynccontextmanager
async def simulate_pods(client: Client, kwok: Path, nodes: int, logs: Path) -> AsyncIterator[None]:
    """`nodes` nodes of kwok's; all addresses of its pods are this machine's, where one server answers as every model server."""
    run(["ip", "route", "replace", "local", POD_CIDR, "dev", "lo"])
    body = json.dumps(RuntimeReport.load(_REPORT).dump()).encode()
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    answer = head.encode() + body

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer)
            await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    names = [f"fleet-{i:03}" for i in range(nodes)]
    command = make_command(kwok, os.environ["KUBECONFIG"])
    server = await asyncio.start_server(serve, "0.0.0.0", ADMIN_PORT, backlog=1024)
    async with server, run_program(command, logs / "kwok.log"):
        for name in names:
            await client.post("/api/v1/nodes", make_node(name))
        try:
            yield
        finally:
            for name in names:
                await client.delete(f"/api/v1/nodes/{name}")


class Usage:
    """Of a process: CPU seconds and memory, as the kernel counts them."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._since, self._cpu = time.monotonic(), self.cpu()

    def cpu(self) -> float:
        fields = Path(f"/proc/{self._pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def percent(self) -> float:
        """Since the last time it was asked."""
        since, cpu = time.monotonic(), self.cpu()
        share = 100 * (cpu - self._cpu) / (since - self._since)
        self._since, self._cpu = since, cpu
        return share

    def megabytes(self, field: str = "VmRSS") -> float:
        lines = Path(f"/proc/{self._pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(f"{field}:"))
