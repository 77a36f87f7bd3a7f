"""Make a container image without a container engine: folders and files in, one archive out.

The archive carries both the OCI index and docker's manifest.json, so `ctr images import`, `podman load` and
`docker load` take it. The same input gives the same bytes: owners are root, times are fixed, order is by name.
"""

import hashlib
import io
import json
import os
import platform
import tarfile
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO, Any

OCI = "application/vnd.oci.image."
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


@dataclass(frozen=True)
class Layer:
    """One layer: what is under each source (a folder's contents, or one file) at its path in the image."""

    sources: tuple[tuple[Path, str], ...]
    note: str  # shown in the image's history


@dataclass(frozen=True)
class ImageConfig:
    """How a container of the image starts."""

    command: Sequence[str]
    entrypoint: Sequence[str] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    user: str = ""
    workdir: str = "/"

    def to_oci(self) -> dict[str, Any]:
        config = {
            "Cmd": list(self.command),
            "Entrypoint": list(self.entrypoint),
            "Env": [f"{k}={v}" for k, v in sorted(self.env.items())],
            "Labels": dict(self.labels),
            "User": self.user,
            "WorkingDir": self.workdir,
        }
        return {k: v for k, v in config.items() if v}


def write_image(out: Path, tag: str, layers: Sequence[Layer], config: ImageConfig, cache: Path) -> str:
    """Write the image archive to `out`, unless it is that already, and return the image's digest.

    `cache` keeps the layers' archives: a layer whose files' names, modes, sizes and times are unchanged is not read again.
    """
    cache.mkdir(parents=True, exist_ok=True)
    blobs = [_make_layer(layer, cache) for layer in layers]
    documents: dict[str, bytes] = {}

    def document(content: object) -> tuple[str, int]:
        data = json.dumps(content, sort_keys=True).encode()
        digest = hashlib.sha256(data).hexdigest()
        documents[f"blobs/sha256/{digest}"] = data
        return digest, len(data)

    arch = ARCHITECTURES.get(platform.machine(), platform.machine())
    config_digest, config_size = document(
        {
            "architecture": arch,
            "os": "linux",
            "config": config.to_oci(),
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}" for digest, _ in blobs]},
            "history": [{"created_by": layer.note} for layer in layers],
        }
    )
    manifest_digest, manifest_size = document(
        {
            "schemaVersion": 2,
            "mediaType": f"{OCI}manifest.v1+json",
            "config": {
                "mediaType": f"{OCI}config.v1+json",
                "digest": f"sha256:{config_digest}",
                "size": config_size,
            },
            "layers": [
                {"mediaType": f"{OCI}layer.v1.tar", "digest": f"sha256:{digest}", "size": size}
                for digest, size in blobs
            ],
        }
    )
    index = {
        "schemaVersion": 2,
        "manifests": [
            {
                "mediaType": f"{OCI}manifest.v1+json",
                "digest": f"sha256:{manifest_digest}",
                "size": manifest_size,
                "platform": {"architecture": arch, "os": "linux"},
                "annotations": {"io.containerd.image.name": tag, "org.opencontainers.image.ref.name": tag},
            }
        ],
    }
    docker = [
        {
            "Config": f"blobs/sha256/{config_digest}",
            "RepoTags": [tag],
            "Layers": [f"blobs/sha256/{digest}" for digest, _ in blobs],
        }
    ]
    documents["oci-layout"] = b'{"imageLayoutVersion":"1.0.0"}'
    documents["index.json"] = json.dumps(index, sort_keys=True).encode()
    documents["manifest.json"] = json.dumps(docker, sort_keys=True).encode()
    if read_index(out) != index:
        _write_archive(out, documents, {f"blobs/sha256/{digest}": cache / digest for digest, _ in blobs})
    return f"sha256:{manifest_digest}"


def read_index(archive: Path) -> dict[str, Any] | None:
    """The OCI index of an image archive; None where there is none that can be read."""
    try:
        with tarfile.open(archive) as tar:
            file = tar.extractfile("index.json")
            return json.load(file) if file else None
    except (OSError, KeyError, tarfile.TarError, ValueError):
        return None


def read_images(archive: Path) -> dict[str, str]:
    """Tag -> digest of the images in an archive made by `write_image`; {} for another's."""
    manifests = (read_index(archive) or {}).get("manifests", [])
    names = [(m.get("annotations", {}).get("io.containerd.image.name"), m["digest"]) for m in manifests]
    return {name: digest for name, digest in names if name}


def _write_archive(out: Path, documents: Mapping[str, bytes], files: Mapping[str, Path]) -> None:
    """One tar, by name, written beside `out` and renamed."""
    out.parent.mkdir(parents=True, exist_ok=True)
    part = out.with_name(f".{out.name}.{os.getpid()}")
    try:
        with tarfile.open(part, "w", format=tarfile.PAX_FORMAT) as tar:
            for name in sorted({*documents, *files}):
                info = tarfile.TarInfo(name)
                if name in documents:
                    info.size = len(documents[name])
                    tar.addfile(info, io.BytesIO(documents[name]))
                else:
                    info.size = files[name].stat().st_size
                    with files[name].open("rb") as file:
                        tar.addfile(info, file)
        part.rename(out)
    finally:
        part.unlink(missing_ok=True)


def _make_layer(layer: Layer, cache: Path) -> tuple[str, int]:
    """The layer's archive in `cache`, named by its digest; returns (digest, size in bytes)."""
    entries = [entry for source, dest in layer.sources for entry in _walk(source, dest.strip("/"))]
    key = hashlib.sha256()
    for path, name in entries:
        stat = path.lstat()
        key.update(repr((name, str(path), stat.st_mode, stat.st_size, stat.st_mtime_ns)).encode())
    note = cache / f"{key.hexdigest()}.layer"
    if note.exists():
        digest, size = note.read_text().split()
        if (cache / digest).exists():
            return digest, int(size)
    with tempfile.NamedTemporaryFile(dir=cache, delete=False) as temporary:
        try:
            out = _Hashed(temporary)
            with tarfile.open(fileobj=out, mode="w|", format=tarfile.PAX_FORMAT, bufsize=1 << 20) as tar:
                _add_entries(tar, entries)
            digest = out.sha256.hexdigest()
            Path(temporary.name).rename(cache / digest)
        except BaseException:
            Path(temporary.name).unlink(missing_ok=True)
            raise
    note.write_text(f"{digest} {out.size}")
    return digest, out.size


def _walk(source: Path, dest: str) -> Iterator[tuple[Path, str]]:
    """(file, name in the image), parents first, in a fixed order."""
    if not source.is_dir():
        yield source, dest
        return
    for here, dirs, files in os.walk(source):
        base = Path(here)
        relative = base.relative_to(source)
        links = [d for d in dirs if (base / d).is_symlink()]
        dirs[:] = sorted(d for d in dirs if d not in links)
        if relative.parts or dest:
            yield base, str(PurePosixPath(dest) / relative)
        for name in sorted(files + links):
            yield base / name, str(PurePosixPath(dest) / relative / name)


def _add_entries(tar: tarfile.TarFile, entries: Sequence[tuple[Path, str]]) -> None:
    made: set[str] = set()
    for path, name in entries:
        for parent in reversed(PurePosixPath(name).parents[:-1]):
            if str(parent) not in made:
                made.add(str(parent))
                info = tarfile.TarInfo(str(parent))
                info.type, info.mode = tarfile.DIRTYPE, 0o755
                tar.addfile(info)
        if name in made:
            continue
        made.add(name)
        info = tar.gettarinfo(path, name)
        if info is None:  # a socket: tar has no such thing, and an image no use for it
            continue
        if info.islnk():  # a hard link whose other name may be outside the layer
            info.type, info.size = tarfile.REGTYPE, path.lstat().st_size
        info.mtime = info.uid = info.gid = 0
        info.uname = info.gname = ""
        info.mode |= (info.mode & 0o500) >> 3 | (
            info.mode & 0o500
        ) >> 6  # a user that is not root reads what root reads
        if info.isreg():
            with path.open("rb") as file:
                tar.addfile(info, file)
        else:
            tar.addfile(info)


class _Hashed(io.RawIOBase):
    """Write through to a file, hashing and counting on the way."""

    def __init__(self, file: "IO[bytes] | tempfile._TemporaryFileWrapper[bytes]") -> None:
        self.file, self.sha256, self.size = file, hashlib.sha256(), 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self.sha256.update(data)
        self.size += len(data)
        return self.file.write(data)
