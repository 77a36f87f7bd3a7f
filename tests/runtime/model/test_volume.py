"""`spec.cache.model.sizeLimit` is kept by who fetches: DiskFull, said at once, instead of a pod that is evicted later."""

import io
import os
import re
import tarfile
import zipfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import pytest

from tests.models import write_adder
from tests.runtime.model.fetching import failure, fetch, sha
from tests.runtime.model.file_server import FileServer, serving
from vinoserve_api.conditions import FailureReason
from vinoserve_runtime.errors import StartupError
from vinoserve_runtime.model.download import download
from vinoserve_runtime.model.sources.base import Listing, RemoteFile
from vinoserve_runtime.model.volume import BLOCK_BYTES, ModelVolume

LIMIT = 1 << 20
LARGE = bytes(10_800_000)


@pytest.fixture
def server() -> Iterator[FileServer]:
    with serving(FileServer(LARGE)) as running:
        yield running


def usage_of(folder: Path) -> int:
    """As the kubelet counts: what `du` says."""
    found = [folder, *folder.rglob("*")]
    return sum(path.lstat().st_blocks * 512 for path in found)


def needed_of(error: StartupError) -> int:
    assert error.reason == FailureReason.DISK_FULL, error
    (needed,) = re.findall(r"needs (?:more than )?(\d+) bytes", str(error))
    return int(needed)


def pack(folder: Path, kind: str, **more: bytes) -> bytes:
    """A model that is 1 MB unpacked, and next to nothing packed."""
    write_adder(folder / "m.onnx")
    members = {"m.onnx": (folder / "m.onnx").read_bytes(), "more": bytes(1 << 20), **more}
    packed = io.BytesIO()
    if kind == "zip":
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in members.items():
                archive.writestr(name, content)
        return packed.getvalue()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return packed.getvalue()


def test_a_model_beyond_the_limit_is_refused_before_it_is_downloaded(
    tmp_path: Path, server: FileServer
) -> None:
    error = failure(tmp_path, f"{server.url}/m.onnx", digest=sha(LARGE), size_limit=LIMIT)
    assert len(LARGE) < needed_of(error) < len(LARGE) + 10 * BLOCK_BYTES
    assert f"spec.cache.model.sizeLimit is {LIMIT} bytes: write 11Mi or more" in str(error)
    assert [headers["range"] for _, headers in server.requests] == ["bytes=0-0"]
    assert usage_of(tmp_path / "models") < LIMIT


def test_what_the_failure_asks_for_is_enough(tmp_path: Path) -> None:
    content = write_adder(tmp_path / "m.onnx").read_bytes()
    with serving(FileServer(content)) as server:
        uri = f"{server.url}/m.onnx"
        needed = needed_of(failure(tmp_path, uri, digest=sha(content), size_limit=1))
        failure(tmp_path, uri, digest=sha(content), size_limit=needed - 1)
        fetch(tmp_path, uri, digest=sha(content), size_limit=needed)
    assert usage_of(tmp_path / "models") <= needed


@pytest.mark.parametrize("kind", ["tar", "zip"])
def test_an_archive_needs_room_for_what_is_in_it_too(tmp_path: Path, kind: str) -> None:
    content = pack(tmp_path, kind)
    with serving(FileServer(content)) as server:
        uri = f"{server.url}/m"
        error = failure(tmp_path, uri, digest=sha(content), size_limit=LIMIT)
        assert usage_of(tmp_path / "models") < LIMIT
        needed = needed_of(error)
        assert needed > LIMIT + len(content)
        fetch(tmp_path, uri, digest=sha(content), size_limit=needed)
    assert usage_of(tmp_path / "models") <= needed


def test_an_archive_of_a_claim_is_unpacked_within_the_limit(tmp_path: Path) -> None:
    (tmp_path / "claim").mkdir()
    (tmp_path / "claim/m.zip").write_bytes(pack(tmp_path, "zip"))
    assert needed_of(failure(tmp_path, "pvc://data/m.zip", size_limit=LIMIT)) > LIMIT
    fetch(tmp_path, "pvc://data/m.zip", size_limit=2 * LIMIT)


def test_an_archive_that_claims_to_be_endless_is_not_counted_to_its_end(tmp_path: Path) -> None:
    (tmp_path / "claim").mkdir()
    (tmp_path / "claim/m.zip").write_bytes(pack(tmp_path, "zip", zeros=bytes(20 << 20)))
    error = failure(tmp_path, "pvc://data/m.zip", size_limit=LIMIT)
    assert error.reason == FailureReason.UNSAFE_ARCHIVE


class Endless:
    """A source that doesn't say how much it has."""

    def find(self) -> Listing:
        file = RemoteFile("m.onnx", size=None, version=None, parallel=False)
        return Listing((file,), named="m.onnx", revision=None)

    def read(
        self, _file: RemoteFile, _start: int, _stop: int | None
    ) -> AbstractContextManager[Iterator[bytes]]:
        return nullcontext(bytes(1 << 16) for _ in range(10_000))

    def close(self) -> None:
        pass


def test_of_a_model_of_unknown_size_no_more_is_taken_than_fits(tmp_path: Path) -> None:
    with pytest.raises(StartupError) as caught:
        download(Endless(), tmp_path / "download/parts", "https://there/m", ModelVolume(tmp_path, LIMIT))
    assert needed_of(caught.value) > LIMIT
    assert "raise it" in str(caught.value)
    assert usage_of(tmp_path) < LIMIT


def test_what_a_killed_run_has_left_takes_no_room(tmp_path: Path) -> None:
    content = pack(tmp_path, "tar")
    for name in ("content", "download/tree", "download/tree.layer", ".unpack-1"):
        (tmp_path / "models" / name).mkdir(parents=True)
        (tmp_path / "models" / name / "left").write_bytes(os.urandom(LIMIT))
    with serving(FileServer(content)) as server:
        fetched = fetch(tmp_path, f"{server.url}/m", digest=sha(content), size_limit=2 * LIMIT)
    assert Path(fetched.path).name == "m.onnx"


def test_without_a_limit_nothing_is_counted(tmp_path: Path, server: FileServer) -> None:
    volume = ModelVolume(tmp_path)
    assert volume.fits(1 << 60)
    assert volume.measure() == 0
