"""Download one file over HTTP(S): resumable, patient, careful with credentials."""

import errno
import json
import os
import random
import shutil
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx

from vinoserve_api.conditions import FailureReason
from vinoserve_runtime.errors import StartupError
from vinoserve_runtime.model.digest import Progress
from vinoserve_runtime.model.urls import show_url

MAX_ATTEMPTS: Final = 8
"""In a row, without a byte of progress."""
MAX_PAUSE_SECONDS: Final = 30.0
MAX_REDIRECTS: Final = 10
_TIMEOUT: Final = httpx.Timeout(30.0, connect=15.0)
_AGAIN: Final = frozenset({408, 425, 429, 500, 502, 503, 504})


@dataclass(frozen=True)
class Credentials:
    """How to be let in at the uri's own host. Never printed."""

    token: str | None = None
    username: str | None = None
    password: str | None = None
    ca: Path | None = None

    def __repr__(self) -> str:
        return "Credentials(…)"

    @property
    def auth(self) -> httpx.Auth | None:
        if self.token is not None:
            return _Bearer(self.token)
        if self.username is not None:
            return httpx.BasicAuth(self.username, self.password or "")
        return None


class _Bearer(httpx.Auth):
    def __init__(self, token: str) -> None:
        self._value = f"Bearer {token}"

    def auth_flow(self, request: httpx.Request) -> Iterator[httpx.Request]:  # type: ignore[override]
        request.headers["Authorization"] = self._value
        yield request


class _RetryableError(Exception):
    def __init__(self, message: str, pause: float | None = None) -> None:
        super().__init__(message)
        self.pause = pause


def read_credentials(folder: Path) -> Credentials:
    """The Secret's keys, mounted as files: token, or username and password; ca.crt. An absent folder: none."""

    def read(name: str) -> str | None:
        try:
            text = (folder / name).read_text().strip()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, UnicodeDecodeError) as error:
            raise StartupError(
                FailureReason.FETCH_FAILED, f"the credentials' key {name} can't be read"
            ) from error
        if not text.isascii() or not text.isprintable():
            raise StartupError(
                FailureReason.FETCH_FAILED,
                f"the credentials' key {name} holds line breaks or other than ASCII",
            )
        return text

    ca = folder / "ca.crt"
    return Credentials(read("token"), read("username"), read("password"), ca if ca.is_file() else None)


def download(url: str, part: Path, credentials: Credentials, progress: Progress | None = None) -> bool:
    """Fetch `url` into `part`, going on where an earlier run was cut off; True where it went on.

    `part` is complete when this returns. Raises StartupError FetchFailed, ModelNotFound, DiskFull.
    """
    transfer = _Transfer(url, part, progress)
    resumed = transfer.done > 0
    attempts = 0
    with httpx.Client(
        timeout=_TIMEOUT, verify=_make_context(credentials), headers={"Accept-Encoding": "identity"}
    ) as client:
        while True:
            before = transfer.done
            try:
                transfer.run(client, credentials)
            except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
                raise StartupError(FailureReason.FETCH_FAILED, f"{show_url(url)}: {error}") from error
            except (httpx.TransportError, _RetryableError) as error:
                if _is_certificate_problem(error):
                    raise StartupError(
                        FailureReason.FETCH_FAILED,
                        f"{show_url(url)}: {error}; for a private authority put its certificate into ca.crt of the credentials",
                    ) from error
                attempts = 1 if transfer.done > before else attempts + 1
                if attempts >= MAX_ATTEMPTS:
                    why = str(error) or type(error).__name__
                    raise StartupError(
                        FailureReason.FETCH_FAILED, f"{show_url(url)}: gave up after {attempts} tries: {why}"
                    ) from error
                time.sleep(_make_pause(error, attempts))
            else:
                return resumed


def _make_pause(error: Exception, attempts: int) -> float:
    """Seconds: what the server asked for, else exponential with full jitter."""
    asked: float | None = getattr(error, "pause", None)
    return min(MAX_PAUSE_SECONDS, random.uniform(0, 0.5 * 2**attempts) if asked is None else asked)  # noqa: S311


class _Transfer:
    """The state of one download: what is on the disk, and of which version of the remote file."""

    def __init__(self, url: str, part: Path, progress: Progress | None) -> None:
        self._url = url
        self._part = part
        self._meta = part.with_name(part.name + ".json")
        self._progress = progress
        self._validator: str | None = None
        self.done = 0
        self._total: int | None = None
        self._load()

    def _load(self) -> None:
        """Go on only with what surely is the beginning of the same version."""
        try:
            meta = json.loads(self._meta.read_text())
            if meta["url"] == self._url and meta["validator"]:
                self._validator, self.done = meta["validator"], self._part.stat().st_size
        except (OSError, ValueError, KeyError, TypeError):
            self._forget()

    def _forget(self) -> None:
        self.done, self._validator = 0, None
        self._part.unlink(missing_ok=True)
        self._meta.unlink(missing_ok=True)

    def run(self, client: httpx.Client, credentials: Credentials) -> None:
        headers = {}
        if self.done and self._validator:
            headers = {"Range": f"bytes={self.done}-", "If-Range": self._validator}
        with _open(client, self._url, credentials, headers) as response:
            if response.status_code == 416:  # what is here is not a beginning of what is there
                self._forget()
                raise _RetryableError("HTTP 416")
            _check_status(self._url, response)
            if response.status_code == 206 and not self._is_continuation(response):
                self._forget()
                raise _RetryableError("the server sent another range than it was asked for")
            if response.status_code != 206:
                self._start(response)
            length = response.headers.get("Content-Length")
            self._total = self.done + int(length) if length and length.isdecimal() else None
            self._check_space()
            self._receive(response)

    def _is_continuation(self, response: httpx.Response) -> bool:
        return bool(self.done) and response.headers.get("Content-Range", "").startswith(f"bytes {self.done}-")

    def _start(self, response: httpx.Response) -> None:
        self._forget()
        tag = response.headers.get("ETag", "")
        self._validator = tag if tag and not tag.startswith("W/") else response.headers.get("Last-Modified")
        self._meta.write_text(json.dumps({"url": self._url, "validator": self._validator}))

    def _check_space(self) -> None:
        free = shutil.disk_usage(self._part.parent).free
        if self._total is not None and self._total - self.done > free:
            raise StartupError(
                FailureReason.DISK_FULL,
                f"{show_url(self._url)} has {self._total} bytes, {self._part.parent} has {free} free: raise spec.cache.model.sizeLimit",
            )

    def _receive(self, response: httpx.Response) -> None:
        try:
            with self._part.open("ab") as file:
                for block in response.iter_raw():
                    file.write(block)
                    self.done += len(block)
                    if self._progress:
                        self._progress(self.done, self._total)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise StartupError(
                    FailureReason.DISK_FULL,
                    f"{self._part.parent} is full after {self.done} bytes of {show_url(self._url)}: raise spec.cache.model.sizeLimit",
                ) from error
            raise
        finally:
            self.done = self._part.stat().st_size if self._part.exists() else 0
        if self._total is not None and self.done < self._total:
            raise _RetryableError(f"cut off after {self.done} of {self._total} bytes")
        with self._part.open("rb") as file:
            os.fsync(file.fileno())


@contextmanager
def _open(
    client: httpx.Client, url: str, credentials: Credentials, headers: dict[str, str]
) -> Iterator[httpx.Response]:
    """Follow redirects by hand: never from https to http, and credentials only to the uri's own origin."""
    at = httpx.URL(url)
    own = _origin(at)
    for _ in range(MAX_REDIRECTS + 1):
        auth = credentials.auth if _origin(at) == own else None
        with client.stream("GET", at, headers=headers, auth=auth, follow_redirects=False) as response:
            if not response.has_redirect_location:
                yield response
                return
            to = at.join(response.headers["Location"])
        if to.scheme not in ("http", "https") or (at.scheme == "https" and to.scheme != "https"):
            raise StartupError(
                FailureReason.FETCH_FAILED,
                f"{show_url(url)}: refused a redirect from {at.scheme} to {show_url(str(to))}",
            )
        at = to
    raise StartupError(FailureReason.FETCH_FAILED, f"{show_url(url)}: more than {MAX_REDIRECTS} redirects")


def _origin(url: httpx.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port


def _check_status(url: str, response: httpx.Response) -> None:
    status = response.status_code
    if status in (200, 206):
        return
    text = f"{show_url(url)}: HTTP {status} {response.reason_phrase}".rstrip()
    if status in _AGAIN:
        after = response.headers.get("Retry-After", "")
        raise _RetryableError(text, float(after) if after.isdecimal() else None)
    if status in (404, 410):
        raise StartupError(FailureReason.MODEL_NOT_FOUND, text)
    if status in (401, 403, 407):
        raise StartupError(
            FailureReason.FETCH_FAILED,
            f"{text}: not let in; see spec.model.credentials (keys token, or username and password)",
        )
    raise StartupError(FailureReason.FETCH_FAILED, text)


def _make_context(credentials: Credentials) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if credentials.ca is not None:
        try:
            context.load_verify_locations(credentials.ca)
        except (OSError, ssl.SSLError) as error:
            raise StartupError(
                FailureReason.FETCH_FAILED, "the credentials' key ca.crt holds no certificate in PEM"
            ) from error
    return context


def _is_certificate_problem(error: BaseException) -> bool:
    return "CERTIFICATE_VERIFY_FAILED" in str(error)
