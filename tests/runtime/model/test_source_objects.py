"""Models of S3, Google's and Azure's stores, on real servers: what is there is what is served, to those who may have it."""

import io
import os
import signal
import subprocess
import sys
import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import pytest
from obstore.store import S3Store

from tests.models import write_adder
from tests.runtime.configs import make_config
from tests.runtime.model.fetching import failure, fetch, sha
from tests.runtime.model.places import PLAIN, Place, make_az, make_gs, make_s3, sign_account
from tests.servers_fixture import AzureServer, S3Server
from vinoserve_api.conditions import FailureReason
from vinoserve_runtime import commands
from vinoserve_runtime.model import download as download_module
from vinoserve_runtime.model import part as part_module
from vinoserve_runtime.model.digest import digest_path
from vinoserve_runtime.model.sources import objects as objects_module
from vinoserve_runtime.model.sources.stores import Opening

CANARY = "canary-4711-never-to-be-seen"
MAKERS: dict[str, tuple[str, Callable[[Any, str, str], Place]]] = {
    "s3": ("s3_server", make_s3),
    "gs": ("gcs_server", make_gs),
    "az": ("azure_server", make_az),
}
ASKING = ["s3", "az"]
"""Those of the servers that ask who is there."""
BIG = bytes(range(251)) * 47_000
"""Of about 11 MiB: twelve ranges of those that the tests take."""


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """No pauses, and no identity from the environment."""
    monkeypatch.setattr(download_module, "_make_pause", lambda *_: 0.0)
    monkeypatch.setattr(part_module, "CHUNK_BYTES", 2**20)
    for name in [name for name in os.environ if name.startswith(("AWS_", "AZURE_", "GOOGLE_"))]:
        monkeypatch.delenv(name)


@pytest.fixture(params=list(MAKERS))
def place(request: pytest.FixtureRequest) -> Place:
    server, make = MAKERS[request.param]
    return make(request.getfixturevalue(server), f"models-{uuid4().hex[:12]}", CANARY)


@pytest.fixture(scope="module")
def onnx(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return write_adder(tmp_path_factory.mktemp("onnx") / "m.onnx").read_bytes()


def test_a_key_is_a_file(tmp_path: Path, place: Place, onnx: bytes) -> None:
    place.put("a folder/net 1.onnx", onnx)
    fetched = fetch(tmp_path, f"{place.uri}a%20folder/net%201.onnx", place.secret, digest=sha(onnx))
    assert Path(fetched.path).read_bytes() == onnx
    assert (fetched.format, fetched.digest, fetched.size_bytes) == ("onnx", sha(onnx), len(onnx))
    assert fetched.revision
    assert {path.name for path in (tmp_path / "models").iterdir()} == {"content", "fetched.json"}


@pytest.mark.parametrize("path", ["nets/ir", "nets/ir/", "nets"])
def test_a_prefix_is_a_folder(tmp_path: Path, place: Place, path: str) -> None:
    (tmp_path / "nets/ir").mkdir(parents=True)
    model = write_adder(tmp_path / "nets/ir/m.xml")
    for file in (model, model.with_suffix(".bin")):
        place.put(f"nets/ir/{file.name}", file.read_bytes())
    place.put("nets/ir/.hidden", b"of no interest")
    place.put("nets/ir2/other.onnx" if path != "nets" else "other.onnx", b"of another model")
    fetched = fetch(tmp_path, place.uri + path, place.secret)
    assert Path(fetched.path).name == "m.xml"
    assert fetched.digest == digest_path(tmp_path / path)
    assert Path(fetched.path).with_suffix(".bin").read_bytes() == model.with_suffix(".bin").read_bytes()


@pytest.mark.parametrize("name", ["m", "a net"])
def test_an_irs_weights_come_with_it(tmp_path: Path, place: Place, name: str) -> None:
    model = write_adder(tmp_path / f"{name}.xml")
    for file in (model, model.with_suffix(".bin")):
        place.put(f"ir/{file.name}", file.read_bytes())
    fetched = fetch(tmp_path, f"{place.uri}ir/{quote(name)}.xml", place.secret)
    assert Path(fetched.path).with_suffix(".bin").read_bytes() == model.with_suffix(".bin").read_bytes()
    assert fetched.size_bytes == sum(file.stat().st_size for file in (model, model.with_suffix(".bin")))


def test_a_big_file_comes_in_ranges_and_is_counted(tmp_path: Path, place: Place) -> None:
    place.put("big.onnx", BIG)
    told: list[tuple[int, int | None]] = []
    fetched = fetch(
        tmp_path, f"{place.uri}big.onnx", place.secret, progress=lambda *at: told.append(at), digest=sha(BIG)
    )
    assert fetched.size_bytes == len(BIG)
    downloaded = told[: told.index((len(BIG), len(BIG))) + 1]
    assert [done for done, _ in downloaded] == sorted(done for done, _ in downloaded)
    assert {total for _, total in downloaded} == {len(BIG)}


KILLED = """
import os, signal, sys
from pathlib import Path
from vinoserve_api.contract import ModelSource
from vinoserve_runtime.model import download, part
from vinoserve_runtime.model.fetch import fetch_model

part._SAVE_SECONDS, part.CHUNK_BYTES, download.WORKERS = 0.0, 2**20, 1
folder = Path(sys.argv[1])

def progress(done, total):
    if done > total / 2:
        os.kill(os.getpid(), signal.SIGKILL)

fetch_model(ModelSource(uri=sys.argv[2], name="m", version="1"), model_dir=folder / "models", claim_dir=folder,
            credentials_dir=folder / "credentials", progress=progress)
"""


def test_a_killed_fetch_goes_on_where_it_was(tmp_path: Path, place: Place) -> None:
    place.put("big.onnx", BIG)
    uri = f"{place.uri}big.onnx"
    (tmp_path / "credentials").mkdir()
    for name, content in place.secret.items():
        (tmp_path / "credentials" / name).write_text(content)
    killed = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path), uri], timeout=120, check=False)
    assert killed.returncode == -signal.SIGKILL
    told: list[int] = []
    fetched = fetch(tmp_path, uri, place.secret, progress=lambda done, _: told.append(done))
    assert told[0] > len(BIG) / 4
    assert fetched.digest == sha(BIG)


def test_what_changes_meanwhile_is_never_mixed(tmp_path: Path, place: Place) -> None:
    place.put("big.onnx", BIG)
    fresh = BIG[::-1]
    changed = False

    def progress(done: int, _: int | None) -> None:
        nonlocal changed
        if done and not changed:
            changed = True
            place.put("big.onnx", fresh)

    fetched = fetch(tmp_path, f"{place.uri}big.onnx", place.secret, progress=progress)
    assert fetched.digest == sha(fresh)


@pytest.mark.parametrize("path", ["nowhere.onnx", "nowhere/", "net", ""])
def test_what_is_not_there_is_said(tmp_path: Path, place: Place, path: str) -> None:
    if path:
        place.put("net.onnx", b"not asked for")
    error = failure(tmp_path, place.uri + path, place.secret)
    assert error.reason == FailureReason.MODEL_NOT_FOUND
    assert place.uri + path in str(error)


@pytest.mark.parametrize("place", ASKING, indirect=True)
@pytest.mark.parametrize("path", ["net.onnx", ""])
def test_a_bucket_that_is_not_there_is_said(tmp_path: Path, place: Place, path: str) -> None:
    error = failure(tmp_path, f"{place.uri.rstrip('/')}-other/{path}", place.secret)
    assert error.reason == FailureReason.MODEL_NOT_FOUND


@pytest.mark.parametrize("place", ASKING, indirect=True)
@pytest.mark.parametrize("path", ["net.onnx", ""])
@pytest.mark.parametrize("who", ["stranger", "nobody"])
def test_a_stranger_is_told_which_keys_would_help(
    *,
    tmp_path: Path,
    place: Place,
    onnx: bytes,
    path: str,
    who: str,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    place.put("net.onnx", onnx)
    secret = place.wrong_secret if who == "stranger" else place.no_secret
    error = failure(tmp_path, place.uri + path, secret)
    assert error.reason == FailureReason.ACCESS_DENIED
    assert "spec.model.credentials" in str(error)
    assert "_KEY" in str(error)
    said = str(error) + repr(error.__cause__) + caplog.text + "".join(capfd.readouterr())
    for value in place.wrong_secret.values():
        assert value not in said or value in place.no_secret.values() or value == "test-access"
    kept = b"".join(file.read_bytes() for file in (tmp_path / "models").rglob("*") if file.is_file())
    assert CANARY.encode() not in kept


@pytest.mark.parametrize("place", ASKING, indirect=True)
def test_the_environment_counts_where_there_is_no_secret(
    tmp_path: Path, place: Place, onnx: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.put("net.onnx", onnx)
    for name, value in place.secret.items():
        monkeypatch.setenv(name, value)
    assert fetch(tmp_path, f"{place.uri}net.onnx").digest == sha(onnx)


def test_an_identity_is_never_mixed(
    tmp_path: Path, request: pytest.FixtureRequest, onnx: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A session token of the environment doesn't belong to the Secret's key."""
    place = make_s3(request.getfixturevalue("s3_server"), f"models-{uuid4().hex[:12]}", CANARY)
    place.put("net.onnx", onnx)
    monkeypatch.setenv("AWS_SESSION_TOKEN", CANARY)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", CANARY)
    assert fetch(tmp_path, f"{place.uri}net.onnx", place.secret).digest == sha(onnx)


def test_nobody_is_enough_where_everybody_may_read(
    tmp_path: Path, request: pytest.FixtureRequest, onnx: bytes
) -> None:
    place = make_gs(request.getfixturevalue("gcs_server"), f"models-{uuid4().hex[:12]}", CANARY)
    place.put("net.onnx", onnx)
    assert fetch(tmp_path, f"{place.uri}net.onnx", place.no_secret).digest == sha(onnx)


def test_who_is_refused_as_nobody_may_be_somebody_by_the_machine(
    tmp_path: Path, s3_server: S3Server, onnx: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = make_s3(s3_server, bucket := f"models-{uuid4().hex[:12]}", CANARY)
    place.put("net.onnx", onnx)

    def make(bucket: str, *, config: dict[str, Any], **_: object) -> S3Store:
        """As the cloud's store would be: with an identity, unless it is told to go without."""
        key = {"access_key_id": s3_server.access_key_id, "secret_access_key": s3_server.secret_access_key}
        where = {"endpoint": s3_server.endpoint, "region": s3_server.region}
        return S3Store(bucket, config=where | (config or key), client_options=PLAIN)  # type: ignore[arg-type]

    opening = Opening(make, bucket, {}, None, is_nobody=True, hint="")
    monkeypatch.setitem(objects_module._PLANS, "s3", lambda *_: opening)
    assert fetch(tmp_path, f"{place.uri}net.onnx").digest == sha(onnx)


def test_the_machines_identity_is_not_offered_to_an_endpoint() -> None:
    opening = Opening(S3Store, "models", {}, "https://store.example", is_nobody=True, hint="")
    assert not opening.may_be_cloud
    assert replace(opening, endpoint=None).may_be_cloud


def test_another_region_is_pointed_at(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    place = make_s3(request.getfixturevalue("s3_server"), f"models-{uuid4().hex[:12]}", CANARY)
    error = failure(tmp_path, f"{place.uri}net.onnx", {**place.secret, "AWS_REGION": "elsewhere-1"})
    assert error.reason == FailureReason.FETCH_FAILED
    assert "AWS_REGION" in str(error)


@pytest.mark.parametrize("place", ASKING, indirect=True)
@pytest.mark.parametrize("path", ["net.onnx", "nowhere.onnx"])
def test_the_fetch_container_says_nothing_of_its_secret(
    tmp_path: Path, place: Place, onnx: bytes, path: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """All that it prints, and all that it leaves for the container that serves."""
    place.put("net.onnx", onnx)
    (tmp_path / "credentials").mkdir()
    for name, content in place.secret.items():
        (tmp_path / "credentials" / name).write_text(content)
    code = commands.fetch(
        make_config(place.uri + path),
        model_dir=tmp_path / "models",
        claim_dir=tmp_path,
        credentials_dir=tmp_path / "credentials",
    )
    said = "".join(capfd.readouterr())
    assert code == (0 if path == "net.onnx" else 1)
    assert place.uri + path in said
    left = b"".join(file.read_bytes() for file in (tmp_path / "models").rglob("*") if file.is_file())
    for name, value in place.secret.items():
        if name.endswith("_KEY"):
            assert value not in said
            assert value.encode() not in left


def test_an_archive_of_a_store_is_unpacked(tmp_path: Path, place: Place) -> None:
    model = write_adder(tmp_path / "m.xml")
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for file in (model, model.with_suffix(".bin")):
            tar.add(file, f"net/{file.name}")
    place.put("net.tar.gz", packed.getvalue())
    fetched = fetch(tmp_path, f"{place.uri}net.tar.gz", place.secret, digest=sha(packed.getvalue()))
    assert (Path(fetched.path).name, fetched.format) == ("m.xml", "openvino")


def test_a_name_is_a_file_or_a_folder(tmp_path: Path, request: pytest.FixtureRequest, onnx: bytes) -> None:
    place = make_gs(request.getfixturevalue("gcs_server"), f"models-{uuid4().hex[:12]}", CANARY)
    place.put("net/marker", b"")
    place.put("net/marker/m.onnx", onnx)
    assert fetch(tmp_path, f"{place.uri}net/", place.secret).format == "onnx"
    place.put("net2/m", b"content")
    place.put("net2/m/m.onnx", onnx)
    error = failure(tmp_path, f"{place.uri}net2/", place.secret)
    assert error.reason == FailureReason.MODEL_INVALID
    assert "m as a file and as a folder" in str(error)


def test_half_an_identity_is_none(tmp_path: Path) -> None:
    error = failure(tmp_path, "s3://models/net.onnx", {"AWS_ACCESS_KEY_ID": CANARY})
    assert error.reason == FailureReason.ACCESS_DENIED
    assert "AWS_SECRET_ACCESS_KEY" in str(error)
    assert CANARY not in str(error)


def test_a_shared_access_signature_lets_in(tmp_path: Path, azure_server: AzureServer, onnx: bytes) -> None:
    place = make_az(azure_server, f"models-{uuid4().hex[:12]}", CANARY)
    place.put("nets/net.onnx", onnx)
    secret = {**place.no_secret, "AZURE_STORAGE_SAS_TOKEN": f"?{sign_account(azure_server, 'rl')}"}
    assert fetch(tmp_path, f"{place.uri}nets", secret).format == "onnx"


def test_a_wrong_signature_is_not_repeated(tmp_path: Path, azure_server: AzureServer) -> None:
    place = make_az(azure_server, f"models-{uuid4().hex[:12]}", CANARY)
    token = sign_account(azure_server).partition("sig=")[0] + "sig=" + "A" * 43 + "%3D"
    error = failure(tmp_path, f"{place.uri}net.onnx", {**place.no_secret, "AZURE_STORAGE_SAS_TOKEN": token})
    assert error.reason == FailureReason.ACCESS_DENIED
    assert "sig=" not in str(error)


@pytest.mark.parametrize(
    ("uri", "secret"),
    [
        ("az://models/net.onnx", {}),
        ("gs://models/net.onnx", {"service-account.json": f'{{"type": "{CANARY}"'}),
        ("gs://models/net.onnx", {"service-account.json": f'{{"private_key": "{CANARY}"}}'}),
    ],
)
def test_unusable_credentials_are_named(tmp_path: Path, uri: str, secret: dict[str, str]) -> None:
    error = failure(tmp_path, uri, secret)
    assert error.reason == FailureReason.ACCESS_DENIED
    assert "spec.model.credentials takes" in str(error)
    assert CANARY not in str(error)


def test_an_endpoint_is_a_url(tmp_path: Path) -> None:
    error = failure(tmp_path, "s3://models/net.onnx", {"AWS_ENDPOINT_URL": "minio:9000"})
    assert error.reason == FailureReason.INVALID_CONFIG
    assert "AWS_ENDPOINT_URL" in str(error)


def test_nobody_at_the_endpoint_is_soon_said(tmp_path: Path) -> None:
    secret = {
        "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
        "AWS_ACCESS_KEY_ID": "a",
        "AWS_SECRET_ACCESS_KEY": "b",
    }
    error = failure(tmp_path, "s3://models/net.onnx", secret)
    assert error.reason == FailureReason.FETCH_FAILED
    assert "4 tries" in str(error)
