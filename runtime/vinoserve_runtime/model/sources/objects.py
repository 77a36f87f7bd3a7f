"""`s3://BUCKET/…`, `gs://BUCKET/…` and `az://CONTAINER/…`: a key is a file, a prefix is a folder."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, Final, TypeVar

from vinoserve_api.conditions import FailureReason
from vinoserve_runtime.errors import StartupError
from vinoserve_runtime.model.sources.access import Access
from vinoserve_runtime.model.sources.address import parse_object
from vinoserve_runtime.model.sources.base import (
    MAX_FILES,
    ChangedError,
    Listing,
    RemoteFile,
    RetryableError,
    UnreachableError,
)
from vinoserve_runtime.model.sources.choose import is_hidden, list_companions
from vinoserve_runtime.model.sources.stores import Opening, plan_az, plan_gs, plan_s3

if TYPE_CHECKING:
    from obstore import GetOptions

_PLANS: Final = {"s3": plan_s3, "gs": plan_gs, "az": plan_az}
_BLOCK_BYTES: Final = 1 << 20
_DENIED: Final = frozenset(
    {"InvalidAccessKeyId", "XAdminUserNotFound", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken"}
    | {"TokenRefreshRequired", "AuthenticationFailed", "InvalidAuthenticationInfo", "AuthorizationFailure"}
)
"""What stores say, beside 401 and 403, of credentials that don't let one in."""
_T = TypeVar("_T")


class ObjectSource:
    def __init__(self, uri: str, access: Access) -> None:
        self._uri = uri
        self._address = parse_object(uri)
        self._ca = access.ca
        self._opening: Opening = _PLANS[uri.partition(":")[0]](self._address.bucket, access)
        self._store = self._opening.open(self._ca)
        self._base = ""

    def find(self) -> Listing:
        try:
            return self._find()
        except StartupError as error:
            if error.reason != FailureReason.ACCESS_DENIED or not self._opening.may_be_cloud:
                raise
            return self._list_as_cloud(error)

    def _list_as_cloud(self, refused: StartupError) -> Listing:
        """Nobody isn't let in: a pod of a cloud may be somebody by the machine that it runs on."""
        nobody, self._store = self._store, self._opening.open(self._ca, as_cloud=True)
        try:
            return self._find()
        except (StartupError, RetryableError):
            self._store = nobody
            raise refused from None

    def _find(self) -> Listing:
        key = self._address.key
        if key and not key.endswith("/"):
            found = self._head(key)
            if found is not None:
                return self._list_file(key, found)
        return self._list_folder(key)

    def _list_file(self, key: str, found: Any) -> Listing:
        start = key.rfind("/") + 1
        beside = [(name, meta) for name in list_companions(key) if (meta := self._head(name)) is not None]
        files = tuple(_make_file(name[start:], meta) for name, meta in [(key, found), *beside])
        self._base = key[:start]
        revision = found.get("version") or (found.get("e_tag") or "").strip('"') or None
        return Listing(files, key[start:], revision)

    def _list_folder(self, key: str) -> Listing:
        import obstore  # noqa: PLC0415

        prefix = key.rstrip("/") + "/" if key else ""
        try:
            entries = self._ask(
                # one more than is taken says that there are too many, without listing all of them
                lambda: list(
                    islice(chain.from_iterable(obstore.list(self._store, prefix or None)), MAX_FILES + 1)
                )
            )
        except FileNotFoundError:
            entries = []
        names = {meta["path"]: meta for meta in entries}
        folders = {parent for name in names for parent in _parents(name)}
        files = tuple(
            _make_file(name[len(prefix) :], meta)
            for name, meta in sorted(names.items())
            if name.startswith(prefix)
            and not (name in folders and meta["size"] == 0)
            and len(name) > len(prefix)
            and not is_hidden(name[len(prefix) :])
        )
        if not files:
            raise StartupError(
                FailureReason.MODEL_NOT_FOUND,
                f"{self._uri}: {self._address.bucket} has neither an object {key} nor objects below it"
                if key
                else f"{self._uri}: {self._address.bucket} has no objects",
            )
        self._base = prefix
        return Listing(files, None, None)

    def _head(self, key: str) -> Any | None:
        """The object's size and version; None where there is none."""
        import obstore  # noqa: PLC0415

        try:
            return self._ask(lambda: obstore.head(self._store, key))
        except FileNotFoundError:
            return None

    @contextmanager
    def read(self, file: RemoteFile, start: int, stop: int | None) -> Iterator[Iterator[bytes]]:
        import obstore  # noqa: PLC0415

        key = self._base + file.path
        options: GetOptions = {}
        if file.version is not None:
            options["if_match"] = file.version
        if (start, stop) != (0, file.size):
            options["range"] = (start, stop) if stop is not None else {"offset": start}
        if file.size == 0:
            yield iter(())
            return
        try:
            found = self._ask(lambda: obstore.get(self._store, key, options=options))
        except FileNotFoundError as error:
            raise ChangedError("gone since it was found") from error
        changed = file.version is not None and _quoted(found.meta["e_tag"]) != file.version
        if changed or found.meta["size"] != file.size:
            raise ChangedError("another version than the one that was found")
        yield self._blocks(found)

    def _blocks(self, found: Any) -> Iterator[bytes]:
        stream = iter(found.stream(min_chunk_size=_BLOCK_BYTES))
        while (block := self._ask(lambda: next(stream, None))) is not None:
            yield bytes(block)

    def close(self) -> None:
        """The store has nothing to close."""

    def _ask(self, call: Callable[[], _T]) -> _T:
        """The library's errors as ours; what isn't there stays FileNotFoundError."""
        from obstore import exceptions  # noqa: PLC0415

        try:
            return call()
        except FileNotFoundError:
            raise
        except exceptions.PreconditionError:
            raise ChangedError("another version than the one that was found") from None
        except (exceptions.BaseError, OSError) as error:
            # without its cause: the library's text quotes requests, signatures and bodies
            raise self._explain(str(error)) from None

    def _explain(self, text: str) -> Exception:
        status, code, said = read_error(text)
        shown = f"{self._uri}: {said}"
        if status in (401, 403) or code in _DENIED:
            return StartupError(FailureReason.ACCESS_DENIED, f"{shown}: not let in; {self._opening.hint}")
        if status == 404:
            return StartupError(FailureReason.MODEL_NOT_FOUND, shown)
        if "CERTIFICATE" in text.upper() or "UnknownIssuer" in text:
            return StartupError(
                FailureReason.FETCH_FAILED,
                f"{self._uri}: the certificate isn't trusted; for a private authority put its certificate into ca.crt of the credentials",
            )
        if "BadScheme" in text:
            return StartupError(
                FailureReason.FETCH_FAILED,
                f"{self._uri}: refused to go on over http://: the endpoint says https://",
            )
        if status is None:
            return UnreachableError(said) if "kind: Connect" in text else RetryableError(said)
        if status in (408, 429) or status >= 500:
            return RetryableError(said)
        region = "; is AWS_REGION the bucket's region?" if self._uri.startswith("s3:") else ""
        return StartupError(FailureReason.FETCH_FAILED, f"{shown}{region}")


def read_error(text: str) -> tuple[int | None, str, str]:
    """The HTTP status, the store's own code, and what may be shown of an error of the library: never its whole text."""
    found = re.search(r"status code: (\d{3})\b", text) or re.search(r"status: (\d{3})\b", text)
    status = int(found[1]) if found else None
    code = re.search(r"<Code>\s*(\w{1,64})\s*</Code>", text)
    message = re.search(r"<Message>\s*([^<\n]{1,200})", text)
    if status is None:
        first = re.search(r"HTTP error: ([a-z ]{1,80})", text)
        return None, "", f"no answer from the store ({first[1]})" if first else "no answer from the store"
    parts = [f"HTTP {status}", *(part[1].strip() for part in (code, message) if part)]
    return status, code[1] if code else "", " ".join(parts)


def _make_file(path: str, meta: Any) -> RemoteFile:
    """`meta` is an obstore.ObjectMeta. Only a strong ETag stands for the bytes."""
    etag = meta.get("e_tag")
    version = None if etag is None or etag.startswith("W/") else _quoted(etag)
    return RemoteFile(path, meta["size"], version, parallel=version is not None)


def _quoted(etag: str | None) -> str | None:
    """As the header has it; lists of some stores leave the quotes out."""
    return None if etag is None else f'"{etag.strip(chr(34))}"'


def _parents(name: str) -> Iterator[str]:
    """Every folder that `name` lies in: some stores list those as objects of no bytes."""
    at = name.rfind("/")
    while at > 0:
        yield name[:at]
        at = name.rfind("/", 0, at)
