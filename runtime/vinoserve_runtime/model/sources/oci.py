"""`oci://HOST/REPOSITORY:TAG`: an artifact as `oras push` makes it, or an image whose layers hold the model's files.

In a cluster the node pulls it and mounts it as a volume; this is for where there is none.
"""

import hashlib
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Final

from vinoserve_api.conditions import FailureReason
from vinoserve_runtime.errors import StartupError
from vinoserve_runtime.model.sources.access import CA, Access
from vinoserve_runtime.model.sources.base import Listing, RemoteFile
from vinoserve_runtime.model.sources.manifest import (
    INDEXES,
    MANIFESTS,
    choose_manifest,
    is_index,
    list_layers,
    read_document,
)
from vinoserve_runtime.model.sources.reference import parse_reference
from vinoserve_runtime.model.sources.registry_auth import HINT, RegistryAuth, find_login
from vinoserve_runtime.model.sources.web import Web

MAX_MANIFEST_BYTES: Final = 4 * 2**20
"""What registries take at most."""


class OciSource:
    def __init__(self, uri: str, access: Access) -> None:
        self._uri = uri
        self._reference = parse_reference(uri)
        auth = RegistryAuth(self._reference, find_login(self._reference, access))
        self._web = Web(auth, access.ca, HINT)
        # plain HTTP for a registry on this very machine, unless it has a certificate
        scheme = "http" if self._reference.is_loopback and access.document(CA) is None else "https"
        self._base = f"{scheme}://{self._reference.api}/v2/{self._reference.repository}"
        self._digests: dict[str, str] = {}

    def find(self) -> Listing:
        digest, body = self._get_manifest(self._reference.version)
        document = read_document(body, self._uri)
        if is_index(document):
            _, body = self._get_manifest(choose_manifest(document, self._uri))
            document = read_document(body, self._uri)
        layers = list_layers(document, self._uri)
        self._digests = {layer.title: layer.digest for layer in layers}
        if len(self._digests) != len(layers):
            raise StartupError(FailureReason.MODEL_INVALID, f"{self._uri} has two layers of one title")
        files = tuple(
            RemoteFile(
                layer.title,
                layer.size,
                layer.digest,
                parallel=True,
                sha256=layer.digest.removeprefix("sha256:"),
                is_layer=layer.is_archive,
            )
            for layer in layers
        )
        return Listing(files, None, digest)

    def read(self, file: RemoteFile, start: int, stop: int | None) -> AbstractContextManager[Iterator[bytes]]:
        return self._web.read(f"{self._base}/blobs/{self._digests[file.path]}", file, start, stop, None)

    def close(self) -> None:
        self._web.close()

    def _get_manifest(self, version: str) -> tuple[str, bytes]:
        """Its digest, which is that of the bytes whatever the registry says, and the bytes."""
        try:
            body = self._web.get(
                f"{self._base}/manifests/{version}",
                {"Accept": ", ".join((*MANIFESTS, *INDEXES))},
                MAX_MANIFEST_BYTES,
            )
        except StartupError as error:
            if error.reason != FailureReason.MODEL_NOT_FOUND:
                raise
            raise StartupError(
                FailureReason.MODEL_NOT_FOUND,
                f"{self._uri}: {self._reference.host} has no {version} in {self._reference.repository}",
            ) from error
        digest = f"sha256:{hashlib.sha256(body).hexdigest()}"
        if version.startswith("sha256:") and version != digest:
            raise StartupError(
                FailureReason.DIGEST_MISMATCH,
                f"{self._uri}: asked for {version}, the registry sent a manifest of {digest}",
            )
        return digest, body
