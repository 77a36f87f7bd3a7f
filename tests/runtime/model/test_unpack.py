"""Hostile archives are refused, and leave nothing behind, inside or outside."""

import io
import stat
import tarfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vinoserve_api.conditions import FailureReason
from vinoserve_runtime.errors import StartupError
from vinoserve_runtime.model import unpack as unpack_module
from vinoserve_runtime.model.unpack import is_archive, unpack
from vinoserve_runtime.model.volume import ModelVolume

MODES = {".tar": "w", ".tar.gz": "w:gz", ".tar.bz2": "w:bz2", ".tar.xz": "w:xz"}


def write_tar(path: Path, members: list[tarfile.TarInfo | tuple[str, bytes]], mode: str = "w") -> Path:
    with tarfile.open(path, mode) as tar:  # type: ignore[call-overload]
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                tar.addfile(member)
            else:
                info = tarfile.TarInfo(member[0])
                info.size = len(member[1])
                tar.addfile(info, io.BytesIO(member[1]))
    return path


def write_zip(path: Path, members: list[zipfile.ZipInfo | tuple[str, bytes]]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for member in members:
            if isinstance(member, zipfile.ZipInfo):
                archive.writestr(member, b"target")
            else:
                archive.writestr(*member)
    return path


def special(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


@pytest.mark.parametrize("suffix", [*MODES, ".zip"])
def test_every_kind_of_archive_is_unpacked_whatever_it_is_called(tmp_path: Path, suffix: str) -> None:
    members = [("net/m.xml", b"<net/>"), ("net/m.bin", b"\0" * 1000)]
    path = tmp_path / "download.part"
    if suffix == ".zip":
        write_zip(path, [*members])
    else:
        write_tar(path, [*members], MODES[suffix])
    assert is_archive(path)
    unpack(path, tmp_path / "content", ModelVolume(tmp_path))
    files = {
        p.relative_to(tmp_path / "content").as_posix(): p.read_bytes()
        for p in (tmp_path / "content").rglob("*.*")
    }
    assert files == dict(members)


LINK = zipfile.ZipInfo("m.bin")
LINK.external_attr = (stat.S_IFLNK | 0o777) << 16
NAMES = ["../evil", "a/../../evil", "/evil", "a/..", "..\\evil", "x" * 300 + "/y"]


@pytest.mark.parametrize(
    "members",
    [
        [special("m.bin", tarfile.SYMTYPE, "/etc/passwd")],
        [special("m", tarfile.SYMTYPE, ".."), ("m/evil", b"x")],
        [special("m.bin", tarfile.LNKTYPE, "../secret")],
        [special("m.bin", tarfile.CHRTYPE)],
        [special("m.bin", tarfile.BLKTYPE)],
        [special("m.bin", tarfile.FIFOTYPE)],
        [("m", b"1"), ("m", b"2")],
        [("m", b"1"), ("m/x", b"2")],
        *[[(name, b"x")] for name in NAMES],
    ],
)
def test_a_hostile_tar_is_refused(tmp_path: Path, members: list[tarfile.TarInfo | tuple[str, bytes]]) -> None:
    refused(tmp_path, write_tar(tmp_path / "box/a.tar", [("good", b"1"), *members]))


@pytest.mark.parametrize(
    "members",
    [[LINK], *[[(name, b"x")] for name in NAMES if "\\" not in name]],
)
def test_a_hostile_zip_is_refused(tmp_path: Path, members: list[zipfile.ZipInfo | tuple[str, bytes]]) -> None:
    refused(tmp_path, write_zip(tmp_path / "box/a.zip", [("good", b"1"), *members]))


@pytest.fixture(autouse=True)
def _box(tmp_path: Path) -> None:
    (tmp_path / "box").mkdir()


def refused(tmp_path: Path, archive: Path) -> StartupError:
    before = sorted(path.name for path in tmp_path.parent.iterdir())
    with pytest.raises(StartupError) as caught:
        unpack(archive, tmp_path / "box/content", ModelVolume(tmp_path))
    assert caught.value.reason == FailureReason.UNSAFE_ARCHIVE
    assert [path.name for path in (tmp_path / "box").iterdir()] == [archive.name]
    assert [path.name for path in tmp_path.iterdir()] == ["box"]
    assert sorted(path.name for path in tmp_path.parent.iterdir()) == before
    return caught.value


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_a_bomb_is_stopped_in_time(tmp_path: Path, kind: str) -> None:
    zeros = b"\0" * (40 << 20)
    if kind == "zip":
        archive = write_zip(tmp_path / "box/a.zip", [("m.bin", zeros)])
    else:
        archive = write_tar(tmp_path / "box/a.tar", [("m.bin", zeros)], "w:bz2")
    assert "bomb" in str(refused(tmp_path, archive))


def test_too_many_members_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unpack_module, "MAX_MEMBERS", 10)
    refused(tmp_path, write_tar(tmp_path / "box/a.tar", [(str(n), b"") for n in range(11)]))


@given(cut=st.integers(0, 2000), flip=st.integers(0, 2000), kind=st.sampled_from(["zip", *MODES.values()]))
def test_a_damaged_archive_is_refused_or_unpacked_and_nothing_else(
    tmp_path_factory: pytest.TempPathFactory, cut: int, flip: int, kind: str
) -> None:
    folder = tmp_path_factory.mktemp("box")
    path = folder / "a"
    members = [("net/m.xml", b"<net/>" * 50), ("net/m.bin", bytes(range(256)))]
    whole = (write_zip(path, [*members]) if kind == "zip" else write_tar(path, [*members], kind)).read_bytes()
    damaged = bytearray(whole[: max(1, len(whole) - cut)])
    damaged[flip % len(damaged)] ^= 0xFF
    path.write_bytes(damaged)
    with suppress_unsafe():
        unpack(path, folder / "content", ModelVolume(folder))
    assert {entry.name for entry in folder.iterdir()} <= {"a", "content"}


@contextmanager
def suppress_unsafe() -> Iterator[None]:
    try:
        yield
    except StartupError as error:
        if error.reason != FailureReason.UNSAFE_ARCHIVE:
            raise
