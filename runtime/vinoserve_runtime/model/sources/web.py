"""Read files over HTTP(S) in ranges, careful with credentials; for `https:` itself and for the hub."""

import re
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import httpx

from vinoserve_api.conditions import FailureReason
from vinoserve_runtime.errors import StartupError
from vinoserve_runtime.model.sources.base import (
    ChangedError,
    NoRangesError,
    RemoteFile,
    RetryableError,
    UnreachableError,
)
from vinoserve_runtime.model.urls import show_url

MAX_REDIRECTS: Final = 10
TIMEOUT: Final = httpx.Timeout(30.0, connect=10.0)
_AGAIN: Final = frozenset({408, 425, 429, 500, 502, 503, 504})


@dataclass(frozen=True)
class Probe:
    """What one byte of a file told: how long it is, and what stands for its version."""

    size: int | None
    etag: str | None
    """A strong one."""
    modified: str | None
    ranges: bool


class Bearer(httpx.Auth):
    def __init__(self, token: str) -> None:
        self._value = f"Bearer {token}"

    def auth_flow(self, request: httpx.Request) -> Iterator[httpx.Request]:  # type: ignore[override]
        request.headers["Authorization"] = self._value
        yield request


class Web:
    """A client that sends `auth` to the origin of the url it is asked for and nowhere else, and never leaves https.

    `hint` is what would let us in where nothing did.
    """

    def __init__(self, auth: httpx.Auth | None, ca: str | None, hint: str) -> None:
        self._auth = auth
        self._hint = hint
        self._client = httpx.Client(
            timeout=TIMEOUT,
            verify=make_context(ca),
            headers={"Accept-Encoding": "identity"},
            limits=httpx.Limits(max_connections=32, max_keepalive_connections=16),
        )

    def close(self) -> None:
        self._client.close()

    def get(self, url: str, headers: Mapping[str, str], most: int) -> bytes:
        """A document of at most `most` bytes. Raises FetchFailed for a longer one."""
        body = b""
        with self._open(url, headers) as response:
            for block in _translated(response.iter_bytes(), url):
                body += block
                if len(body) > most:
                    raise StartupError(
                        FailureReason.FETCH_FAILED, f"{show_url(url)}: longer than {most} bytes"
                    )
        return body

    def probe(self, url: str) -> Probe:
        with self._open(url, {"Range": "bytes=0-0"}) as response:
            etag = response.headers.get("ETag", "")
            total = re.fullmatch(r"bytes 0-0/(\d+)", response.headers.get("Content-Range", ""))
            ranges = response.status_code == 206 and total is not None
            length = response.headers.get("Content-Length", "")
            return Probe(
                size=int(total[1]) if ranges and total else _size_of_whole(response.status_code, length),
                etag=etag if etag and not etag.startswith("W/") else None,
                modified=response.headers.get("Last-Modified"),
                ranges=ranges,
            )

    @contextmanager
    def read(
        self, url: str, file: RemoteFile, start: int, stop: int | None, validator: str | None
    ) -> Iterator[Iterator[bytes]]:
        """The bytes from `start` to `stop`, of that version alone if a `validator` (for If-Range) says which."""
        whole = start == 0 and stop == file.size
        headers = {} if whole else {"Range": f"bytes={start}-{'' if stop is None else stop - 1}"}
        if validator and not whole:
            headers["If-Range"] = validator
        with self._open(url, headers) as response:
            if not whole:
                _check_range(response, file, start, stop, validator)
            elif response.status_code != 200 or _is_other(response, validator):
                raise ChangedError("another version than the one that was found")
            yield _translated(response.iter_raw(), url)

    @contextmanager
    def _open(self, url: str, headers: Mapping[str, str]) -> Iterator[httpx.Response]:
        """Follow redirects by hand: never from https to http, and credentials only to the url's own origin."""
        with _translating(url):
            at = httpx.URL(url)
        own = _origin(at)
        for _ in range(MAX_REDIRECTS + 1):
            auth = self._auth if _origin(at) == own else None
            with _translating(url):
                request = self._client.build_request("GET", at, headers=headers)
                response = self._client.send(request, stream=True, auth=auth, follow_redirects=False)
            try:
                if not response.has_redirect_location:
                    self._check_status(url, response)
                    yield response
                    return
                to = at.join(response.headers["Location"])
            finally:
                response.close()
            if to.scheme not in ("http", "https") or (at.scheme == "https" and to.scheme != "https"):
                raise StartupError(
                    FailureReason.FETCH_FAILED,
                    f"{show_url(url)}: refused a redirect from {at.scheme} to {show_url(str(to))}",
                )
            at = to
        raise StartupError(
            FailureReason.FETCH_FAILED, f"{show_url(url)}: more than {MAX_REDIRECTS} redirects"
        )

    def _check_status(self, url: str, response: httpx.Response) -> None:
        status = response.status_code
        if status in (200, 206, 416):
            return
        text = f"{show_url(url)}: HTTP {status} {response.reason_phrase}".rstrip()
        if status in _AGAIN:
            after = response.headers.get("Retry-After", "")
            raise RetryableError(text, float(after) if after.isdecimal() else None)
        if status in (404, 410):
            raise StartupError(FailureReason.MODEL_NOT_FOUND, text)
        if status in (401, 403, 407):
            raise StartupError(FailureReason.ACCESS_DENIED, f"{text}: not let in; {self._hint}")
        raise StartupError(FailureReason.FETCH_FAILED, text)


def _size_of_whole(status: int, length: str) -> int | None:
    if status == 416:  # of nothing there is no first byte
        return 0
    return int(length) if status == 200 and length.isdecimal() else None


def _check_range(
    response: httpx.Response, file: RemoteFile, start: int, stop: int | None, validator: str | None
) -> None:
    if response.status_code == 200:
        if _is_other(response, validator):
            raise ChangedError("another version than the one that was found")
        raise NoRangesError
    if response.status_code == 416:  # what is here is not a beginning of what is there
        raise ChangedError("shorter than what was found")
    found = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+|\*)", response.headers.get("Content-Range", ""))
    if found is None or int(found[1]) != start or (stop is not None and int(found[2]) != stop - 1):
        raise RetryableError("the server sent another range than it was asked for")
    if _is_other(response, validator) or (file.size is not None and found[3] not in ("*", str(file.size))):
        raise ChangedError("another version than the one that was found")


def _is_other(response: httpx.Response, validator: str | None) -> bool:
    """Whether the response says that it is of another version than `validator`, an ETag or a date."""
    if validator is None:
        return False
    header = "ETag" if validator.startswith('"') else "Last-Modified"
    return str(response.headers.get(header, validator)) != validator


def _origin(url: httpx.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port


def _translated(blocks: Iterator[bytes], url: str) -> Iterator[bytes]:
    with _translating(url):
        yield from blocks


@contextmanager
def _translating(url: str) -> Iterator[None]:
    try:
        yield
    except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
        raise StartupError(FailureReason.FETCH_FAILED, f"{show_url(url)}: {error}") from error
    except httpx.TransportError as error:
        raise translate(error, url) from error


def translate(error: Exception, url: str) -> Exception:
    """What a failed connection means. Takes errors of any HTTP library that words them as httpx does."""
    text = str(error) or type(error).__name__
    if "CERTIFICATE_VERIFY_FAILED" in text:
        return StartupError(
            FailureReason.FETCH_FAILED,
            f"{show_url(url)}: {text}; for a private authority put its certificate into ca.crt of the credentials",
        )
    return UnreachableError(text) if type(error).__name__.startswith("Connect") else RetryableError(text)


def make_context(ca: str | None) -> ssl.SSLContext:
    """The system's authorities, and those of `ca` (PEM)."""
    context = ssl.create_default_context()
    if ca is not None:
        context.load_verify_locations(cadata=ca)
    return context
