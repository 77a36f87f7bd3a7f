"""`https://HOST/PATH`: one file, of any server."""

import hashlib
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Final

import httpx

from vinoserve_runtime.model.sources.access import Access
from vinoserve_runtime.model.sources.base import Listing, RemoteFile
from vinoserve_runtime.model.sources.web import Bearer, Web

_HINT: Final = "see spec.model.credentials (keys token, or username and password)"
_NAME: Final = "model"


class HttpsSource:
    def __init__(self, uri: str, access: Access) -> None:
        self._url = uri
        self._key = hashlib.sha256(uri.encode()).hexdigest()  # not the uri: it may be a signed one
        self._web = Web(_make_auth(access), access.ca, _HINT)
        self._validator: str | None = None

    def find(self) -> Listing:
        found = self._web.probe(self._url)
        self._validator = (found.etag or found.modified) if found.ranges else None
        version = f"{self._key} {self._validator}" if self._validator else None
        file = RemoteFile(_NAME, found.size, version, parallel=found.ranges and found.etag is not None)
        return Listing((file,), _NAME, found.etag.strip('"') if found.etag else None)

    def read(self, file: RemoteFile, start: int, stop: int | None) -> AbstractContextManager[Iterator[bytes]]:
        return self._web.read(self._url, file, start, stop, self._validator)

    def close(self) -> None:
        self._web.close()


def _make_auth(access: Access) -> httpx.Auth | None:
    """The Secret's alone: a variable says nothing of the host that it is for."""
    if token := access.secret("token"):
        return Bearer(token)
    if username := access.secret("username"):
        return httpx.BasicAuth(username, access.secret("password") or "")
    return None
