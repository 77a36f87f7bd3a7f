"""Images: the same input gives the same bytes, and a container's user can read what root can."""

import hashlib
import io
import json
import os
import tarfile
from pathlib import Path
from typing import Any

import pytest

from tools.images.mkimage import ImageConfig, Layer, read_images, write_image

TAG = "localhost/try:1"
CONFIG = ImageConfig(
    command=["serve"],
    entrypoint=["/bin/run"],
    env={"B": "2", "A": "1"},
    labels={"l": "v"},
    user="65532",
    workdir="/w",
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    (root / "bin").mkdir(parents=True)
    (root / "bin/run").write_text("#!/bin/sh\n")
    (root / "bin/run").chmod(0o700)
    (root / "bin/sh").symlink_to("run")
    (root / "secretive").write_text("x")
    (root / "secretive").chmod(0o600)
    os.link(root / "secretive", root / "twin")
    return root


def make(folder: Path, out: Path, **options: Any) -> str:
    layers = options.pop("layers", [Layer(((folder, "opt/x"),), "try")])
    return write_image(out, TAG, layers, options.pop("config", CONFIG), out.parent / "cache")


def read(archive: Path) -> tuple[dict[str, Any], list[tarfile.TarFile]]:
    """The image's config and its layers, by the OCI index; every blob has the digest of its name."""
    with tarfile.open(archive) as tar:
        blobs = {m.name: tar.extractfile(m).read() for m in tar}  # type: ignore[union-attr]
    for name, data in blobs.items():
        if name.startswith("blobs/"):
            assert name == f"blobs/sha256/{hashlib.sha256(data).hexdigest()}"

    def blob(entry: dict[str, Any]) -> bytes:
        data = blobs["blobs/sha256/" + entry["digest"].removeprefix("sha256:")]
        assert len(data) == entry["size"]
        return data

    manifest = json.loads(blob(json.loads(blobs["index.json"])["manifests"][0]))
    layers = [blob(layer) for layer in manifest["layers"]]
    config = json.loads(blob(manifest["config"]))
    assert config["rootfs"]["diff_ids"] == [f"sha256:{hashlib.sha256(layer).hexdigest()}" for layer in layers]
    docker = json.loads(blobs["manifest.json"])[0]
    assert docker["RepoTags"] == [TAG]
    assert [blobs[name] for name in docker["Layers"]] == layers
    assert json.loads(blobs[docker["Config"]]) == config
    return config, [tarfile.open(fileobj=io.BytesIO(layer)) for layer in layers]


def test_same_input_same_bytes(folder: Path, tmp_path: Path) -> None:
    first = make(folder, tmp_path / "a" / "image.tar")
    for file in folder.rglob("*"):
        os.utime(file, (1, 1), follow_symlinks=False)
    assert make(folder, tmp_path / "b" / "image.tar") == first
    assert (tmp_path / "a/image.tar").read_bytes() == (tmp_path / "b/image.tar").read_bytes()


def test_contents(folder: Path, tmp_path: Path) -> None:
    make(folder, tmp_path / "image.tar")
    config, (layer,) = read(tmp_path / "image.tar")
    members = {m.name: m for m in layer}
    assert list(members) == [
        "opt",
        "opt/x",
        "opt/x/secretive",
        "opt/x/twin",
        "opt/x/bin",
        "opt/x/bin/run",
        "opt/x/bin/sh",
    ]
    assert {(m.uid, m.gid, m.uname, m.mtime) for m in members.values()} == {(0, 0, "", 0)}
    assert config["config"] == {
        "Cmd": ["serve"],
        "Entrypoint": ["/bin/run"],
        "Env": ["A=1", "B=2"],
        "Labels": {"l": "v"},
        "User": "65532",
        "WorkingDir": "/w",
    }


def test_a_user_who_is_not_root_can_read_it(folder: Path, tmp_path: Path) -> None:
    make(folder, tmp_path / "image.tar")
    _, (layer,) = read(tmp_path / "image.tar")
    assert layer.getmember("opt/x/secretive").mode == 0o644
    assert layer.getmember("opt/x/bin/run").mode == 0o755


def test_links(folder: Path, tmp_path: Path) -> None:
    make(folder, tmp_path / "image.tar")
    _, (layer,) = read(tmp_path / "image.tar")
    assert layer.getmember("opt/x/bin/sh").linkname == "run"
    twin = layer.extractfile("opt/x/twin")
    assert twin is not None
    assert twin.read() == b"x", "a hard link is a file of its own"


def test_one_file_as_a_layer(folder: Path, tmp_path: Path) -> None:
    make(folder, tmp_path / "image.tar", layers=[Layer(((folder / "bin/run", "pause"),), "pause")])
    _, (layer,) = read(tmp_path / "image.tar")
    assert layer.getnames() == ["pause"]


def test_a_changed_file_changes_its_layer_alone(folder: Path, tmp_path: Path) -> None:
    code = tmp_path / "code"
    code.mkdir()
    (code / "a.py").write_text("1")
    layers = [Layer(((folder, ""),), "base"), Layer(((code, "app"),), "code")]
    make(folder, tmp_path / "image.tar", layers=layers)
    before = read(tmp_path / "image.tar")[0]["rootfs"]["diff_ids"]
    (code / "a.py").write_text("22")
    make(folder, tmp_path / "image.tar", layers=layers)
    after = read(tmp_path / "image.tar")[0]["rootfs"]["diff_ids"]
    assert before[0] == after[0]
    assert before[1] != after[1]


def test_an_unchanged_image_is_not_written_again(folder: Path, tmp_path: Path) -> None:
    archive = tmp_path / "image.tar"
    digest = make(folder, archive)
    before = archive.stat().st_ino
    assert make(folder, archive) == digest
    assert archive.stat().st_ino == before
    make(folder, archive, config=ImageConfig(["other"]))
    assert archive.stat().st_ino != before


def test_reading_what_an_archive_holds(folder: Path, tmp_path: Path) -> None:
    digest = make(folder, tmp_path / "image.tar")
    assert read_images(tmp_path / "image.tar") == {TAG: digest}
    (tmp_path / "broken.tar").write_bytes(b"no archive")
    assert read_images(tmp_path / "broken.tar") == {}
