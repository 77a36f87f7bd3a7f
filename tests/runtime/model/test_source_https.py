"""One file over HTTP: in ranges where the server can vouch for them, whole where not, never mixed, never at length for nobody."""

import errno
import json
import os
from collections.abc import Iterator
from pathlib import Path
from time import monotonic
from typing import Any

import pytest

from tests.runtime.model.fetching import failure, fetch, sha
from tests.runtime.model.file_server import FileServer, serving
from vinoserve_api.conditions import FailureReason
from vinoserve_runtime import commands
from vinoserve_runtime.model import download as download_module
from vinoserve_runtime.model import part as part_module

BIG = bytes(range(251)) * 4_700
"""Eighteen ranges of those that the tests take, and a bit."""
CHUNK = 2**16
CANARY = "canary-4711-never-to-be-seen"


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download_module, "_make_pause", lambda *_: 0.0)
    monkeypatch.setattr(part_module, "CHUNK_BYTES", CHUNK)


@pytest.fixture
def server() -> Iterator[FileServer]:
    with serving(FileServer(BIG)) as running:
        yield running


def get(folder: Path, server: FileServer, **fields: Any) -> bytes:
    """What is served in the end of the big file."""
    return Path(fetch(folder, f"{server.url}/m.onnx", digest=sha(server.content), **fields).path).read_bytes()


def ranges(server: FileServer) -> set[str | None]:
    return {headers.get("range") for _, headers in server.requests} - {"bytes=0-0"}


def test_a_strong_etag_vouches_for_ranges(tmp_path: Path, server: FileServer) -> None:
    assert get(tmp_path, server) == BIG
    starts = range(0, len(BIG), CHUNK)
    assert ranges(server) == {f"bytes={at}-{min(at + CHUNK, len(BIG)) - 1}" for at in starts}
    assert all(headers.get("if-range") == '"v1"' for _, headers in server.requests[1:])


@pytest.mark.parametrize("etag", ['W/"v1"', None])
def test_without_a_strong_etag_there_is_one_stream(
    tmp_path: Path, server: FileServer, etag: str | None
) -> None:
    server.etag, server.modified = etag, "Sun, 22 Nov 2026 21:00:00 GMT"
    assert get(tmp_path, server) == BIG
    assert ranges(server) == {None}


def test_a_stream_goes_on_by_its_date(tmp_path: Path, server: FileServer) -> None:
    server.etag, server.modified = None, "Sun, 22 Nov 2026 21:00:00 GMT"
    server.cut_after = [100_000]
    assert get(tmp_path, server) == BIG
    (_, headers) = server.requests[-1]
    assert headers["if-range"] == server.modified
    assert headers["range"].startswith("bytes=1")


def test_a_server_without_ranges_begins_anew(tmp_path: Path, server: FileServer) -> None:
    server.ranges = False
    server.cut_after = [1000, 100_000, 100_000]
    assert get(tmp_path, server) == BIG
    assert ranges(server) == {None}


def test_ranges_that_are_cut_are_gone_on_with(tmp_path: Path, server: FileServer) -> None:
    server.cut_after = [10_000] * 30
    assert get(tmp_path, server) == BIG


def test_a_new_version_in_the_middle_is_fetched_whole(tmp_path: Path, server: FileServer) -> None:
    fresh = BIG[::-1]

    def progress(done: int, _: int | None) -> None:
        if done:
            server.content, server.etag = fresh, '"v2"'

    fetched = fetch(tmp_path, f"{server.url}/m.onnx", digest=sha(fresh), progress=progress)
    assert Path(fetched.path).read_bytes() == fresh
    assert fetched.revision == "v2"


def test_what_never_stays_the_same_is_given_up(tmp_path: Path, server: FileServer) -> None:
    count = 0

    def progress(done: int, _: int | None) -> None:
        nonlocal count
        if done:
            count += 1
            server.etag = f'"v{count}"'

    error = failure(tmp_path, f"{server.url}/m.onnx", digest=sha(BIG), progress=progress)
    assert error.reason == FailureReason.FETCH_FAILED
    assert "keeps changing" in str(error)


def test_another_range_than_the_one_asked_for_is_not_taken(tmp_path: Path, server: FileServer) -> None:
    server.lies = True
    error = failure(tmp_path, f"{server.url}/m.onnx", digest=sha(BIG))
    assert error.reason == FailureReason.FETCH_FAILED
    assert "another range" in str(error)


def test_a_disk_that_fills_up_says_so(
    tmp_path: Path, server: FileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(part_module.Part, "write", write)
    error = failure(tmp_path, f"{server.url}/m.onnx", digest=sha(BIG))
    assert error.reason == FailureReason.DISK_FULL
    assert os.strerror(errno.ENOSPC) in str(error)


def test_progress_never_goes_back_or_beyond(tmp_path: Path, server: FileServer) -> None:
    server.cut_after = [10_000] * 10
    told: list[tuple[int, int | None]] = []
    get(tmp_path, server, progress=lambda *at: told.append(at))
    downloaded = [done for done, _ in told[: told.index((len(BIG), len(BIG))) + 1]]
    assert downloaded == sorted(downloaded)


def test_an_empty_file_is_no_model(tmp_path: Path, server: FileServer) -> None:
    server.content = b""
    error = failure(tmp_path, f"{server.url}/m", digest=sha(b""))
    assert error.reason == FailureReason.MODEL_INVALID


def test_a_refused_port_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    started = monotonic()
    error = failure(tmp_path, "https://127.0.0.1:9/m.onnx")
    assert monotonic() - started < 15
    assert error.reason == FailureReason.FETCH_FAILED
    assert "4 tries" in str(error)


@pytest.mark.parametrize("status", [401, 403, 404, 500])
def test_secrets_are_kept(
    tmp_path: Path, server: FileServer, status: int, capfd: pytest.CaptureFixture[str]
) -> None:
    """Not in the log of the fetch container, and nowhere in the folder that the serving container sees."""
    server.statuses = [status] * 100
    (tmp_path / "credentials").mkdir()
    (tmp_path / "credentials/token").write_text(CANARY)
    uri = f"{server.url}/m.onnx?signature={CANARY}"
    error = failure(tmp_path, uri, {"token": CANARY}, digest=sha(BIG))
    commands._log.error(str(error))
    assert CANARY not in "".join(capfd.readouterr()) + str(error) + repr(error.__cause__)
    server.statuses, server.cut_after = [], [0] * 500
    failure(tmp_path, uri, {"token": CANARY}, digest=sha(BIG))
    kept = [file.read_bytes() for file in (tmp_path / "models").rglob("*") if file.is_file()]
    assert kept
    assert CANARY.encode() not in b"".join(kept)


def test_the_etag_is_the_revision(tmp_path: Path, server: FileServer) -> None:
    assert fetch(tmp_path, f"{server.url}/m.onnx", digest=sha(BIG)).revision == "v1"
    assert json.loads((tmp_path / "models/fetched.json").read_text())["revision"] == "v1"
    server.etag = None
    (tmp_path / "models/fetched.json").unlink()
    assert fetch(tmp_path, f"{server.url}/m.onnx", digest=sha(BIG)).revision is None
