"""How to be let in at an OCI registry: whose name and password, and the token that many registries want for them."""

import json
import re
import threading
from base64 import b64decode
from collections.abc import Generator, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import httpx

from vinoserve_api.conditions import FailureReason
from vinoserve_runtime.errors import StartupError
from vinoserve_runtime.model.sources.access import Access
from vinoserve_runtime.model.sources.reference import Reference

_PULL_SECRET: Final = ".dockerconfigjson"  # noqa: S105  # the name of a key
_CHALLENGE: Final = re.compile(r'(\w+)="([^"]*)"')

HINT: Final = "see spec.model.credentials (an image pull Secret, or keys username and password), or log in with docker or podman"

Login = tuple[str, str]
"""Name and password."""


def find_login(reference: Reference, access: Access) -> Login | None:
    """The Secret's (an image pull Secret, or username and password), else that of this user's docker or podman login."""
    document = access.document(_PULL_SECRET)
    if document is not None:
        return _read_config(document, reference, f"the credentials' key {_PULL_SECRET}")
    if username := access.secret("username"):
        return username, access.secret("password") or ""
    for path in _list_config_files(access):
        try:
            text = path.read_text()
        except OSError:
            continue
        if found := _read_config(text, reference, str(path)):
            return found
    return None


def _list_config_files(access: Access) -> Iterator[Path]:
    if own := access.variable("REGISTRY_AUTH_FILE"):
        yield Path(own)
    if folder := access.variable("DOCKER_CONFIG"):
        yield Path(folder) / "config.json"
    elif home := access.variable("HOME"):
        yield Path(home) / ".docker/config.json"
    if runtime := access.variable("XDG_RUNTIME_DIR"):
        yield Path(runtime) / "containers/auth.json"


def _read_config(text: str, reference: Reference, where: str) -> Login | None:
    """The entry that names most of the repository, or its host, or one of the ways to write Docker Hub."""
    try:
        entries = json.loads(text).get("auths") or {}
        logins = {_normalise(str(name)): _read_entry(entry) for name, entry in entries.items()}
    except (ValueError, AttributeError, TypeError):
        raise StartupError(FailureReason.ACCESS_DENIED, f"{where} is no docker config.json") from None
    name: str = f"{reference.host}/{reference.repository}"
    while name and logins.get(name) is None:
        name = name.rpartition("/")[0]
    return logins.get(name)


def _normalise(name: str) -> str:
    """`https://index.docker.io/v1/` and the like, as in a reference."""
    name = re.sub(r"^https?://|/(v[12]/?)?$", "", name)
    return "docker.io" if name in ("index.docker.io", "registry-1.docker.io") else name


def _read_entry(entry: Mapping[str, Any]) -> Login | None:
    if packed := entry.get("auth"):
        username, _, password = b64decode(packed, validate=True).decode().partition(":")
        return username, password
    if entry.get("username"):
        return str(entry["username"]), str(entry.get("password") or "")
    return None


class RegistryAuth(httpx.Auth):
    """Answers a registry's challenge: Basic with the login, Bearer with a token that its realm gives for it.

    The token is kept for all requests, of all threads, until the registry refuses it.
    """

    def __init__(self, reference: Reference, login: Login | None) -> None:
        self._reference = reference
        self._basic = httpx.BasicAuth(*login) if login else None
        self._lock = threading.Lock()
        self._value: str | None = None

    def sync_auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        known = self._value
        if known:
            request.headers["Authorization"] = known
        response = yield request
        if response.status_code != 401:
            return
        scheme, _, rest = response.headers.get("WWW-Authenticate", "").partition(" ")
        if scheme.lower() == "basic" and self._basic:
            yield from self._send(next(self._basic.auth_flow(request)))
        elif scheme.lower() == "bearer":
            with self._lock:
                if self._value == known:
                    self._value = yield from self._get_token(dict(_CHALLENGE.findall(rest)))
                value = self._value
            if value:
                request.headers["Authorization"] = value
                yield request

    def _send(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        self._value = request.headers["Authorization"]
        yield request

    def _get_token(
        self, challenge: Mapping[str, str]
    ) -> Generator[httpx.Request, httpx.Response, str | None]:
        """`Bearer …`; None where the realm has no time for us now, and its response stands for the registry's."""
        realm = httpx.URL(challenge.get("realm", ""))
        if realm.scheme != "https" and not (self._reference.is_loopback and realm.scheme == "http"):
            raise StartupError(
                FailureReason.ACCESS_DENIED,
                f"{self._reference.host} sends us for a token to {realm.scheme or 'an address'} that isn't https",
            )
        query = {"scope": f"repository:{self._reference.repository}:pull"}
        if service := challenge.get("service"):
            query["service"] = service
        request = httpx.Request("GET", realm.copy_merge_params(query))
        if self._basic:
            request = next(self._basic.auth_flow(request))
        response = yield request
        status = response.status_code
        if status == 429 or status >= 500:
            return None
        try:
            answer = json.loads(response.read()) if status == 200 else {}
            token = answer.get("token") or answer.get("access_token")
        except (ValueError, AttributeError):
            token = None
        if not token:
            as_whom = "that name and password" if self._basic else "nobody"
            raise StartupError(
                FailureReason.ACCESS_DENIED,
                f"{realm.host} gives no token for {self._reference.repository} to {as_whom} (HTTP {status}); {HINT}",
            )
        return f"Bearer {token}"
