"""Real servers of tools/servers on loopback ports of their own, one of each in a session; all end with it.

Nothing is in them at first: a test makes a bucket, a container or a repository of its own, under a name of its own.
"""

import json
import secrets
import socket
import subprocess
import time
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tools.servers.build import Servers, build_servers

LOOPBACK = "127.0.0.1"
PATIENCE = 60.0  # seconds until a server must answer, on a busy machine
S3_REGION = "test-region-1"
TRIES = 5  # another process may take a port between its choice and its use
#: `registry-password` by bcrypt, as the registry wants it
REGISTRY_HASH = "$2b$05$hCRcM8utrj4uFqwdrbhf.uz1AtKUdOlRbgBP0M.CrJjiyblOoHcQS"


@dataclass(frozen=True)
class S3Server:
    """versitygw over a folder, with the rights of its root user."""

    endpoint: str
    access_key_id: str
    secret_access_key: str
    region: str
    folder: Path  # a folder in it is a bucket, a file below that an object


@dataclass(frozen=True)
class GcsServer:
    """fake-gcs-server with its objects in memory; it takes any credentials, and none."""

    endpoint: str

    @property
    def service_account(self) -> str:
        """A service account's JSON file that names this server and has no key, as obstore understands it."""
        names = ("client_email", "private_key", "private_key_id")
        return json.dumps({"gcs_base_url": self.endpoint, "disable_oauth": True} | dict.fromkeys(names, ""))

    def put(self, bucket: str, name: str, content: bytes) -> None:
        """An object in a bucket, which is made where it is missing (obstore's own uploads this server refuses)."""
        with httpx.Client(base_url=self.endpoint, trust_env=False) as client:
            made = client.post("/storage/v1/b", json={"name": bucket})
            assert made.status_code in {200, 409}, made.text
            query = {"uploadType": "media", "name": name}
            put = client.post(f"/upload/storage/v1/b/{bucket}/o", params=query, content=content)
            assert put.status_code == 200, put.text


@dataclass(frozen=True)
class AzureServer:
    """Azurite's blob service with its blobs in memory; `endpoint` ends with the account's name."""

    endpoint: str
    account_name: str
    account_key: str


@dataclass(frozen=True)
class Registry:
    """An OCI registry over plain HTTP."""

    host: str  # 127.0.0.1:PORT, as in a reference
    folder: Path  # what is pushed to it: another registry may serve the same
    username: str = ""
    password: str = ""

    @property
    def endpoint(self) -> str:
        return f"http://{self.host}"


@pytest.fixture(scope="session")
def server_programs() -> Servers:
    """The servers' programs; `make test-servers` makes them beforehand."""
    return build_servers()


@pytest.fixture(scope="session")
def prometheus_binary(server_programs: Servers) -> Path:
    return server_programs.prometheus


@pytest.fixture(scope="session")
def s3_server(server_programs: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    home = tmp_path_factory.mktemp("s3")
    (home / "buckets").mkdir()
    (home / "attributes").mkdir()
    access, secret = "test-access", secrets.token_hex(20)

    def make_command(port: int) -> list[str]:
        return make_s3_command(server_programs, home, f"{LOOPBACK}:{port}")

    env = {"ROOT_ACCESS_KEY_ID": access, "ROOT_SECRET_ACCESS_KEY": secret}
    with running(make_command, home, "/healthz", env) as port:
        yield S3Server(f"http://{LOOPBACK}:{port}", access, secret, S3_REGION, home / "buckets")


def make_s3_command(programs: Servers, home: Path, address: str) -> list[str]:
    """versitygw over `home`/buckets; attributes have a folder, because not every file system keeps them."""
    options = ["--port", address, "--region", S3_REGION, "--health", "/healthz", "--quiet"]
    folders = ["--sidecar", str(home / "attributes"), str(home / "buckets")]
    return [str(programs.versitygw), *options, "posix", *folders]


@pytest.fixture(scope="session")
def gcs_server(server_programs: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GcsServer]:
    def make_command(port: int) -> list[str]:
        public = f"{LOOPBACK}:{port}"
        options = ["-host", LOOPBACK, "-port", str(port), "-public-host", public]
        options += ["-external-url", f"http://{public}", "-scheme", "http", "-backend", "memory"]
        return [str(server_programs.fake_gcs_server), *options, "-log-level", "error"]

    with running(make_command, tmp_path_factory.mktemp("gcs"), "/storage/v1/b?project=test") as port:
        yield GcsServer(f"http://{LOOPBACK}:{port}")


@pytest.fixture(scope="session")
def azure_server(server_programs: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[AzureServer]:
    home = tmp_path_factory.mktemp("azure")
    account, key = "testaccount", b64encode(secrets.token_bytes(64)).decode()

    def make_command(port: int) -> list[str]:
        options = ["--blobHost", LOOPBACK, "--blobPort", str(port)]
        options += ["--inMemoryPersistence", "--silent", "--disableTelemetry", "--skipApiVersionCheck"]
        return ["node", str(server_programs.azurite_blob), *options]

    with running(make_command, home, f"/{account}", {"AZURITE_ACCOUNTS": f"{account}:{key}"}) as port:
        yield AzureServer(f"http://{LOOPBACK}:{port}/{account}", account, key)


@pytest.fixture(scope="session")
def oci_registry(server_programs: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """A registry that asks for no credentials."""
    home = tmp_path_factory.mktemp("registry")

    def make_command(port: int) -> list[str]:
        return make_registry_command(server_programs, home, port)

    with running(make_command, home, "/v2/") as port:
        yield Registry(f"{LOOPBACK}:{port}", home)


@pytest.fixture(scope="session")
def private_oci_registry(
    server_programs: Servers, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Registry]:
    """A registry that answers 401 to whoever does not say who they are."""
    home = tmp_path_factory.mktemp("private-registry")
    username, password = "registry-user", "registry-password"

    def make_command(port: int) -> list[str]:
        return make_registry_command(server_programs, home, port, username)

    with running(make_command, home, "/v2/") as port:
        yield Registry(f"{LOOPBACK}:{port}", home, username, password)


def make_registry_command(programs: Servers, home: Path, port: int, username: str = "") -> list[str]:
    """docker-registry with its blobs and its settings in `home`; with a `username`, for that one alone."""
    settings = {
        "REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY": str(home / "blobs"),
        "REGISTRY_HTTP_ADDR": f"{LOOPBACK}:{port}",
    }
    if username:
        (home / "htpasswd").write_text(f"{username}:{REGISTRY_HASH}\n")
        settings |= {
            "REGISTRY_AUTH": "htpasswd",
            "REGISTRY_AUTH_HTPASSWD_REALM": "test",
            "REGISTRY_AUTH_HTPASSWD_PATH": str(home / "htpasswd"),
        }
    (home / "config.yml").write_text("version: 0.1\nlog: {level: warn}\nstorage: {filesystem: {}}\n")
    values = [f"{key}={value}" for key, value in settings.items()]
    return ["env", *values, str(programs.docker_registry), "serve", str(home / "config.yml")]


@contextmanager
def running(
    make_command: Callable[[int], Sequence[str]], home: Path, probe: str, env: Mapping[str, str] | None = None
) -> Iterator[int]:
    """A server on a free port, from its first answer on; ended by its pid. What it printed is in `home`/log."""
    port, process = start(make_command, home, probe, env or {})
    try:
        yield port
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def start(
    make_command: Callable[[int], Sequence[str]], home: Path, probe: str, env: Mapping[str, str]
) -> tuple[int, "subprocess.Popen[bytes]"]:
    log = home / "log"
    for _ in range(TRIES):
        port = find_port()
        with log.open("wb") as out:
            process = subprocess.Popen(
                make_command(port),
                cwd=home,
                env={"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": str(home), **env},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
            )
        if answers(process, f"http://{LOOPBACK}:{port}{probe}"):
            return port, process
        process.kill()
        process.wait()
    raise AssertionError(f"no server for {TRIES} tries; the last one said:\n{log.read_text()[-2000:]}")


def answers(process: "subprocess.Popen[bytes]", url: str) -> bool:
    """Whether the server answers, with whatever status; not where it ends or is silent for too long."""
    end = time.monotonic() + PATIENCE
    with httpx.Client(trust_env=False, timeout=5) as client:
        while process.poll() is None and time.monotonic() < end:
            try:
                client.get(url)
            except httpx.TransportError:
                time.sleep(0.05)  # between two looks
                continue
            return process.poll() is None
    return False


def find_port() -> int:
    with socket.socket() as free:
        free.bind((LOOPBACK, 0))
        port: int = free.getsockname()[1]
        return port
