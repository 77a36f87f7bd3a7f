"""Images and artifacts of any form into a registry of the tests."""

import gzip
import hashlib
import io
import json
import platform
import tarfile
from typing import Any

import httpx

from tests.servers_fixture import Registry

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
TAR = "application/vnd.oci.image.layer.v1.tar"


class Pusher:
    """Pushes what no tool would, too. Gives digests."""

    def __init__(self, registry: Registry, repository: str) -> None:
        self.uri = f"oci://{registry.host}/{repository}"
        self._base = f"{registry.endpoint}/v2/{repository}"
        self._auth = (registry.username, registry.password) if registry.username else None

    def _ask(self, method: str, path: str, **options: Any) -> httpx.Response:
        with httpx.Client(base_url=self._base, auth=self._auth, trust_env=False) as client:
            return client.request(method, path, **options)

    def blob(self, content: bytes) -> str:
        digest = sha(content)
        begun = self._ask("POST", "/blobs/uploads/")
        assert begun.status_code == 202, begun.text
        done = self._ask(
            "PUT",
            begun.headers["Location"] + "&digest=" + digest,
            content=content,
            headers={"Content-Type": "application/octet-stream"},
        )
        assert done.status_code == 201, done.text
        return digest

    def image(self, tag: str, *archives: bytes) -> str:
        """An image for this machine, of layers by `tar`."""
        config = {
            "os": "linux",
            "architecture": {"x86_64": "amd64", "aarch64": "arm64"}[platform.machine()],
            "rootfs": {"type": "layers", "diff_ids": [sha(gzip.decompress(packed)) for packed in archives]},
        }
        layers = [self.layer(packed) for packed in archives]
        return self.manifest(tag, *layers, config=json.dumps(config).encode())

    def manifest(self, tag: str, *layers: dict[str, Any], config: bytes = b"{}") -> str:
        document = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": {
                "mediaType": "application/vnd.oci.image.config.v1+json",
                "digest": self.blob(config),
                "size": len(config),
            },
            "layers": layers,
        }
        return self.document(tag, document, MANIFEST)

    def document(self, tag: str, document: dict[str, Any], kind: str) -> str:
        body = json.dumps(document).encode()
        put = self._ask("PUT", f"/manifests/{tag}", content=body, headers={"Content-Type": kind})
        assert put.status_code == 201, put.text
        return sha(body)

    def layer(self, content: bytes, kind: str = f"{TAR}+gzip", title: str | None = None) -> dict[str, Any]:
        layer = {"mediaType": kind, "digest": self.blob(content), "size": len(content)}
        return layer | ({"annotations": {"org.opencontainers.image.title": title}} if title else {})


def sha(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def tar(files: dict[str, bytes], mode: str = "w:gz") -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode) as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return out.getvalue()
