"""Fetching: what comes is what was asked for, or nothing; interrupted downloads go on; credentials stay at home."""

import hashlib
import io
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.models import write_adder
from tests.runtime.model.file_server import FileServer, serving
from vinoserve_api.conditions import FailureReason
from vinoserve_api.contract import ModelSource
from vinoserve_runtime.errors import StartupError
from vinoserve_runtime.model import download as download_module
from vinoserve_runtime.model.fetch import fetch_model, verify_again
from vinoserve_runtime.model.fetched import Fetched


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download_module, "_make_pause", lambda *_: 0.0)


@pytest.fixture
def onnx(tmp_path: Path) -> bytes:
    return write_adder(tmp_path / "source.onnx").read_bytes()


@pytest.fixture
def server(onnx: bytes) -> Iterator[FileServer]:
    with serving(FileServer(onnx)) as running:
        yield running


def sha(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def fetch(folder: Path, uri: str, **fields: Any) -> Fetched:
    progress = fields.pop("progress", None)
    return fetch_model(
        ModelSource(uri=uri, name="m", version="1", **fields),
        model_dir=folder / "models",
        claim_dir=folder / "claim",
        credentials_dir=folder / "credentials",
        progress=progress,
    )


def failure(folder: Path, uri: str, **fields: Any) -> StartupError:
    with pytest.raises(StartupError) as caught:
        fetch(folder, uri, **fields)
    return caught.value


def leftovers(folder: Path) -> set[str]:
    return {path.name for path in (folder / "models").iterdir()}


def test_a_download_is_laid_out_and_recorded(tmp_path: Path, server: FileServer, onnx: bytes) -> None:
    told: list[tuple[int, int | None]] = []
    fetched = fetch(
        tmp_path, f"{server.url}/a/net.onnx?sig=1", digest=sha(onnx), progress=lambda *at: told.append(at)
    )
    assert Path(fetched.path).read_bytes() == onnx
    assert Path(fetched.path).name == "net.onnx"
    assert (fetched.format, fetched.digest, fetched.size_bytes) == ("onnx", sha(onnx), len(onnx))
    assert told[-1] == (len(onnx), len(onnx))
    wire = json.loads((tmp_path / "models/fetched.json").read_text())
    assert wire["sizeBytes"] == len(onnx)
    assert leftovers(tmp_path) == {"content", "fetched.json"}


def test_the_same_again_is_left_as_it_is_unless_it_was_damaged(
    tmp_path: Path, server: FileServer, onnx: bytes
) -> None:
    uri, digest = f"{server.url}/net.onnx", sha(onnx)
    first = fetch(tmp_path, uri, digest=digest)
    asked = len(server.requests)
    assert fetch(tmp_path, uri, digest=digest) == first
    assert len(server.requests) == asked
    Path(first.path).write_bytes(b"damaged")
    fetch(tmp_path, uri, digest=digest)
    assert len(server.requests) == 2 * asked
    assert Path(first.path).read_bytes() == onnx


def test_another_digest_is_never_served(tmp_path: Path, server: FileServer, onnx: bytes) -> None:
    fetch(tmp_path, f"{server.url}/net.onnx", digest=sha(onnx))
    error = failure(tmp_path, f"{server.url}/net.onnx", digest=sha(b"other"))
    assert error.reason == FailureReason.DIGEST_MISMATCH
    assert sha(onnx) in str(error)
    assert sha(b"other") in str(error)
    assert "fetched.json" not in leftovers(tmp_path)
    assert "download" not in leftovers(tmp_path)


def test_a_cut_connection_goes_on_where_it_was(tmp_path: Path, server: FileServer, onnx: bytes) -> None:
    server.cut_after = [10, 20, 5]
    fetch(tmp_path, f"{server.url}/net.onnx", digest=sha(onnx))
    end = len(onnx) - 1
    asked = [headers.get("range") for _, headers in server.requests]
    assert asked == ["bytes=0-0", None, f"bytes=10-{end}", f"bytes=30-{end}", f"bytes=35-{end}"]


def make_part(folder: Path, server: FileServer, uri: str, beginning: bytes) -> None:
    """What a killed fetch leaves, with `beginning` as its bytes."""
    server.cut_after = [len(beginning), *[0] * 20]
    failure(folder, uri, digest=sha(server.content))
    server.cut_after, server.requests = [], []
    (part,) = (folder / "models/download/parts").glob("*.part")
    assert part.stat().st_size == len(beginning)
    part.write_bytes(beginning)


def test_a_killed_fetch_goes_on_where_it_was(tmp_path: Path, server: FileServer, onnx: bytes) -> None:
    uri = f"{server.url}/net.onnx"
    make_part(tmp_path, server, uri, onnx[:40])
    fetched = fetch(tmp_path, uri, digest=sha(onnx))
    (_, headers) = server.requests[-1]
    assert headers["range"].startswith("bytes=40-")
    assert headers["if-range"] == '"v1"'
    assert Path(fetched.path).read_bytes() == onnx


@pytest.mark.parametrize("change", ["etag", "ranges", "beginning"])
def test_a_beginning_of_another_version_is_thrown_away(
    tmp_path: Path, server: FileServer, onnx: bytes, change: str
) -> None:
    uri = f"{server.url}/net.onnx"
    make_part(tmp_path, server, uri, b"\0" * 40)
    if change == "etag":
        server.etag = '"v2"'
    server.ranges = change != "ranges"
    assert Path(fetch(tmp_path, uri, digest=sha(onnx)).path).read_bytes() == onnx


def test_a_busy_server_is_asked_again(tmp_path: Path, server: FileServer, onnx: bytes) -> None:
    server.statuses = [503, 429, 500]
    fetch(tmp_path, f"{server.url}/net.onnx", digest=sha(onnx))
    assert len(server.requests) == 5


def test_giving_up_says_after_how_many_tries_and_why(tmp_path: Path, server: FileServer, onnx: bytes) -> None:
    server.statuses = [503] * 20
    error = failure(tmp_path, f"{server.url}/net.onnx?sig=hidden", digest=sha(onnx))
    assert error.reason == FailureReason.FETCH_FAILED
    assert "8 tries" in str(error)
    assert "HTTP 503" in str(error)
    assert "hidden" not in str(error)


@pytest.mark.parametrize(
    ("status", "reason"),
    [(404, "ModelNotFound"), (401, "AccessDenied"), (403, "AccessDenied"), (400, "FetchFailed")],
)
def test_a_refusal_is_final(
    tmp_path: Path, server: FileServer, onnx: bytes, status: int, reason: str
) -> None:
    server.statuses = [status]
    error = failure(tmp_path, f"{server.url}/net.onnx", digest=sha(onnx))
    assert error.reason == FailureReason(reason)
    assert str(status) in str(error)
    assert len(server.requests) == 1


def test_http_needs_a_digest(tmp_path: Path, server: FileServer) -> None:
    assert failure(tmp_path, f"{server.url}/net.onnx").reason == FailureReason.INVALID_CONFIG


@pytest.mark.parametrize(
    ("keys", "value"),
    [({"token": "canary\n"}, "Bearer canary"), ({"username": "u", "password": "p"}, "Basic dTpw")],
)
def test_credentials_go_to_the_uris_own_host_alone(
    tmp_path: Path, server: FileServer, onnx: bytes, keys: dict[str, str], value: str
) -> None:
    (tmp_path / "credentials").mkdir()
    for name, content in keys.items():
        (tmp_path / "credentials" / name).write_text(content)
    with serving(FileServer(onnx)) as other:
        server.redirects = {"/net.onnx": "/here", "/here": f"{other.url}/there"}
        fetch(tmp_path, f"{server.url}/net.onnx", digest=sha(onnx))
        assert [headers.get("authorization") for _, headers in server.requests] == [value] * 4
        assert [headers.get("authorization") for _, headers in other.requests] == [None] * 2


def test_redirects_end(tmp_path: Path, server: FileServer, onnx: bytes) -> None:
    server.redirects = {"/net.onnx": "/net.onnx"}
    assert "10 redirects" in str(failure(tmp_path, f"{server.url}/net.onnx", digest=sha(onnx)))


def test_an_archive_is_unpacked_and_its_own_digest_counts(tmp_path: Path, server: FileServer) -> None:
    server.content = make_tar(tmp_path)
    fetched = fetch(tmp_path, f"{server.url}/net.tar.gz", digest=sha(server.content))
    assert Path(fetched.path).name == "m.xml"
    assert fetched.digest == sha(server.content)
    assert fetched.format == "openvino"
    assert fetch(tmp_path, f"{server.url}/net.tar.gz", digest=sha(server.content)) == fetched


def make_tar(folder: Path) -> bytes:
    model = write_adder(folder / "m.xml")
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for path in (model, model.with_suffix(".bin")):
            tar.add(path, f"net/{path.name}")
    return packed.getvalue()


def test_a_digest_is_checked_before_anything_is_unpacked(tmp_path: Path, server: FileServer) -> None:
    server.content = b"\x1f\x8b broken on purpose"
    error = failure(tmp_path, f"{server.url}/net.tar.gz", digest=sha(b"other"))
    assert error.reason == FailureReason.DIGEST_MISMATCH


def test_a_file_is_served_where_it_is(tmp_path: Path) -> None:
    path = write_adder(tmp_path / "m.onnx")
    fetched = fetch(tmp_path, f"file:{path}")
    assert fetched.path == str(path)
    assert fetched.digest == sha(path.read_bytes())


def test_a_changed_file_is_noticed_before_it_is_served_again(tmp_path: Path) -> None:
    path = write_adder(tmp_path / "m.onnx")
    source = ModelSource(uri=f"file:{path}", name="m", version="1", digest=sha(path.read_bytes()))
    fetched = fetch(tmp_path, source.uri, digest=source.digest)
    verify_again(source, fetched)
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(StartupError) as caught:
        verify_again(source, fetched)
    assert caught.value.reason == FailureReason.DIGEST_MISMATCH


@pytest.mark.parametrize(
    "path", ["nowhere.onnx", "../secret.onnx", "link.onnx", "link/secret.onnx", "/etc/passwd"]
)
def test_a_claims_path_stays_in_the_claim(tmp_path: Path, path: str) -> None:
    (tmp_path / "claim").mkdir()
    write_adder(tmp_path / "secret.onnx")
    (tmp_path / "claim/link.onnx").symlink_to("../secret.onnx")
    (tmp_path / "claim/link").symlink_to("..")
    error = failure(tmp_path, f"pvc://claim/{path}")
    assert error.reason == FailureReason.MODEL_NOT_FOUND


def test_a_claims_model_is_served_where_it_is(tmp_path: Path) -> None:
    (tmp_path / "claim/nets").mkdir(parents=True)
    path = write_adder(tmp_path / "claim/nets/m.onnx")
    assert fetch(tmp_path, "pvc://data/nets/m.onnx").path == str(path)
    assert fetch(tmp_path, "pvc://data/nets").path == str(path)


def test_a_digest_of_ir_named_by_its_xml_is_not_mistaken_for_the_weights(tmp_path: Path) -> None:
    path = write_adder(tmp_path / "m.xml")
    (warning,) = fetch(tmp_path, f"file:{path}", digest=sha(path.read_bytes())).warnings
    assert "m.bin" in warning


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    path = write_adder(tmp_path / "m.onnx")
    (tmp_path / "models").write_text("in the way")
    error = failure(tmp_path, f"file:{path}")
    assert error.reason == FailureReason.FETCH_FAILED
    assert str(tmp_path / "models") in str(error)


def test_a_full_disk_says_so(
    tmp_path: Path, server: FileServer, onnx: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 10}))
    error = failure(tmp_path, f"{server.url}/net.onnx", digest=sha(onnx))
    assert error.reason == FailureReason.DISK_FULL
    assert "10 free" in str(error)
    assert "sizeLimit" not in str(error), "a larger one makes no disk larger"
