"""Manifests of OCI and Docker images and of artifacts: which of their layers make up a model, and how. Pure."""

import json
import platform
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from vinoserve_api.conditions import FailureReason
from vinoserve_runtime.errors import StartupError

INDEXES: Final = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
MANIFESTS: Final = (
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
_TITLE: Final = "org.opencontainers.image.title"
_UNPACK: Final = "io.deis.oras.content.unpack"
_PACKED: Final = (
    "application/vnd.oci.image.layer.v1.tar+gzip",
    "application/vnd.docker.image.rootfs.diff.tar.gzip",
)
"""Folders, also where there is a title: oras' Python client says so by nothing else."""
_TARS: Final = (
    *_PACKED,
    "application/vnd.oci.image.layer.v1.tar",  # with a title: any file, as oras pushes it
    "application/vnd.docker.image.rootfs.diff.tar",
)
_ARCHITECTURES: Final = {"x86_64": "amd64", "aarch64": "arm64"}


@dataclass(frozen=True)
class Layer:
    """A blob: a file of that `title`, or an archive of the model's files."""

    digest: str
    size: int
    title: str
    is_archive: bool


def read_document(body: bytes, what: str) -> Mapping[str, Any]:
    """Raises ModelInvalid where it is no JSON object."""
    try:
        document = json.loads(body)
    except ValueError as error:
        raise _invalid(what, "its manifest is no JSON") from error
    if not isinstance(document, dict):
        raise _invalid(what, "its manifest is no JSON object")
    return document


def is_index(document: Mapping[str, Any]) -> bool:
    return document.get("mediaType") in INDEXES or "manifests" in document


def choose_manifest(document: Mapping[str, Any], what: str) -> str:
    """The digest, in an index, of the one for this machine; of the only one where none says what it is for."""
    entries = [entry for entry in _objects(document, "manifests") if _is_image(entry)]
    here = _ARCHITECTURES.get(platform.machine(), platform.machine())
    fitting = [entry for entry in entries if _platform(entry) in (("linux", here), (None, None))]
    if len(entries) == 1 or fitting:
        return _digest(fitting[0] if fitting else entries[0], what)
    offered = ", ".join(sorted({"/".join(map(str, _platform(entry))) for entry in entries})) or "none"
    raise _invalid(what, f"there is no image for linux/{here} in it, only: {offered}")


def list_layers(document: Mapping[str, Any], what: str) -> list[Layer]:
    """In the order in which they are laid over each other. Raises ModelInvalid for what holds no files."""
    layers = [_make_layer(number, layer, what) for number, layer in enumerate(_objects(document, "layers"))]
    if not layers:
        raise _invalid(what, "it has no layers: push the model's files, or an image of them")
    return layers


def _make_layer(number: int, layer: Mapping[str, Any], what: str) -> Layer:
    kind, annotations = layer.get("mediaType"), _object(layer, "annotations")
    title = annotations.get(_TITLE)
    is_archive = annotations.get(_UNPACK) == "true" or title is None or kind in _PACKED
    if title is None and kind not in _TARS:
        raise _invalid(
            what,
            f"layer {number} is {kind}, neither a file with a title (as `oras push` makes it) nor a tar of an image, "
            "plain or with gzip",
        )
    size = layer.get("size")
    if type(size) is not int or size < 0 or not isinstance(title, str | None) or title == "":
        raise _invalid(what, f"layer {number} has no right size or title")
    return Layer(_digest(layer, what), size, title or f"layer-{number}.tar", is_archive)


def _digest(entry: Mapping[str, Any], what: str) -> str:
    digest = entry.get("digest")
    if not isinstance(digest, str) or not re.fullmatch("sha256:[0-9a-f]{64}", digest):
        raise _invalid(what, f"a digest in its manifest is none of sha256: {str(digest)[:100]}")
    return digest


def _is_image(entry: Mapping[str, Any]) -> bool:
    """Not an attestation, which builders list beside the image."""
    return _platform(entry)[1] != "unknown" and entry.get("mediaType", MANIFESTS[0]) in (*MANIFESTS, *INDEXES)


def _platform(entry: Mapping[str, Any]) -> tuple[str | None, str | None]:
    found = _object(entry, "platform")
    return found.get("os"), found.get("architecture")


def _object(document: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    found = document.get(key)
    return found if isinstance(found, dict) else {}


def _objects(document: Mapping[str, Any], key: str) -> list[Mapping[str, Any]]:
    found = document.get(key)
    return [entry for entry in found if isinstance(entry, dict)] if isinstance(found, list) else []


def _invalid(what: str, why: str) -> StartupError:
    return StartupError(FailureReason.MODEL_INVALID, f"{what}: {why}")
