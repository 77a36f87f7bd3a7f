"""Get the model that the spec names: found or downloaded, verified, unpacked; the result is `fetched.json`."""

import errno
import re
import shutil
from contextlib import closing
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote, urlsplit

from vinoserve_api.conditions import FailureReason
from vinoserve_api.contract import ModelSource
from vinoserve_runtime.errors import StartupError
from vinoserve_runtime.model.digest import Progress, digest_path, size_of
from vinoserve_runtime.model.fetched import FILE_NAME, Fetched, read_fetched, write_fetched
from vinoserve_runtime.model.find import find_model, tell_format
from vinoserve_runtime.model.kinds import SUFFIXES, list_parts
from vinoserve_runtime.model.layers import apply_layer
from vinoserve_runtime.model.sources import SCHEMES
from vinoserve_runtime.model.unpack import UNFINISHED, is_archive, unpack
from vinoserve_runtime.model.urls import show_uri
from vinoserve_runtime.model.volume import ModelVolume

if TYPE_CHECKING:
    from vinoserve_runtime.model.download import Downloaded

_UNSAFE: Final = re.compile(r"[^A-Za-z0-9_.-]+")
_CONTENT: Final = "content"
_DOWNLOAD: Final = "download"
_PARTS: Final = "parts"


def fetch_model(
    source: ModelSource,
    *,
    model_dir: Path,
    claim_dir: Path,
    credentials_dir: Path,
    image_dir: Path | None = None,
    size_limit: int | None = None,
    progress: Progress | None = None,
) -> Fetched:
    """Idempotent: the same uri and digest with an intact result is left as it is. Raises StartupError.

    `image_dir`: where the node has mounted the image of an oci: uri; None where it is to be pulled. `size_limit`: bytes that
    `model_dir` may ever hold, archives beside what is in them.
    """
    try:
        volume = ModelVolume(model_dir, size_limit)
        return _fetch(source, volume, claim_dir, credentials_dir, image_dir=image_dir, progress=progress)
    except OSError as error:
        is_full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        raise StartupError(
            FailureReason.DISK_FULL if is_full else FailureReason.FETCH_FAILED,
            f"{show_uri(source.uri)}: {error.filename or model_dir}: {error.strerror or error}",
        ) from error


def _fetch(
    source: ModelSource,
    volume: ModelVolume,
    claim_dir: Path,
    credentials_dir: Path,
    *,
    image_dir: Path | None,
    progress: Progress | None,
) -> Fetched:
    started, model_dir = monotonic(), volume.folder
    model_dir.mkdir(parents=True, exist_ok=True)
    before = read_fetched(model_dir)
    if before is not None and _is_still_right(source, before):
        return before
    (model_dir / FILE_NAME).unlink(missing_ok=True)
    _clear(model_dir)
    scheme = urlsplit(source.uri).scheme
    mounted = image_dir if scheme == "oci" else None
    is_ours, revision = scheme in SCHEMES and mounted is None, None
    if is_ours:
        named, digest, revision = _download(source, volume, credentials_dir, progress)
    else:
        named = mounted or _resolve(source.uri, claim_dir)
        if mounted is not None:
            _check_mounted(mounted, source.uri)
            # what a tag stood for, only the node knows
            revision = source.uri.partition("@")[2] or None
        digest = digest_path(named, progress)
        _verify(source, digest)
    is_packed = named.is_file() and is_archive(named)
    root = _lay_out(source, named, volume, is_ours=is_ours)
    path, found = find_model(root, source.format, show_uri(source.uri))
    fetched = Fetched(
        uri=source.uri,
        path=str(path),
        root=str(root),
        format=found,
        digest=digest,
        revision=revision,
        content_digest=digest_path(root) if is_packed else digest,
        size_bytes=size_of(root) if root.is_dir() else sum(part.stat().st_size for part in list_parts(path)),
        seconds=round(monotonic() - started, 3),
        warnings=_make_warnings(source, path, named),
    )
    write_fetched(model_dir, fetched)
    return fetched


def _clear(model_dir: Path) -> None:
    """Of what an earlier run has left only parts are of use; all else would take room that the model needs."""
    left = [path for path in (model_dir / _DOWNLOAD).glob("*") if path.name != _PARTS]
    for path in (model_dir / _CONTENT, *model_dir.glob(f"{UNFINISHED}*"), *left):
        shutil.rmtree(path, ignore_errors=True)


def verify_again(source: ModelSource, fetched: Fetched) -> None:
    """What is served must still be what was fetched; a claim or a folder may have changed since. Raises DigestMismatch."""
    if source.digest is not None:
        need_unchanged(fetched)


def need_unchanged(fetched: Fetched) -> None:
    """What is loaded again must be what was served before. Raises DigestMismatch."""
    if not _is_intact(fetched):
        raise StartupError(
            FailureReason.DIGEST_MISMATCH,
            f"{fetched.root} has changed since it was fetched: its digest is not {fetched.content_digest} any more",
        )


def _is_still_right(source: ModelSource, before: Fetched) -> bool:
    return (
        before.uri == source.uri
        and source.digest in (None, before.digest)
        and source.format in (None, before.format)
        and _is_intact(before)
    )


def _is_intact(fetched: Fetched) -> bool:
    try:
        return digest_path(Path(fetched.root)) == fetched.content_digest and Path(fetched.path).is_file()
    except (OSError, StartupError):
        return False


def _verify(source: ModelSource, digest: str) -> None:
    if source.digest is not None and digest != source.digest:
        raise StartupError(
            FailureReason.DIGEST_MISMATCH,
            f"spec.model.digest is {source.digest}, but {show_uri(source.uri)} has {digest}",
        )


def _download(
    source: ModelSource, volume: ModelVolume, credentials_dir: Path, progress: Progress | None
) -> tuple[Path, str, str | None]:
    """What was downloaded and verified, archives still packed: a file or a folder; its digest; its revision."""
    if source.uri.startswith("http:") and source.digest is None:
        raise StartupError(
            FailureReason.INVALID_CONFIG,
            "spec.model.digest: needed with http://, which anybody on the way can change",
        )
    # a pod that serves what its init container fetched needs no clients: 0.2 s and more of its start
    from vinoserve_runtime.model.download import download  # noqa: PLC0415
    from vinoserve_runtime.model.sources import open_source  # noqa: PLC0415
    from vinoserve_runtime.model.sources.access import Access  # noqa: PLC0415

    folder, shown = volume.folder / _DOWNLOAD, show_uri(source.uri)
    with closing(open_source(source.uri, Access(credentials_dir))) as remote:
        for is_last in (False, True):
            got = download(remote, folder / _PARTS, shown, volume, progress)
            named = _put_in_place(got, folder / "tree", volume)
            digest = digest_path(named)
            if source.digest in (None, digest):
                break
            shutil.rmtree(folder)
            if is_last or not got.resumed:
                break
            # the beginning was of another version, and the server didn't say so: once more, from the first byte
    _verify(source, digest)
    return named, digest, got.listing.revision


def _put_in_place(got: "Downloaded", tree: Path, volume: ModelVolume) -> Path:
    """Give the complete parts their names below `tree`, and unpack layers there; what the uri names of them."""
    for file in got.listing.files:
        part, target = got.parts[file.path], tree / file.path
        if file.is_layer:
            apply_layer(part, tree, volume)
            part.unlink()
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        part.rename(target)
    return tree / got.listing.named if got.listing.named else tree


def _lay_out(source: ModelSource, named: Path, volume: ModelVolume, *, is_ours: bool) -> Path:
    """Where the model is: in place or, if it was downloaded or is an archive, in the volume."""
    content = volume.folder / _CONTENT
    if not is_ours and (named.is_dir() or not is_archive(named)):
        return named
    tree = volume.folder / _DOWNLOAD / "tree"
    if named.is_dir():
        named.rename(content)
        root = content
    elif is_archive(named):
        unpack(named, content, volume)
        root = content
    else:
        name = _make_file_name(source, named)
        named.rename(named.with_name(name))
        tree.rename(content)
        root = content / name
    if is_ours:
        shutil.rmtree(volume.folder / _DOWNLOAD)
    return root


def _make_file_name(source: ModelSource, downloaded: Path) -> str:
    """The name that it has or that the uri ends in, with the suffix that OpenVINO tells the format from."""
    name = _UNSAFE.sub("_", Path(unquote(urlsplit(source.uri).path)).name).lstrip(".") or "model"
    suffix = SUFFIXES[source.format or tell_format(downloaded, name)]
    if downloaded.name.endswith(suffix):  # weights beside it are found by its name
        return downloaded.name
    return name if name.endswith(suffix) else name + suffix


def _check_mounted(image: Path, uri: str) -> None:
    """Of an artifact's single files containerd mounts nothing at all, and says nothing of it."""
    if not any(image.iterdir()):
        raise StartupError(
            FailureReason.MODEL_INVALID,
            f"{uri} has no files where the node has mounted it: push it as an image, made by a Containerfile with "
            "`FROM scratch` and `COPY model /`; files of `oras push` can't be mounted",
        )


def _resolve(uri: str, claim_dir: Path) -> Path:
    """The path of a file: or pvc: uri. Raises ModelNotFound, also where a claim's path leads out of the claim."""
    parts = urlsplit(uri)
    path = Path(unquote(parts.path))
    if parts.scheme == "pvc":
        root = claim_dir.resolve()
        inside = (root / str(path).lstrip("/")).resolve()
        if not inside.is_relative_to(root):
            raise StartupError(
                FailureReason.MODEL_NOT_FOUND, f"{uri} leads out of the claim, by a symbolic link or .."
            )
        path = inside
    elif parts.scheme != "file":
        raise StartupError(
            FailureReason.INVALID_CONFIG,
            f"spec.model.uri: {uri} is none of hf://, s3://, gs://, az://, https://, http://, pvc:// and file:",
        )
    path = path.absolute()
    try:
        exists = path.is_file() or path.is_dir()
    except OSError as error:
        raise StartupError(
            FailureReason.MODEL_NOT_FOUND, f"spec.model.uri: {uri}: {error.strerror}"
        ) from error
    if not exists:
        raise StartupError(
            FailureReason.MODEL_NOT_FOUND, f"spec.model.uri: {uri}: {path} is not there, or not readable"
        )
    return path


def _make_warnings(source: ModelSource, path: Path, named: Path) -> tuple[str, ...]:
    beside = ", ".join(part.name for part in list_parts(path)[1:])
    if source.digest is not None and path == named and beside:
        return (f"spec.model.digest covers {path.name} alone, not {beside}: name the folder, and its digest",)
    return ()
