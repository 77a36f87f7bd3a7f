"""`oci:` where there is no cluster: artifacts and images of a real registry, and registries that want a token."""

import json
from base64 import b64encode
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import oras.client
import pytest

from tests.models import write_adder
from tests.registry import INDEX, MANIFEST, TAR, Pusher, sha, tar
from tests.runtime.model.fetching import failure, fetch
from tests.servers_fixture import Registry
from vinoserve_api.conditions import FailureReason
from vinoserve_api.contract import ModelSource
from vinoserve_runtime.model.fetch import fetch_model
from vinoserve_runtime.model.fetched import Fetched


@pytest.fixture(autouse=True)
def _no_login_of_mine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("REGISTRY_AUTH_FILE", "DOCKER_CONFIG", "XDG_RUNTIME_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))


@pytest.fixture
def onnx(tmp_path: Path) -> bytes:
    return write_adder(tmp_path / "source.onnx").read_bytes()


def names(fetched: Fetched) -> list[str]:
    root = Path(fetched.root)
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


def oras_push(registry: Registry, repository: str, file: str) -> str:
    """Push a file or folder of the present folder as v1; the manifest's digest."""
    client = oras.client.OrasClient(hostname=registry.host, insecure=True)
    with client.session:
        pushed = client.push(f"{registry.host}/{repository}:v1", files=[file])
        return str(pushed.headers["Docker-Content-Digest"])


def test_files_that_oras_pushed(
    oci_registry: Registry, tmp_path: Path, onnx: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "push").mkdir()
    (tmp_path / "push/model.onnx").write_bytes(onnx)
    monkeypatch.chdir(tmp_path / "push")
    digest = oras_push(oci_registry, "oras/file", "model.onnx")
    fetched = fetch(tmp_path, f"oci://{oci_registry.host}/oras/file:v1")
    assert fetched.model_path.read_bytes() == onnx
    assert fetched.format == "onnx"
    assert fetched.revision == digest


def test_a_folder_that_oras_pushed(
    oci_registry: Registry, tmp_path: Path, onnx: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "push/resnet"
    folder.mkdir(parents=True)
    (folder / "model.onnx").write_bytes(onnx)
    (folder / "labels.txt").write_text("cat\n")
    monkeypatch.chdir(tmp_path / "push")
    oras_push(oci_registry, "oras/folder", "resnet")
    fetched = fetch(tmp_path, f"oci://{oci_registry.host}/oras/folder:v1")
    assert names(fetched) == ["resnet/labels.txt", "resnet/model.onnx"]
    assert fetched.model_path.read_bytes() == onnx


def test_an_image_whose_layers_replace_and_take_away(
    oci_registry: Registry, tmp_path: Path, onnx: bytes
) -> None:
    push = Pusher(oci_registry, "images/layers")
    digest = push.manifest(
        "v1",
        push.layer(tar({"models/a.onnx": b"old", "models/b.onnx": onnx, "old/c.onnx": onnx})),
        push.layer(tar({"models/a.onnx": onnx}, "w"), TAR),
        push.layer(tar({"models/.wh.b.onnx": b"", ".wh.old": b""})),
    )
    fetched = fetch(tmp_path, f"{push.uri}:v1")
    assert names(fetched) == ["models/a.onnx"]
    assert fetched.model_path.read_bytes() == onnx
    assert fetched.revision == digest


def test_an_index_has_an_image_for_this_machine(oci_registry: Registry, tmp_path: Path, onnx: bytes) -> None:
    push = Pusher(oci_registry, "images/index")
    entries = []
    for number, (system, architecture) in enumerate(
        [("windows", "amd64"), ("unknown", "unknown"), ("linux", "arm64"), ("linux", "amd64")]
    ):
        digest = push.manifest(f"part{number}", push.layer(tar({f"{system}-{architecture}.onnx": onnx})))
        size = 1  # nobody asks for it
        entries.append(
            {
                "mediaType": MANIFEST,
                "digest": digest,
                "size": size,
                "platform": {"os": system, "architecture": architecture},
            }
        )
    index = push.document("v1", {"schemaVersion": 2, "mediaType": INDEX, "manifests": entries}, INDEX)
    fetched = fetch(tmp_path, f"{push.uri}:v1")
    assert names(fetched) in (["linux-amd64.onnx"], ["linux-arm64.onnx"])
    assert fetched.revision == index
    push.document("win", {"schemaVersion": 2, "mediaType": INDEX, "manifests": entries[:2] * 2}, INDEX)
    assert "windows/amd64" in str(failure(tmp_path / "other", f"{push.uri}:win"))


def test_a_digest_pins(oci_registry: Registry, tmp_path: Path, onnx: bytes) -> None:
    push = Pusher(oci_registry, "images/pinned")
    digest = push.manifest("v1", push.layer(onnx, "application/octet-stream", "model.onnx"))
    push.manifest("v1", push.layer(onnx, "application/octet-stream", "another.onnx"))
    assert names(fetch(tmp_path / "1", f"{push.uri}@{digest}")) == ["model.onnx"]
    assert names(fetch(tmp_path / "2", f"{push.uri}:v1@{digest}")) == ["model.onnx"]
    assert names(fetch(tmp_path / "3", f"{push.uri}:v1")) == ["another.onnx"]


def test_what_is_not_there(oci_registry: Registry, tmp_path: Path, onnx: bytes) -> None:
    push = Pusher(oci_registry, "images/there")
    push.manifest("v1", push.layer(onnx, "application/octet-stream", "model.onnx"))
    for uri, missing in (
        (f"{push.uri}:v2", "v2"),
        (push.uri, "latest"),
        (f"{push.uri}x:v1", "images/therex"),
    ):
        error = failure(tmp_path, uri)
        assert error.reason == FailureReason.MODEL_NOT_FOUND
        assert missing in str(error)


@pytest.mark.parametrize(
    ("title", "reason"),
    [
        ("../out.onnx", FailureReason.MODEL_INVALID),
        ("/etc/out.onnx", FailureReason.MODEL_INVALID),
        (None, FailureReason.MODEL_INVALID),
    ],
)
def test_titles_that_are_none(
    oci_registry: Registry, tmp_path: Path, onnx: bytes, title: str | None, reason: FailureReason
) -> None:
    push = Pusher(oci_registry, "images/titles")
    push.manifest("v1", push.layer(onnx, "application/octet-stream", title))
    assert failure(tmp_path, f"{push.uri}:v1").reason == reason


def test_a_layer_that_leads_out(oci_registry: Registry, tmp_path: Path, onnx: bytes) -> None:
    push = Pusher(oci_registry, "images/hostile")
    push.manifest("v1", push.layer(tar({"../out.onnx": onnx})))
    assert failure(tmp_path, f"{push.uri}:v1").reason == FailureReason.UNSAFE_ARCHIVE
    assert not (tmp_path / "models/out.onnx").exists()


def make_pull_secret(host: str, username: str, password: str) -> str:
    packed = b64encode(f"{username}:{password}".encode()).decode()
    return json.dumps({"auths": {host: {"auth": packed}}})


def test_who_may_read(
    private_oci_registry: Registry, tmp_path: Path, onnx: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = private_oci_registry
    push = Pusher(registry, "team/model")
    push.manifest("v1", push.layer(onnx, "application/octet-stream", "model.onnx"))
    uri = f"{push.uri}:v1"
    own = make_pull_secret(registry.host, registry.username, registry.password)

    assert failure(tmp_path / "1", uri).reason == FailureReason.ACCESS_DENIED
    wrong = {"username": registry.username, "password": "guess-4711"}
    error = failure(tmp_path / "2", uri, wrong)
    assert error.reason == FailureReason.ACCESS_DENIED
    assert "guess-4711" not in str(error)
    other = make_pull_secret("registry.example.com", registry.username, registry.password)
    assert failure(tmp_path / "3", uri, {".dockerconfigjson": other}).reason == FailureReason.ACCESS_DENIED

    pair = {"username": registry.username, "password": registry.password}
    assert fetch(tmp_path / "4", uri, pair).model_path.read_bytes() == onnx
    assert fetch(tmp_path / "5", uri, {".dockerconfigjson": own}).model_path.read_bytes() == onnx
    docker = tmp_path / "home/.docker"
    docker.mkdir(parents=True)
    (docker / "config.json").write_text(own)
    assert fetch(tmp_path / "6", uri).model_path.read_bytes() == onnx


class TokenRegistry(ThreadingHTTPServer):
    """A registry as most are: it sends who asks to a realm for a token, which wants a name and password."""

    def __init__(self, blob: bytes) -> None:
        super().__init__(("127.0.0.1", 0), _TokenHandler)
        layer = {
            "mediaType": "application/octet-stream",
            "digest": sha(blob),
            "size": len(blob),
            "annotations": {"org.opencontainers.image.title": "model.onnx"},
        }
        self.manifest = json.dumps({"schemaVersion": 2, "mediaType": MANIFEST, "layers": [layer]}).encode()
        self.blob = blob
        self.tokens: list[str] = []
        self.asked: list[str] = []

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.server_address[1]}"


class _TokenHandler(BaseHTTPRequestHandler):
    server: TokenRegistry

    def do_GET(self) -> None:
        if self.path.startswith("/token?"):
            self._give_token()
        elif (
            self.headers.get("Authorization")
            != f"Bearer {self.server.tokens[-1] if self.server.tokens else ''}"
        ):
            realm = f'Bearer realm="http://{self.server.host}/token",service="reg",scope="repository:m:pull"'
            self._answer(401, b"{}", {"WWW-Authenticate": realm})
        elif "/manifests/" in self.path:
            self._answer(200, self.server.manifest, {"Content-Type": MANIFEST})
            self.server.tokens.append("expired-while-we-read")
        else:
            self._answer(200, self.server.blob, {})

    def _give_token(self) -> None:
        self.server.asked.append(self.path)
        if self.headers.get("Authorization") != "Basic " + b64encode(b"me:secret").decode():
            self._answer(401, b"{}", {})
            return
        self.server.tokens.append(f"token-{len(self.server.tokens)}")
        self._answer(200, json.dumps({"token": self.server.tokens[-1]}).encode(), {})

    def _answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
        """Quiet."""


@pytest.fixture
def token_registry(onnx: bytes) -> Iterator[TokenRegistry]:
    with TokenRegistry(onnx) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_a_token_is_got_and_got_again_when_it_expires(
    token_registry: TokenRegistry, tmp_path: Path, onnx: bytes
) -> None:
    fetched = fetch(
        tmp_path, f"oci://{token_registry.host}/team/m:v1", {"username": "me", "password": "secret"}
    )
    assert fetched.model_path.read_bytes() == onnx
    assert token_registry.asked == ["/token?scope=repository%3Ateam%2Fm%3Apull&service=reg"] * 2


def test_no_token_for_a_wrong_password(token_registry: TokenRegistry, tmp_path: Path) -> None:
    error = failure(
        tmp_path, f"oci://{token_registry.host}/team/m:v1", {"username": "me", "password": "wrong"}
    )
    assert error.reason == FailureReason.ACCESS_DENIED
    assert "team/m" in str(error)


def test_a_mounted_image_is_served_where_it_is(tmp_path: Path, onnx: bytes) -> None:
    image = tmp_path / "image"
    image.mkdir()
    (image / "model.onnx").write_bytes(onnx)
    fetched = fetch_model(
        ModelSource(uri="oci://registry.example.com/team/model:v1", name="m", version="1"),
        model_dir=tmp_path / "models",
        claim_dir=tmp_path / "claim",
        credentials_dir=tmp_path / "credentials",
        image_dir=image,
    )
    assert fetched.model_path == image / "model.onnx"
    assert fetched.digest.startswith("sha256:")
