"""`hf://OWNER/NAME[@REVISION][/PATH]`: a repository of the Hugging Face Hub, or of a server with its API.

huggingface_hub asks what there is; the bytes come the way all others do, in ranges, with our progress and resume, so that
nothing is written outside of the model's folder: no cache, no links, no token. Everything is of one commit.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any, Final, TypeVar

from vinoserve_api.conditions import FailureReason
from vinoserve_runtime.errors import StartupError
from vinoserve_runtime.model.sources.access import Access, check_endpoint
from vinoserve_runtime.model.sources.address import HubAddress, parse_hub
from vinoserve_runtime.model.sources.base import Listing, RemoteFile, RetryableError
from vinoserve_runtime.model.sources.choose import choose_files, list_companions
from vinoserve_runtime.model.sources.web import Bearer, Web, make_context, translate

_HINT: Final = (
    "private and gated models want spec.model.credentials with the key HF_TOKEN, of somebody who may read it"
)
_T = TypeVar("_T")


class HubSource:
    def __init__(self, uri: str, access: Access) -> None:
        self._uri = uri
        self._address = parse_hub(uri)
        self._hub = _import_hub(access.ca)
        self._endpoint = check_endpoint("HF_ENDPOINT", access.get("HF_ENDPOINT")) or "https://huggingface.co"
        token = access.get("HF_TOKEN") or self._hub.get_token()
        self._api = self._hub.HfApi(endpoint=self._endpoint, token=token or False)
        self._web = Web(Bearer(token) if token else None, access.ca, _HINT)
        self._commit = ""
        self._paths: dict[str, str] = {}

    def find(self) -> Listing:
        """What the revision stands for is asked once; all else is asked of that commit."""
        address = self._address
        self._commit = self._commit or self._ask(self._find_commit)
        tree = self._ask(self._list_tree)
        sizes = {file.path: file for file in tree}
        if address.path in sizes:
            names = [address.path, *(name for name in list_companions(address.path) if name in sizes)]
            folder, named = address.path.rpartition("/")[0], address.path.rpartition("/")[2]
        else:
            folder, named = address.path, None
            below = [name for name in sizes if not folder or name.startswith(f"{folder}/")]
            names = choose_files(below)
            if not names:
                raise self._nothing_found(bool(below))
        start = len(folder) + 1 if folder else 0
        files = tuple(
            RemoteFile(
                name[start:],
                sizes[name].size,
                f"{self._commit} {sizes[name].blob_id}",
                parallel=True,
                sha256=sizes[name].lfs.sha256 if sizes[name].lfs else None,
            )
            for name in names
        )
        self._paths = {name[start:]: name for name in names}
        return Listing(files, named, self._commit)

    def read(self, file: RemoteFile, start: int, stop: int | None) -> AbstractContextManager[Iterator[bytes]]:
        url = self._hub.hf_hub_url(
            self._address.repository,
            self._paths[file.path],
            revision=self._commit,
            endpoint=self._endpoint,
        )
        return self._web.read(url, file, start, stop, None)

    def close(self) -> None:
        self._web.close()

    def _find_commit(self) -> str:
        info = self._api.model_info(
            self._address.repository, revision=self._address.revision, expand=["sha"], timeout=30
        )
        if not info.sha:
            raise StartupError(FailureReason.FETCH_FAILED, f"{self._uri}: the hub names no commit for it")
        return str(info.sha)

    def _list_tree(self) -> list[Any]:
        entries = self._api.list_repo_tree(self._address.repository, revision=self._commit, recursive=True)
        return [entry for entry in entries if isinstance(entry, self._hub.hf_api.RepoFile)]

    def _nothing_found(self, has_others: bool) -> StartupError:
        where = f"{self._address.repository} at {self._commit}"
        path = self._address.path
        if has_others:
            what = "holds no file that OpenVINO could read"
        else:
            what = f"has neither a file nor a folder {path}" if path else "is empty"
        return StartupError(FailureReason.MODEL_NOT_FOUND, f"{self._uri}: {where} {what}")

    def _ask(self, call: Callable[[], _T]) -> _T:
        errors = self._hub.errors
        try:
            return call()
        except (errors.HFValidationError, errors.RevisionResolutionError) as error:
            raise StartupError(FailureReason.INVALID_CONFIG, f"{self._uri}: {error}") from error
        except errors.HfHubHTTPError as error:
            raise _explain(self._uri, self._address, error, errors) from error
        except OSError as error:
            raise RetryableError(str(error)) from error
        except (ValueError, KeyError, TypeError) as error:
            raise StartupError(
                FailureReason.FETCH_FAILED, f"{self._uri}: {self._endpoint} doesn't answer as a hub does"
            ) from error
        except Exception as error:  # the library's HTTP client has errors of its own
            if not any(base.__name__ == "TransportError" for base in type(error).__mro__):
                raise
            raise translate(error, self._endpoint) from error


def _explain(uri: str, address: HubAddress, error: Any, errors: Any) -> Exception:
    """What a refusal means. The hub says 401 of what isn't there too, to those whom it doesn't know."""
    status = error.response.status_code if error.response is not None else 0
    if isinstance(error, errors.GatedRepoError):
        return StartupError(
            FailureReason.ACCESS_DENIED,
            f"{uri}: {address.repository} is gated: accept its terms at the hub; {_HINT}",
        )
    if isinstance(error, errors.RevisionNotFoundError):
        return StartupError(
            FailureReason.MODEL_NOT_FOUND, f"{uri}: {address.repository} has no revision {address.revision}"
        )
    if status in (401, 403):
        return StartupError(
            FailureReason.ACCESS_DENIED,
            f"{uri}: HTTP {status}: {address.repository} isn't there, or not for us: {_HINT}",
        )
    if isinstance(error, errors.RepositoryNotFoundError | errors.EntryNotFoundError) or status == 404:
        return StartupError(
            FailureReason.MODEL_NOT_FOUND, f"{uri}: the hub has no model {address.repository}"
        )
    text = f"HTTP {status} from the hub"
    return (
        RetryableError(text)
        if status == 429 or status >= 500
        else StartupError(FailureReason.FETCH_FAILED, f"{uri}: {text}")
    )


def _import_hub(ca: str | None) -> Any:
    """The library, told not to phone home, not to draw and not to write; these are read when it is imported."""
    for name in ("HF_HUB_DISABLE_TELEMETRY", "HF_HUB_DISABLE_PROGRESS_BARS", "HF_HUB_DISABLE_IMPLICIT_TOKEN"):
        os.environ.setdefault(name, "1")
    import huggingface_hub  # noqa: PLC0415
    import huggingface_hub.errors  # noqa: PLC0415
    import huggingface_hub.hf_api  # noqa: PLC0415

    context = make_context(ca)
    client = type(huggingface_hub.get_session())  # of the HTTP library that this version is built on
    huggingface_hub.set_client_factory(lambda: client(follow_redirects=True, timeout=30.0, verify=context))
    return huggingface_hub
